// Making elements. Text is always set as text, never as markup: nothing that comes from the server is parsed as HTML.

/** An element with attributes (`on…` are listeners, `class` is the class) and children; empty children are left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Puts children in the place of those that an element has. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/**
 * As `fill`, for what is drawn anew while somebody is in it. What has the same `data-key` before and after keeps the focus, stays open where it
 * was opened or folded, and scrolled where it was.
 */
export function refill(element, ...children) {
  const keyed = () => [...element.querySelectorAll("[data-key]")];
  const active = element.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  const before = new Map(keyed().map((one) => [one.dataset.key, { open: one.open, left: one.scrollLeft }]));
  fill(element, ...children);
  for (const one of keyed()) {
    const was = before.get(one.dataset.key);
    if (one instanceof HTMLDetailsElement && was) one.open = was.open;
    if (was?.left) one.scrollLeft = was.left;
    if (active !== undefined && one.dataset.key === active) one.focus({ preventScroll: true });
  }
  return element;
}

/** Gives an element the focus, unless somebody is choosing a person. */
export function takeFocus(element) {
  if (!document.activeElement?.closest("#who")) element.focus({ preventScroll: true });
}

/** Tells those who hear the page what changed. */
export function announce(text) {
  document.getElementById("announce").textContent = text;
}

/** Text with the ranges marked, which count UTF-16 code units as JavaScript does. */
export function marked(text, ranges) {
  const parts = [];
  let from = 0;
  for (const [start, end] of ranges) {
    if (start < from || end <= start) continue;
    parts.push(text.slice(from, start), h("mark", {}, text.slice(start, end)));
    from = end;
  }
  parts.push(text.slice(from));
  return parts;
}

/** A day, as the reader's language writes it, in an element that machines can read. */
export function day(timestamp) {
  const date = new Date(timestamp);
  if (Number.isNaN(date.getTime())) return null;
  return h("time", { datetime: timestamp }, date.toLocaleDateString(undefined, { dateStyle: "medium" }));
}

/** What a caller reads where something went wrong. */
export function failure(error, again) {
  const id = error.requestId && h("p", { class: "small" }, "Request ", h("code", {}, error.requestId));
  const button = again && h("button", { type: "button", onclick: again }, "Try again");
  return h("div", { class: "notice error", role: "alert" }, h("p", {}, error.message), id, button);
}
