// Asking: an answer as it is written, with chips that open the cited block, and questions that follow on it.

import { events } from "./api.js";
import { announce, failure, fill, h } from "./dom.js";
import { link } from "./routes.js";
import { session } from "./session.js";
import { earlier, opened } from "./talks.js";

/** Most turns that are sent along where the server keeps none, as the API takes them. */
const TURNS_MAX = 20;
/** What is said where a stream ends badly. */
const ENDINGS = {
  access_changed: "What you may see changed while this was written, so it was taken back. Ask again.",
  model_interrupted: "The language model broke off.",
  deadline_exceeded: "This took longer than the server allows.",
  budget_exhausted: "The tokens for language models are used up for now.",
  internal: "Something went wrong on the server.",
};

/** The conversation of this tab, by the id that the server keeps it under; another person begins another. */
let talk = begin("");
let running = null;

function begin(whose) {
  return { whose, id: "", turns: [] };
}

/** Shows the conversation, and asks the question that the address holds. */
export function showAsk(main, route) {
  document.title = "Ask · Tessera";
  running?.abort();
  const whose = `${session.workspace}/${session.user}`;
  if (talk.whose !== whose) talk = begin(whose);
  const thread = h("div", { class: "thread" });
  const question = h("textarea", { id: "question", rows: 2, maxlength: 1000, required: true, placeholder: "What do you want to know?" });
  const ask = h("button", { type: "submit", class: "primary" }, "Ask");
  const stop = h("button", { type: "button", hidden: true, onclick: () => running?.abort() }, "Stop");
  const form = h("form", { class: "ask", onsubmit: (event) => {
    event.preventDefault();
    const text = question.value.trim();
    if (!text) return;
    question.value = "";
    answer(text, thread, { ask, stop });
  } }, h("label", { for: "question", class: "hidden" }, "Question"), question, h("div", { class: "buttons" }, ask, stop));
  question.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  const draw = () => fill(thread, talk.turns.map(drawTurn));
  const anew = h("button", { type: "button", onclick: () => {
    running?.abort();
    talk = begin(whose);
    draw();
    question.focus();
  } }, "New conversation");
  fill(main, h("section", { class: "asking" }, h("h1", {}, "Ask"),
    h("p", { class: "small" }, `Answers are made from what ${session.user} can see, and say from where. The first words may take a moment.`),
    thread, form, session.conversations ? h("div", { class: "talks" }, anew, earlier()) : null));
  draw();
  if (route.talk && route.talk !== talk.id) {
    open(route.talk, whose).then(draw, (error) => fill(thread, failure(error)));
  }
  if (route.query && talk.turns.at(-1)?.question !== route.query) answer(route.query, thread, { ask, stop });
  else question.focus();
}

/** Goes back to a conversation that the server keeps, as far as it may be seen now. */
async function open(id, whose) {
  const turns = await opened(id);
  talk = { whose, id, turns };
}

async function answer(question, thread, { ask, stop }) {
  running?.abort();
  const mine = new AbortController();
  running = mine;
  const mineTalk = talk;
  const before = talk.turns.filter((turn) => turn.text).flatMap((turn) => [
    { role: "user", content: turn.question },
    { role: "assistant", content: turn.text.slice(0, 8000) },
  ]);
  const turn = { question, text: "", sources: [], citations: [], done: null, error: "" };
  talk.turns.push(turn);
  let drawn = drawTurn(turn);
  thread.append(drawn);
  drawn.scrollIntoView({ block: "nearest" });
  const draw = () => {
    const next = drawTurn(turn);
    drawn.replaceWith(next);
    drawn = next;
  };
  ask.disabled = true;
  stop.hidden = false;
  try {
    const context = session.conversations ? { conversation: mineTalk.id || "new" } : { messages: before.slice(-TURNS_MAX) };
    const body = { question, ...context, stream: true };
    for await (const { event, data } of events("/v1/answers", { body, signal: mine.signal })) {
      if (event === "sources") turn.sources = data.sources;
      else if (event === "delta") turn.text += data.text;
      else if (event === "citation") turn.citations[data.index] = data.citation;
      else if (event === "done") {
        turn.done = data;
        mineTalk.id = data.conversation ?? mineTalk.id;
      }
      else if (event === "error") {
        turn.error = ENDINGS[data.code] ?? ENDINGS.internal;
        // What may not be seen any more is not kept.
        if (data.code === "access_changed") Object.assign(turn, { text: "", sources: [], citations: [] });
      }
      if (turn.done?.not_found) Object.assign(turn, { text: turn.done.message ?? "Not found in what you can see.", citations: [] });
      draw();
    }
    if (!turn.done && !turn.error) turn.error = "The answer broke off.";
  } catch (error) {
    if (error.name === "AbortError") turn.error = "Stopped.";
    else turn.failure = error;
  }
  draw();
  announce(turn.error || turn.failure?.message || "The answer is complete");
  if (running === mine) {
    ask.disabled = false;
    stop.hidden = true;
    document.getElementById("question")?.focus();
  }
}

