// The operator's view: how the server stands, what it reads, how fast and how whole it answers, what language models took, and what the latest
// evaluation found. Asked again every two seconds while it is shown, what changes by the day less often. Each part is for those who may
// see it: others are told so.

import { json, text } from "./api.js";
import { parseCounters, parts, quantile, sum } from "./counters.js";
import { day, failure, fill, h, refill } from "./dom.js";

const EVERY_MS = 2000;
/** Time between two looks at what changes slowly: each leaves a line in the audit log. */
const SLOW_MS = 120_000;
/** Most models and people of whom the usage is told. */
const LINES_MAX = 6;

const number = (value) => Number(value).toLocaleString();
const ms = (seconds) => (seconds === null ? "–" : seconds < 10 ? `${number(Math.round(seconds * 1000))} ms` : `${number(Math.round(seconds))} s`);
const mega = (bytes) => `${number(Math.round(bytes / 1e5) / 10)} MB`;

/** Shows the status until something else is shown. */
export async function showStatus(main, _route, { shown }) {
  document.title = "Status · Tessera";
  const [now, counted, usage, evaluation] = [h("div", {}), h("div", {}), h("div", {}), h("div", {})];
  fill(main, h("section", { class: "status" },
    h("h1", {}, "How it stands"), now,
    h("h2", {}, "Searches and the index"), counted,
    h("h2", {}, "Language models"), usage,
    h("h2", {}, "Latest evaluation"), evaluation));
  const looks = [
    { place: now, path: "/v1/status", ask: json, draw: drawStatus, every: EVERY_MS },
    { place: counted, path: "/metrics", ask: text, draw: drawCounters, every: EVERY_MS },
    { place: usage, path: "/v1/usage", ask: json, draw: drawUsage, every: SLOW_MS },
    { place: evaluation, path: "/v1/evaluation", ask: json, draw: drawEvaluation, every: SLOW_MS },
  ].map((one) => ({ ...one, due: 0 }));
  while (shown()) {
    // What is not seen is not asked for, and is due when it is.
    const due = document.hidden ? [] : looks.filter((one) => one.due <= performance.now());
    await Promise.all(due.map((one) => look(one, shown)));
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

async function look(one, shown) {
  const { place, path, ask, draw, every } = one;
  // A little early rather than a round late.
  one.due = performance.now() + every - EVERY_MS / 2;
  try {
    const found = await ask(path);
    if (!shown()) return;
    refill(place, draw(found));
    one.failed = null;
  } catch (error) {
    // Whoever may not see it may not in two seconds either, and each asking is a refusal in the audit log.
    if ([401, 403, 404].includes(error.status)) one.due = Infinity;
    if (!shown()) return;
    if (error.status === 403) fill(place, h("p", { class: "small" }, "This is for those who may administer every workspace."));
    else if (error.status === 404) fill(place, h("p", { class: "small" }, "The server knows of none: `http.evaluation_file` names one."));
    // Whoever hears the page is told once, not every two seconds.
    else if (one.failed !== error.message) fill(place, failure(error));
    one.failed = error.message;
  }
}

function tile(label, value, note, mood = "") {
  return h("div", { class: `tile ${mood}` }, h("dt", {}, label), h("dd", {}, value, note ? h("span", { class: "small" }, ` ${note}`) : null));
}

function table(label, head, rows) {
  return h("div", { class: "table", role: "region", tabindex: "0", "aria-label": label, "data-key": label },
    h("table", {},
      h("thead", {}, h("tr", {}, head.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell)))))));
}

function drawStatus({ version, ready, model_id, consistency, workspace, ingest }) {
  return [
    h("dl", { class: "tiles" },
      tile("Server", ready ? "ready" : "stopping", `release ${version}`, ready ? "good" : "bad"),
      tile("Search by meaning", model_id ? "on" : "off", model_id ? model_id.slice(0, 24) : "words alone are searched", model_id ? "good" : "half"),
      tile("Commit", number(consistency.index_seq), `access ${number(consistency.access_seq)}`),
      workspace ? [
        tile("Pages", number(workspace.pages), "of this workspace"),
        tile("Passages", number(workspace.passages), "of this workspace"),
        tile("Vectors", number(workspace.vectors), workspace.pending_vectors ? `${number(workspace.pending_vectors)} to come` : "all there", workspace.pending_vectors ? "half" : "good"),
      ] : null,
      ingest ? [
        tile("Events waiting", number(ingest.queue_len), ingest.accepting ? "" : "none are taken", ingest.accepting ? "" : "bad"),
        tile("Oldest of them", `${number(ingest.lag_ms)} ms`, "not searchable yet", ingest.lag_ms > 5000 ? "half" : ""),
        tile("Passages to embed", number(ingest.pending_vectors)),
        tile("Events turned down", number(ingest.rejected_total), "since the start", ingest.rejected_total ? "half" : ""),
      ] : null),
    ingest?.stream ? drawStream(ingest.stream) : null,
    workspace ? null : h("p", { class: "small" }, "Counts are for administrators."),
  ];
}

