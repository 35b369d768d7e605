// The addresses of the page, all behind the `#`: what is shown, of whom it is asked never.

const FILTERS = ["type", "in", "author", "tag"];

/** In the place of a person: somebody with the link who is nobody. */
export const NOBODY = Symbol("nobody");

/** Entries of the history before this one that are ours; not known before the first. */
let depth = null;

/** To be called wherever another entry of the history is shown. */
export function arrive() {
  depth = history.state?.depth ?? (depth === null ? 0 : depth + 1);
  history.replaceState({ depth }, "");
}

/** Whether the entry of the history before this one is ours. */
export function cameFromHere() {
  return depth > 0;
}

/** Another address in the place of the one that is shown; nothing else is shown for it. */
export function replace(next) {
  history.replaceState({ depth }, "", next);
}

/** A further address; nothing else is shown for it. */
export function push(next) {
  depth += 1;
  history.pushState({ depth }, "", next);
}

function address(path, pairs) {
  const query = new URLSearchParams(pairs.filter(([, value]) => value)).toString();
  return `#/${path}${query ? `?${query}` : ""}`;
}

/** Addresses, for links. */
export const link = {
  search: (query, filters = {}) =>
    address("search", [["q", query], ...Object.entries(filters).flatMap(([name, values]) => values.map((value) => [name, value]))]),
  page: (id, block) => address(`page/${encodeURIComponent(id)}`, [["block", block]]),
  ask: (question = "", talk = "") => address("ask", [["q", question], ["talk", talk]]),
  why: (id = "", user = "") => address(`why/${encodeURIComponent(id)}`, user === NOBODY ? [["nobody", "1"]] : [["user", user]]),
  status: () => "#/status",
};

/** What the address says is shown. */
export function route() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [view = "", id = ""] = path.split("/");
  const pairs = new URLSearchParams(query);
  const filters = {};
  for (const name of FILTERS) {
    const values = pairs.getAll(name);
    if (values.length) filters[name] = values;
  }
  let page = "";
  try {
    page = decodeURIComponent(id);
  } catch {
    // An address that was cut off names no page.
  }
  return { view: view || "search", id: page, query: pairs.get("q") ?? "", block: pairs.get("block"), user: pairs.has("nobody") ? NOBODY : pairs.get("user") ?? "", talk: pairs.get("talk") ?? "", filters };
}
