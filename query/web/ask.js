// Asking: an answer as it is written, with chips that open the cited block, and questions that follow on it.
//
// A conversation stays as long as the tab, whatever else is shown meanwhile; the address names it, so that a reload comes back to it. A question
// that the address holds is asked once and then taken out of it.

import { events, remove } from "./api.js";
import { announce, failure, fill, h, refill, takeFocus } from "./dom.js";
import { link, replace, route as current } from "./routes.js";
import { identityHeaders, session } from "./session.js";
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
/** What is shown of it: the thread, the form and its buttons. */
let view = null;
/** The answer that is being written: how to leave it, its stream on the server, and whose it is. */
let running = null;
/** Settled once the server has stopped what was stopped last. */
let stopping = null;

function begin(whose, id = "") {
  return { whose, id, turns: [] };
}

function turnOf(question) {
  return { question, text: "", sources: [], citations: [], done: null, error: "", element: h("article", { class: "turn" }) };
}

/** Shows the conversation, and asks the question that the address holds. */
export function showAsk(main, route, { shown }) {
  document.title = "Ask · Tessera";
  const whose = `${session.workspace}/${session.user}`;
  const former = talk;
  if (former.whose !== whose) {
    stop();
    talk = begin(whose);
    // The address is of a conversation of somebody else.
    if (former.id && former.id === route.talk) {
      replace(link.ask());
      route = current();
    }
  }
  const thread = h("div", { class: "thread" });
  const question = h("textarea", { id: "question", rows: 2, maxlength: 1000, required: true, placeholder: "What do you want to know?" });
  const ask = h("button", { type: "submit", class: "primary" }, "Ask");
  const halt = h("button", { type: "button", onclick: stop }, "Stop");
  const form = h("form", { class: "ask", onsubmit: (event) => {
    event.preventDefault();
    const text = question.value.trim();
    if (!text || running) return;
    question.value = "";
    answer(text);
  } }, h("label", { for: "question", class: "hidden" }, "Question"), question, h("div", { class: "buttons" }, ask, halt));
  question.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  const anew = h("button", { type: "button", onclick: () => {
    stop();
    talk = begin(whose);
    replace(link.ask());
    drawThread();
    question.focus();
  } }, "New conversation");
  view = { thread, form, question, ask, halt };
  fill(main, h("section", { class: "asking" }, h("h1", {}, "Ask"),
    h("p", { class: "small" }, `Answers are made from what ${session.user} can see, and say from where. The first words may take a moment.`),
    thread, form, session.conversations ? h("div", { class: "talks" }, anew, earlier()) : null));
  drawThread();
  if (route.talk && route.talk !== talk.id) open(route.talk, whose, shown);
  if (route.query) {
    replace(link.ask("", talk.id));
    const last = talk.turns.at(-1);
    if (last?.question !== route.query || last.error || last.failure) {
      answer(route.query);
      return;
    }
  }
  takeFocus(question);
}

function drawThread() {
  fill(view.thread, talk.turns.map((turn) => turn.element));
  drawButtons();
}

function drawButtons() {
  view.ask.disabled = running !== null;
  view.halt.hidden = running === null;
}

/** Goes back to a conversation that the server keeps, as far as it may be seen now. */
async function open(id, whose, shown) {
  stop();
  const mine = begin(whose, id);
  talk = mine;
  drawThread();
  const loading = h("p", { class: "small loading" }, "Opening…");
  view.thread.append(loading);
  try {
    const turns = (await opened(id)).map((turn) => ({ ...turnOf(turn.question), ...turn }));
    // Whoever asks on meanwhile asks in this conversation.
    mine.turns.unshift(...turns);
    turns.forEach(drawTurn);
    if (talk === mine) drawThread();
  } catch (error) {
    loading.remove();
    if (talk !== mine) return;
    mine.id = "";
    if (shown()) view.thread.prepend(failure(error));
  }
}

/** Stops what is being written, here at once and on the server, which would write on for a while for whoever comes back. */
function stop() {
  if (!running) return;
  const { leave, stream, as } = running;
  running = null;
  leave.abort();
  // One that is not there any more has stopped.
  stopping = stream ? remove(`/v1/answers/${stream}`, { as }).catch(() => {}) : null;
}

