// One page with its blocks, scrolled to the one that was asked for.

import { json } from "./api.js";
import { announce, day, failure, fill, h, takeFocus } from "./dom.js";
import { link } from "./routes.js";
import { crumbs } from "./search.js";
import { session } from "./session.js";

const STYLES = { bold: "strong", italic: "em", code: "code", strikethrough: "s", underline: "u" };

/** Shows the page that `route` names, as long as `shown` says that it is still wanted. */
export async function showPage(main, { id, block }, { shown }) {
  fill(main, h("p", { class: "small loading" }, "Opening…"));
  let view;
  try {
    view = await json(`/v1/pages/${encodeURIComponent(id)}`);
  } catch (error) {
    if (!shown()) return;
    document.title = "Page · Tessera";
    // What does not exist and what may not be seen are told apart nowhere, here neither.
    const message = error.status === 404 ? { message: `There is no such page, or ${session.user} may not see it.` } : error;
    fill(main, failure(message, error.status === 404 ? null : () => showPage(main, { id, block }, { shown })));
    return;
  }
  if (!shown()) return;
  const { page } = view;
  document.title = `${page.title || "Untitled"} · Tessera`;
  const properties = Object.entries(view.properties).filter(([name]) => name !== "tags");
  fill(main, h("article", { class: "page" },
    crumbs(view.breadcrumb),
    h("h1", {}, page.icon ? [h("span", { "aria-hidden": "true" }, page.icon), " "] : null, page.title || "Untitled"),
    h("p", { class: "facts small" }, page.edited_at ? ["Edited ", day(page.edited_at), page.edited_by ? ` by ${page.edited_by}` : ""] : null,
      page.tags.map((tag) => [" ", h("span", { class: "chip" }, `#${tag}`)]),
      session.administrator ? [" · ", h("a", { href: link.why(page.id) }, "Who can see it?")] : null),
    page.trashed ? h("p", { class: "notice" }, "This page is in the trash.") : null,
    properties.length ? h("dl", { class: "properties" }, properties.map(([name, value]) => [h("dt", {}, name), h("dd", {}, [value].flat().map(said).join(", "))])) : null,
    h("div", { class: "blocks", dir: "auto" }, drawBlocks(nest(view.blocks))),
    h("section", { class: "similar", "aria-label": "Similar pages" })));
  const target = block && document.getElementById(`block-${block}`);
  if (target) {
    target.classList.add("target");
    target.setAttribute("tabindex", "-1");
    takeFocus(target);
    target.scrollIntoView({ block: "center" });
    announce(`${page.title}, at the place that was found`);
  } else {
    takeFocus(main);
    scrollTo(0, 0);
  }
  showSimilar(main.querySelector(".similar"), page.id);
}

function said(value) {
  return value === true ? "yes" : value === false ? "no" : String(value);
}

async function showSimilar(place, page) {
  const similar = await json("/v1/similar", { query: { page, limit: 5 } }).catch(() => null);
  if (!similar?.results.length) return;
  fill(place, h("h2", {}, "Similar pages"), h("ul", {}, similar.results.map((result) =>
    h("li", {}, h("a", { href: link.page(result.page.id) }, result.page.title || "Untitled"),
      result.breadcrumb.length ? h("span", { class: "small" }, ` ${result.breadcrumb.map((crumb) => crumb.title).join(" › ")}`) : null))));
}

/** Blocks in reading order with their depth, as a tree. */
function nest(blocks) {
  const root = { children: [] };
  const open = [root];
  for (const block of blocks) {
    const node = { ...block, children: [] };
    open.length = Math.min(open.length, block.depth + 1);
    open.at(-1).children.push(node);
    open.push(node);
  }
  return root.children;
}

function drawBlocks(nodes) {
  const drawn = [];
  for (let at = 0; at < nodes.length; ) {
    const kind = nodes[at].content.type;
    let end = at + 1;
    if (GROUPS.has(kind)) while (end < nodes.length && nodes[end].content.type === kind) end += 1;
    const group = nodes.slice(at, end);
    drawn.push(GROUPS.has(kind) ? GROUPS.get(kind)(group) : drawBlock(nodes[at]));
    at = end;
  }
  return drawn;
}

/** What neighbours of one kind are drawn in. Kinds are whatever a product calls them. */
const GROUPS = new Map([
  ["bulleted_list_item", (nodes) => h("ul", {}, nodes.map((node) => drawBlock(node)))],
  ["numbered_list_item", (nodes) => h("ol", {}, nodes.map((node) => drawBlock(node)))],
  ["table_row", (nodes) => h("div", { class: "table", role: "region", "aria-label": "Table", tabindex: "0" }, h("table", {}, nodes.map((node) => drawBlock(node))))],
]);

function drawBlock(node) {
  const { content, children, id } = node;
  const attributes = { id: `block-${id}`, class: "block" };
  const text = rich(content.rich_text ?? []);
  const inner = children.length ? drawBlocks(children) : [];
  switch (content.type) {
    case "heading_1":
    case "heading_2":
    case "heading_3":
      return [h(`h${Number(content.type.at(-1)) + 1}`, attributes, text), inner];
    case "bulleted_list_item":
    case "numbered_list_item":
      return h("li", attributes, text, inner);
    case "to_do":
      return h("div", attributes, h("label", {}, h("input", { type: "checkbox", checked: content.checked ?? false, disabled: true }), " ", text), inner);
    case "toggle":
      return h("details", { ...attributes, open: true }, h("summary", {}, text), inner);
    case "quote":
      return h("blockquote", attributes, text, inner);
    case "callout":
      return h("div", { ...attributes, class: "block callout" }, h("div", {}, text), inner);
    case "code":
      return [h("pre", { ...attributes, tabindex: "0", "aria-label": content.language ? `Code, ${content.language}` : "Code" }, h("code", {}, node.text)), inner];
    case "table_row":
      return h("tr", attributes, (content.cells ?? []).map((cell) => h("td", {}, rich(cell))), inner.length ? h("td", {}, inner) : null);
    case "divider":
      return [h("hr", attributes), inner];
    case "equation":
      return [h("pre", attributes, h("code", {}, content.expression ?? node.text)), inner];
    default: {
      const url = content.url ? [anchor(content.url, content.url), " "] : null;
      if (!node.text && !url && !inner.length) return h("p", attributes);
      return h("div", attributes, h("p", {}, text.length ? text : url ?? node.text), content.caption?.length ? h("p", { class: "small" }, rich(content.caption)) : null, inner);
    }
  }
}

function rich(runs) {
  return runs.map((run) => {
    let shown = run.plain_text;
    for (const style of run.annotations ?? []) if (Object.hasOwn(STYLES, style)) shown = h(STYLES[style], {}, shown);
    return run.href ? anchor(run.href, shown) : shown;
  });
}

/** A link, where it leads to the web or to mail; the text alone, where it leads elsewhere. */
function anchor(href, shown) {
  let url = null;
  try {
    url = new URL(href);
  } catch {
    return shown;
  }
  const safe = ["https:", "http:", "mailto:"].includes(url.protocol);
  return safe ? h("a", { href: url.href, rel: "noopener noreferrer", target: "_blank" }, shown) : shown;
}
