// The page people search with: which view the address names, the search field, and the keys.

import { showAsk } from "./ask.js";
import { announce, failure, fill, h } from "./dom.js";
import { showPage } from "./page.js";
import { link, route } from "./routes.js";
import { showSearch } from "./search.js";
import { isKnown, session, signIn, startSession } from "./session.js";
import { showStatus } from "./status.js";
import { showWhy } from "./why.js";

const VIEWS = { search: showSearch, ask: showAsk, page: showPage, why: showWhy, status: showStatus };
/** How long typing must rest before it is searched for. */
const REST_MS = 90;

const main = document.getElementById("main");
const field = document.getElementById("query");
let turn = 0;
let typed = false;

function show() {
  const now = route();
  turn += 1;
  const mine = turn;
  drawViews(now.view);
  if (now.view === "search" && document.activeElement !== field) field.value = now.query;
  if (session.development ? session.people.length && !isKnown() : !isKnown()) return fill(main, signIn(show));
  if (now.view !== "search" || !main.querySelector(".results")) fill(main);
  const view = VIEWS[now.view] ?? showSearch;
  view(main, now, { typing: typed, shown: () => mine === turn });
  typed = false;
}

function drawViews(current) {
  const views = [["search", "Search", link.search("")], ["ask", "Ask", link.ask()]];
  if (session.administrator) views.push(["why", "Access", link.why()], ["status", "Status", link.status()]);
  const known = isKnown() ? views : [];
  fill(document.getElementById("views"), known.map(([name, label, href]) => h("a", { href, "aria-current": name === current ? "page" : null }, label)));
}

let resting = null;
field.addEventListener("input", () => {
  clearTimeout(resting);
  resting = setTimeout(() => {
    const { view, filters } = route();
    typed = true;
    const next = link.search(field.value, view === "search" ? filters : {});
    // While typing, one entry of the history is enough.
    if (view === "search") history.replaceState(null, "", next);
    else history.pushState(null, "", next);
    show();
  }, REST_MS);
});

document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(resting);
  const next = link.search(field.value, route().view === "search" ? route().filters : {});
  if (location.hash === next) show();
  else location.hash = next;
});

document.getElementById("skip").addEventListener("click", () => main.focus());

addEventListener("keydown", (event) => {
  const writing = event.target.matches("input, textarea, select, [contenteditable]");
  const command = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k";
  if (command || (event.key === "/" && !writing && !event.ctrlKey && !event.metaKey && !event.altKey)) {
    event.preventDefault();
    field.focus();
    field.select();
    return;
  }
  if (event.key === "Escape") {
    if (document.activeElement === field && field.value) {
      field.value = "";
      field.dispatchEvent(new Event("input"));
    } else if (route().view === "page" && history.length > 1 && !writing) {
      history.back();
    } else {
      field.focus();
    }
    return;
  }
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const hits = [...main.querySelectorAll(".hits a.title")];
  const at = hits.indexOf(document.activeElement);
  if (!hits.length || (at < 0 && document.activeElement !== field)) return;
  event.preventDefault();
  const next = at + (event.key === "ArrowDown" ? 1 : -1);
  if (next < 0) field.focus();
  else hits[Math.min(next, hits.length - 1)].focus();
});

addEventListener("hashchange", show);

try {
  await startSession(() => {
    announce(`Searching as ${session.user ?? "nobody"}`);
    show();
  });
  show();
  if (route().view === "search") field.focus();
} catch (error) {
  fill(main, failure(error, () => location.reload()));
}