async function answer(question) {
  stop();
  const mine = { leave: new AbortController(), stream: "", as: identityHeaders() };
  running = mine;
  const mineTalk = talk;
  const before = talk.turns.filter((turn) => turn.text).flatMap((turn) => [
    { role: "user", content: turn.question },
    { role: "assistant", content: turn.text.slice(0, 8000) },
  ]);
  const turn = turnOf(question);
  talk.turns.push(turn);
  drawTurn(turn);
  view.thread.append(turn.element);
  turn.element.scrollIntoView({ block: "nearest" });
  drawButtons();
  try {
    // So that the question which was stopped is known to what follows on it.
    await stopping;
    await tell(turn, mineTalk, before.slice(-TURNS_MAX), mine);
    if (!turn.done && !turn.error) turn.error = "The answer broke off.";
  } catch (error) {
    if (error.name === "AbortError") turn.error = "Stopped.";
    else turn.failure = error;
  }
  drawTurn(turn);
  announce(turn.error || turn.failure?.message || "The answer is complete");
  if (running === mine) running = null;
  drawButtons();
  if (talk !== mineTalk || !view.form.isConnected) return;
  if (talk.id) replace(link.ask("", talk.id));
  // Whoever reads the sources stays there.
  if (document.activeElement === document.body || view.form.contains(document.activeElement)) takeFocus(view.question);
}

/** Has the answer told, event by event. */
async function tell(turn, talk, messages, mine) {
  const context = session.conversations ? { conversation: talk.id || "new" } : { messages };
  const body = { question: turn.question, ...context, stream: true };
  try {
    for await (const { event, data, id } of events("/v1/answers", { body, signal: mine.leave.signal, as: mine.as })) {
      // What can be gone on with can be stopped.
      mine.stream = id?.includes("-") ? id.split("-")[0] : "";
      take(turn, talk, event, data);
      drawTurn(turn);
    }
  } catch (error) {
    // The conversation was removed meanwhile, or its first question could not be kept.
    if (error.status !== 404 || !talk.id) throw error;
    talk.id = "";
    await tell(turn, talk, messages, mine);
  }
}

function take(turn, talk, event, data) {
  if (event === "sources") {
    turn.sources = data.sources;
    talk.id = data.conversation ?? talk.id;
  } else if (event === "delta") turn.text += data.text;
  else if (event === "citation") turn.citations[data.index] = data.citation;
  else if (event === "done") turn.done = data;
  else if (event === "error") {
    turn.error = ENDINGS[data.code] ?? ENDINGS.internal;
    // What may not be seen any more is not kept.
    if (data.code === "access_changed") Object.assign(turn, { text: "", sources: [], citations: [] });
  }
  if (turn.done?.not_found) Object.assign(turn, { text: turn.done.message ?? "Not found in what you can see.", citations: [] });
}

/** Draws a turn where it stands, as far as it is told. */
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
  refill(turn.element,
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
  /** How often each source was named before. */
  const counts = new Map();
  let from = 0;
  for (const sentence of turn.done?.sentences ?? []) {
    const at = turn.text.indexOf(sentence.text, from);
    if (at < 0 || !sentence.text) continue;
    parts.push(withChips(turn, turn.text.slice(from, at), counts));
    const text = withChips(turn, sentence.text, counts);
    parts.push(sentence.supported || turn.done.not_found ? text : h("span", { class: "unsupported", title: "No source bears this out" }, text));
    from = at + sentence.text.length;
  }
  parts.push(withChips(turn, turn.text.slice(from), counts));
  return parts;
}

function withChips(turn, text, counts) {
  return text.split(/(\[\d+\])/).map((part) => {
    const number = Number(/^\[(\d+)\]$/.exec(part)?.[1]);
    const source = turn.sources.find((candidate) => candidate.number === number);
    if (!source) return part;
    const cited = turn.citations.find((citation) => citation?.source === number);
    const href = link.page(source.page.id, cited?.block ?? source.blocks[0]?.block);
    const at = counts.get(number) ?? 0;
    counts.set(number, at + 1);
    return h("a", { class: "cite", href, "data-key": `cite ${number} ${at}`, title: source.page.title, "aria-label": `Source ${number}: ${source.page.title}` }, String(number));
  });
}

function drawSources(turn) {
  const cited = new Set(turn.citations.filter(Boolean).map((citation) => citation.source));
  // A marker names its source where no place of it is cited, too.
  for (const [, number] of turn.text.matchAll(/\[(\d+)\]/g)) cited.add(Number(number));
  const shown = turn.sources.filter((source) => !turn.done || cited.has(source.number));
  if (!shown.length) return null;
  return h("details", { class: "sources", "data-key": "sources" }, h("summary", { "data-key": "sources summary" }, `${shown.length} ${shown.length === 1 ? "source" : "sources"}`),
    h("ol", {}, shown.map((source) => h("li", { value: source.number },
      h("a", { href: link.page(source.page.id, source.blocks[0]?.block), "data-key": `source ${source.number}` }, source.page.title || "Untitled"),
      h("span", { class: "small" }, ` ${[...source.breadcrumb.map((crumb) => crumb.title), ...(source.headings ?? [])].join(" › ")}`)))));
}