function drawStream({ connected, failing, gaps_total, partitions }) {
  const rows = partitions.map((one) => [
    number(one.partition), number(one.position), one.committed === undefined ? "–" : number(one.committed),
    one.lag_events === undefined ? "not known" : number(one.lag_events), `${number(one.lag_ms)} ms`, mega(one.in_flight_bytes), one.paused ? "paused" : "read",
  ]);
  return [
    h("h2", {}, "The stream"),
    h("dl", { class: "tiles" },
      tile("Brokers", connected ? "answer" : "do not answer", "", connected ? "good" : "bad"),
      tile("Merging", failing ? "fails" : "goes on", failing ? "the log says why" : "", failing ? "bad" : "good"),
      tile("Gaps", number(gaps_total), "events that were gone before they were read", gaps_total ? "bad" : "")),
    table("Partitions of the stream", ["Partition", "Position", "Committed", "Events behind", "Oldest that waits", "Waiting", ""], rows),
  ];
}

function drawCounters(found) {
  const series = parseCounters(found);
  const legs = parts(series, "tessera_query_degraded_total", "stage");
  const shed = parts(series, "tessera_query_shed_total", "bound");
  const dropped = sum(series, "tessera_query_permit_dropped_total") ?? 0;
  const documents = sum(series, "tessera_index_documents") ?? 0;
  const deleted = sum(series, "tessera_index_deleted_documents") ?? 0;
  const told = (list) => list.map(([name, count]) => `${name} ${number(count)}`).join(", ") || "none";
  const search = { route: "/v1/search" };
  return [
    h("dl", { class: "tiles" },
      tile("Found after an edit", ms(quantile(series, "tessera_indexer_freshness_seconds", 0.5)), `p99 ${ms(quantile(series, "tessera_indexer_freshness_seconds", 0.99))}`),
      tile("A search takes", ms(quantile(series, "tessera_query_request_seconds", 0.5, search)), `p99 ${ms(quantile(series, "tessera_query_request_seconds", 0.99, search))}`),
      tile("A commit takes", ms(quantile(series, "tessera_indexer_commit_seconds", 0.5)), `p99 ${ms(quantile(series, "tessera_indexer_commit_seconds", 0.99))}`),
      tile("Degraded searches", number(legs.reduce((all, [, count]) => all + count, 0)), told(legs), legs.length ? "half" : "good"),
      tile("Turned away", number(shed.reduce((all, [, count]) => all + count, 0)), told(shed), shed.length ? "half" : "good"),
      tile("Stopped by the last check", number(dropped), "pages", dropped ? "half" : "good"),
      tile("Segments", number(sum(series, "tessera_index_segments") ?? 0), mega(sum(series, "tessera_index_bytes") ?? 0)),
      tile("Documents", number(documents), `${number(deleted)} deleted`),
      tile("Memory", mega(sum(series, "process_resident_memory_bytes") ?? 0), "of the process")),
    h("p", { class: "small" }, "Of all workspaces, since the server started."),
  ];
}

function drawUsage({ from, to, results, total, budget }) {
  const tokens = ({ prompt_tokens, completion_tokens }) => prompt_tokens + completion_tokens;
  const cost = ({ cost_micros }) => (cost_micros / 1e6).toLocaleString(undefined, { maximumFractionDigits: 2 });
  const spent = (label, allowance) => {
    if (!allowance) return null;
    const share = allowance.tokens / allowance.tokens_max;
    const mood = share >= 1 ? "bad" : share >= 0.8 ? "half" : "good";
    return tile(label, `${Math.round(share * 100)} %`, `${number(allowance.tokens)} of ${number(allowance.tokens_max)} tokens`, mood);
  };
  const by = new Map();
  for (const line of results) {
    const key = JSON.stringify([line.model, line.user || "nobody named"]);
    const known = by.get(key) ?? { calls: 0, prompt_tokens: 0, completion_tokens: 0, cost_micros: 0 };
    for (const name of Object.keys(known)) known[name] += line[name];
    by.set(key, known);
  }
  const largest = [...by].sort(([, a], [, b]) => tokens(b) - tokens(a)).slice(0, LINES_MAX);
  const rows = largest.map(([key, taken]) => [...JSON.parse(key), number(taken.calls), number(tokens(taken)), cost(taken)]);
  return [
    h("dl", { class: "tiles" },
      tile("Tokens", number(tokens(total)), `${number(total.calls)} calls`),
      tile("Cost", cost(total), "in the currency of the price table"),
      spent("Budget of today", budget?.day),
      spent("Budget of the month", budget?.month)),
    rows.length ? table("Usage by model and person", ["Model", "Person", "Calls", "Tokens", "Cost"], rows) : null,
    h("p", { class: "small" }, "Of this workspace, from ", day(from), " to ", day(to), budget ? "." : ". No budget bounds it."),
  ];
}

function drawEvaluation({ made_at, release, machine, model_id, leaks, collections }) {
  return [
    h("p", {}, "Release ", release, ", ", day(made_at), ", on ", machine, model_id ? [", with ", h("code", {}, model_id.slice(0, 24))] : ", by words alone", ". ",
      h("span", { class: leaks ? "chip bad" : "chip good" }, leaks ? `${number(leaks)} leaks` : "no leak")),
    collections.map(({ name, queries, metrics, systems }) => {
      const timed = systems.some((system) => system.p99_ms !== undefined);
      const rows = systems.map((system) => [system.name, ...metrics.map((metric) => system.means[metric]?.toFixed(3) ?? "–"), ...(timed ? [system.p99_ms === undefined ? "–" : `${number(Math.round(system.p99_ms))} ms`] : [])]);
      return [h("h3", {}, name, " ", h("span", { class: "small" }, `${number(queries)} queries`)), table(`Evaluation on ${name}`, ["Configuration", ...metrics, ...(timed ? ["p99"] : [])], rows)];
    }),
  ];
}