function drawTurn(turn) {
  const { done } = turn;
  const waiting = !turn.text && !done && !turn.error && !turn.failure;
  const notes = [];
  if (done?.extractive && !done.not_found) notes.push("Extractive: sentences of the sources, no language model wrote this.");
  if (done?.degraded.includes("model")) notes.push("The language model did not answer.");
  if (done?.degraded.includes("semantic")) notes.push("Sources were looked for by words alone.");
  if (done?.degraded.includes("conversation")) notes.push("This turn could not be kept: what follows does not know of it.");
  if (turn.stale) notes.push("Something that this was made from was changed since.");
  if (done?.truncated) notes.push("Cut off at the longest answer allowed.");
  if (done?.sentences.some((sentence) => !sentence.supported) && !done.not_found) notes.push("What is underlined with dots is not borne out by the sources.");
  return h("article", { class: "turn" },
    h("h2", { dir: "auto" }, turn.question),
    waiting ? h("p", { class: "small loading" }, turn.sources.length ? "Writing…" : "Looking for sources…") : null,
    turn.text ? h("div", { class: "answer", dir: "auto" }, drawText(turn)) : null,
    turn.error ? h("p", { class: "notice" }, turn.error) : null,
    turn.failure ? failure(turn.failure) : null,
    notes.map((note) => h("p", { class: "small" }, note)),
    turn.sources.length && !done?.not_found ? drawSources(turn) : null);
}

/** The text with chips for its markers; sentences that nothing bears out are marked once that is known. */
function drawText(turn) {
  const parts = [];
  let from = 0;
  for (const sentence of turn.done?.sentences ?? []) {
    const at = turn.text.indexOf(sentence.text, from);
    if (at < 0 || !sentence.text) continue;
    parts.push(withChips(turn, turn.text.slice(from, at)));
    const text = withChips(turn, sentence.text);
    parts.push(sentence.supported || turn.done.not_found ? text : h("span", { class: "unsupported", title: "No source bears this out" }, text));
    from = at + sentence.text.length;
  }
  parts.push(withChips(turn, turn.text.slice(from)));
  return parts;
}

function withChips(turn, text) {
  return text.split(/(\[\d+\])/).map((part) => {
    const number = Number(/^\[(\d+)\]$/.exec(part)?.[1]);
    const source = turn.sources.find((candidate) => candidate.number === number);
    if (!source) return part;
    const cited = turn.citations.find((citation) => citation?.source === number);
    const href = link.page(source.page.id, cited?.block ?? source.blocks[0]?.block);
    return h("a", { class: "cite", href, title: source.page.title, "aria-label": `Source ${number}: ${source.page.title}` }, String(number));
  });
}

function drawSources(turn) {
  const cited = new Set(turn.citations.filter(Boolean).map((citation) => citation.source));
  const shown = turn.sources.filter((source) => !turn.done || cited.has(source.number));
  if (!shown.length) return null;
  return h("details", { class: "sources" }, h("summary", {}, `${shown.length} ${shown.length === 1 ? "source" : "sources"}`),
    h("ol", {}, shown.map((source) => h("li", { value: source.number },
      h("a", { href: link.page(source.page.id, source.blocks[0]?.block) }, source.page.title || "Untitled"),
      h("span", { class: "small" }, ` ${[...source.breadcrumb.map((crumb) => crumb.title), ...(source.headings ?? [])].join(" › ")}`)))));
}
