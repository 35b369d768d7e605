// Conversations that the server keeps: the list of them, and one as it may be seen now.

import { json, remove } from "./api.js";
import { announce, day, failure, fill, h } from "./dom.js";
import { link } from "./routes.js";

const WITHDRAWN = "What this was made from can be seen no more, so it is not shown.";
const UNANSWERED = "This was not answered: it was stopped, or broke off.";

/** The list of earlier conversations, which is asked for when it is opened. */
export function earlier() {
  const list = h("ol", {});
  const details = h("details", { class: "earlier", ontoggle: () => details.open && draw(list) },
    h("summary", {}, "Earlier conversations"), list);
  return details;
}

async function draw(list, cursor = "") {
  try {
    const page = await json("/v1/conversations", { query: { cursor } });
    const items = page.results.map((talk) => drawItem(list, talk));
    const more = page.has_more ? h("li", {}, h("button", { type: "button", onclick: (event) => {
      event.target.parentElement.remove();
      draw(list, page.next_cursor);
    } }, "Show more")) : null;
    if (cursor) list.append(...items, ...(more ? [more] : []));
    else fill(list, items.length ? items : h("li", { class: "small" }, "None yet."), more);
  } catch (error) {
    fill(list, h("li", {}, failure(error)));
  }
}

function drawItem(list, talk) {
  const item = h("li", {},
    h("a", { href: link.ask("", talk.id), dir: "auto" }, talk.title),
    h("span", { class: "small" }, " ", day(talk.updated_at), ` · ${talk.turns} ${talk.turns === 1 ? "question" : "questions"} `),
    h("button", { type: "button", "aria-label": `Remove the conversation: ${talk.title}`, onclick: async () => {
      try {
        await remove(`/v1/conversations/${talk.id}`);
        item.remove();
        announce("The conversation is removed");
      } catch (error) {
        fill(item, failure(error));
      }
    } }, "Remove"));
  return item;
}

/** The turns of a conversation, as the thread draws them. */
export async function opened(id) {
  const talk = await json(`/v1/conversations/${encodeURIComponent(id)}`);
  return talk.history.map((turn) => ({
    question: turn.question,
    text: turn.answer,
    sources: turn.sources,
    citations: turn.citations,
    stale: turn.stale,
    error: turn.withdrawn ? WITHDRAWN : turn.unanswered ? UNANSWERED : "",
    done: turn.withdrawn || turn.unanswered ? null : { ...turn, degraded: [], truncated: false },
  }));
}
