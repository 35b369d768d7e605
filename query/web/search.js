// The list of what was found: as typed, with filters and facets, highlights and breadcrumbs.

import { json } from "./api.js";
import { announce, day, failure, fill, h, marked, refill } from "./dom.js";
import { link } from "./routes.js";
import { session } from "./session.js";

const FACETS = [["type", "Kind"], ["in", "In"], ["author", "Author"], ["tag", "Tag"]];
const LIMIT = 20;
/** Most values of a facet; those that are chosen come first. */
const VALUES_MAX = 8;

let running = null;

/** The breadcrumb of a page: links to the pages above it that the caller can read. */
export function crumbs(pages) {
  if (!pages.length) return null;
  const items = pages.map((page) => h("li", {}, h("a", { href: link.page(page.id) }, page.title || "Untitled")));
  return h("nav", { class: "crumbs", "aria-label": "Path" }, h("ol", {}, items));
}

/** Searches and draws; `route` is what the address says, `typing` whether the last word may go on, `shown` whether it is still wanted. */
export async function showSearch(main, route, { typing, shown }) {
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  const { query, filters } = route;
  if (!query && !Object.keys(filters).length) return welcome(main);
  document.title = `${query || "All pages"} · Tessera`;
  let list = main.querySelector(".results");
  if (!list) {
    fill(main, h("div", { class: "search" },
      h("aside", { class: "facets", "aria-label": "Filters" }),
      h("section", { class: "results", "aria-label": "Results" }, h("p", { class: "small loading" }, "Searching…"))));
    list = main.querySelector(".results");
  }
  list.setAttribute("aria-busy", "true");
  try {
    const found = await ask(query, filters, null, typing, signal);
    if (!shown()) return;
    drawFacets(main.querySelector(".facets"), route, found.facets ?? {});
    draw(list, route, found, typing);
    announce(found.results.length ? `${found.results.length}${found.has_more ? " or more" : ""} pages found` : "Nothing found");
  } catch (error) {
    if (error.name === "AbortError" || !shown()) return;
    fill(list, failure(error, () => showSearch(main, route, { typing, shown })));
  }
  list.removeAttribute("aria-busy");
}

function ask(query, filters, cursor, prefix, signal) {
  const body = { query, filters, limit: LIMIT, prefix, facets: FACETS.map(([name]) => name) };
  if (cursor) body.cursor = cursor;
  return json("/v1/search", { body, signal });
}

function draw(list, route, found, typing) {
  const notes = [];
  if (found.degraded.includes("semantic")) notes.push("Searched by words alone: search by meaning does not answer at the moment.");
  if (found.degraded.includes("lexical")) notes.push("Searched by meaning alone: search by words does not answer at the moment.");
  if (found.degraded.includes("facets")) notes.push("Filters are left out: counting what they would find took too long.");
  if (found.semantic_pending) notes.push("Some pages are not searched by meaning yet: they are still being embedded.");
  if (found.typos_forgiven) notes.push("Words that are nearly those were looked for, too.");
  const head = h("p", { class: "small" }, `${found.results.length}${found.has_more ? "+" : ""} pages in ${found.took_ms} ms`,
    route.query ? [" · ", h("a", { href: link.ask(route.query) }, "Ask this as a question")] : null);
  const hits = h("ol", { class: "hits" }, found.results.map((hit) => drawHit(hit)));
  const more = h("button", { type: "button", class: "more" }, "Show more");
  let cursor = found.next_cursor;
  more.hidden = !found.has_more;
  more.addEventListener("click", async () => {
    more.disabled = true;
    list.querySelector(".notice.error")?.remove();
    try {
      // The same request, or the cursor is of another.
      const next = await ask(route.query, route.filters, cursor, typing);
      const first = hits.childElementCount;
      hits.append(...next.results.map((hit) => drawHit(hit)));
      hits.children[first]?.querySelector("a.title")?.focus();
      cursor = next.next_cursor;
      more.hidden = !next.has_more;
      announce(`${next.results.length} more pages`);
    } catch (error) {
      more.after(failure(error));
    }
    more.disabled = false;
  });
  const none = found.results.length ? null : h("div", { class: "notice" },
    h("p", {}, h("strong", {}, "Nothing found"), ` in what ${session.user} can see.`),
    h("p", { class: "small" }, "Fewer words, or other filters, may find more."));
  fill(list, notes.map((note) => h("p", { class: "notice small" }, note)), none ?? [head, hits, more]);
}

