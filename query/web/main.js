// The page people search with: which view the address names, the search field, and the keys.

import { showAsk } from "./ask.js";
import { announce, failure, fill, h } from "./dom.js";
import { showPage } from "./page.js";
import { arrive, cameFromHere, link, push, replace, route } from "./routes.js";
import { showSearch } from "./search.js";
import { forget, isKnown, session, signIn, startSession } from "./session.js";
import { showStatus } from "./status.js";
import { showWhy } from "./why.js";

const VIEWS = { search: showSearch, ask: showAsk, page: showPage, why: showWhy, status: showStatus };
/** How long typing must rest before it is searched for. */
const REST_MS = 90;

const main = document.getElementById("main");
const field = document.getElementById("query");
let turn = 0;
let typed = false;
let resting = null;

/** Shows what the address names; `why` somebody must say who is asking, where that is so. */
function show(why = "") {
  // Whoever goes elsewhere searches no more for what was just typed.
  clearTimeout(resting);
  const now = route();
  turn += 1;
  const mine = turn;
  const typing = typed;
  typed = false;
  drawViews(now.view);
  if (now.view === "search" && document.activeElement !== field) field.value = now.query;
  if (session.development ? session.people.length && !isKnown() : !isKnown()) {
    // What was begun in the form stays.
    if (why || !main.querySelector(".sign-in")) fill(main, signIn(() => show(), why));
    return;
  }
  if (now.view !== "search" || !main.querySelector(".results")) fill(main);
  const view = VIEWS[now.view] ?? showSearch;
  view(main, now, { typing, shown: () => mine === turn });
}

function drawViews(current) {
  const views = [["search", "Search", link.search("")], ["ask", "Ask", link.ask()]];
  if (session.administrator) views.push(["why", "Access", link.why()], ["status", "Status", link.status()]);
  const known = isKnown() ? views : [];
  fill(document.getElementById("views"), known.map(([name, label, href]) => h("a", { href, "aria-current": name === current ? "page" : null }, label)));
}

field.addEventListener("input", () => {
  clearTimeout(resting);
  resting = setTimeout(() => {
    const { view, filters } = route();
    typed = true;
    const next = link.search(field.value, view === "search" ? filters : {});
    // While typing, one entry of the history is enough.
    if (view === "search") replace(next);
    else push(next);
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
  // An input method is choosing its characters; some browsers say so by the code alone.
  if (event.isComposing || event.keyCode === 229) return;
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
    } else if (route().view === "page" && !writing) {
      // Whoever came by a link from elsewhere is not sent back there.
      if (cameFromHere()) history.back();
      else location.hash = link.search(field.value);
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

addEventListener("hashchange", () => {
  arrive();
  show();
});

addEventListener("tessera:unknown", () => {
  if (session.development || !isKnown()) return;
  forget();
  show("The server does not know you any more: the token has run out, or was withdrawn.");
});

arrive();
try {
  await startSession((error, again) => {
    if (error) {
      turn += 1;
      fill(main, failure(error, again));
      return;
    }
    announce(`Searching as ${session.user ?? "nobody"}`);
    show();
  });
  show();
  if (route().view === "search") (document.getElementById("token") ?? field).focus();
} catch (error) {
  fill(main, failure(error, () => location.reload()));
}