function drawHit({ page, block, breadcrumb, headings, snippet }) {
  const above = [...breadcrumb.map((crumb) => crumb.title || "Untitled"), ...headings];
  const facts = [page.kind === "page" ? null : page.kind, page.edited_at ? day(page.edited_at) : null, page.edited_by, ...page.tags.map((tag) => `#${tag}`)];
  return h("li", { class: "hit" },
    h("a", { class: "title", href: link.page(page.id, block) }, page.icon ? [h("span", { "aria-hidden": "true" }, page.icon), " "] : null, page.title || "Untitled"),
    page.trashed ? h("span", { class: "chip" }, "in the trash") : null,
    above.length ? h("p", { class: "path small" }, above.join(" › ")) : null,
    snippet.text ? h("p", { class: "snippet", dir: "auto" }, marked(snippet.text, snippet.highlights)) : null,
    h("p", { class: "facts small" }, facts.filter(Boolean).flatMap((fact, at) => (at ? [" · ", fact] : [fact])),
      session.administrator ? [" · ", h("a", { href: link.why(page.id) }, "Who can see it?")] : null));
}

function drawFacets(place, route, facets) {
  const groups = FACETS.map(([name, label]) => {
    const chosen = route.filters[name] ?? [];
    const counted = facets[name] ?? [];
    const first = chosen.map((value) => counted.find((facet) => facet.value === value) ?? { value, count: 0 });
    const values = [...first, ...counted.filter((facet) => !chosen.includes(facet.value))];
    if (!values.length) return null;
    const boxes = values.slice(0, Math.max(VALUES_MAX, first.length)).map(({ value, label: text, count }) => {
      const box = h("input", { type: "checkbox", "data-key": `${name}=${value}`, checked: chosen.includes(value), onchange: () => {
        const next = box.checked ? [...chosen, value] : chosen.filter((other) => other !== value);
        location.hash = link.search(route.query, { ...route.filters, [name]: next });
      } });
      return h("label", { class: "facet" }, box, h("span", { class: "value" }, text ?? value), h("span", { class: "count" }, count));
    });
    return h("fieldset", {}, h("legend", {}, label), boxes);
  });
  const any = Object.values(route.filters).some((values) => values.length);
  const folded = matchMedia("(max-width: 44rem)").matches && !any;
  refill(place, h("details", { open: !folded, "data-key": "filters" }, h("summary", {}, "Filters"), groups), any ? h("a", { class: "small", href: link.search(route.query, {}) }, "Clear filters") : null);
}

function welcome(main) {
  document.title = "Tessera";
  const line = (keys, text) => h("li", {}, h("kbd", {}, keys), " ", text);
  fill(main, h("section", { class: "card welcome" },
    h("h1", {}, "Search this workspace"),
    h("p", {}, session.user
      ? ["Everything that ", h("strong", {}, session.user), " can see in ", h("strong", {}, session.workspace), ", by words and by meaning."]
      : "Nothing is indexed yet. Import something, as `make demo` does, or send events."),
    h("ul", { class: "keys" },
      line("/", "goes to the search field, and so does Ctrl K or ⌘ K"),
      line("↓ ↑", "go through what was found"),
      line("Enter", "opens the page at the place that fits"),
      line("Esc", "goes back to the search field")),
    h("p", { class: "small" }, "Quote words to find them as they stand, write a minus before a word to leave it out, or narrow down by ",
      ["title:", "type:", "author:", "in:", "tag:", "before:", "after:"].flatMap((key, at) => (at ? [" ", h("code", {}, key)] : [h("code", {}, key)])), ".")));
}
