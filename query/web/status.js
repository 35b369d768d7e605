// How the server stands, asked again every two seconds while it is shown. Counts are for administrators.

import { json } from "./api.js";
import { failure, fill, h } from "./dom.js";

const EVERY_MS = 2000;

/** Shows the status until something else is shown. */
export async function showStatus(main, _route, { shown }) {
  document.title = "Status · Tessera";
  const place = h("div", {});
  fill(main, h("section", { class: "status" }, h("h1", {}, "How it stands"), place));
  while (shown()) {
    if (!document.hidden) {
      try {
        const status = await json("/v1/status");
        if (shown()) fill(place, draw(status));
      } catch (error) {
        if (shown()) fill(place, failure(error));
      }
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

function draw({ version, ready, model_id, consistency, workspace, ingest }) {
  const number = (value) => Number(value).toLocaleString();
  const tile = (label, value, note, mood = "") => h("div", { class: `tile ${mood}` }, h("dt", {}, label), h("dd", {}, value, note ? h("span", { class: "small" }, ` ${note}`) : null));
  return [
    h("dl", { class: "tiles" },
      tile("Server", ready ? "ready" : "stopping", `release ${version}`, ready ? "good" : "bad"),
      tile("Search by meaning", model_id ? "on" : "off", model_id ? model_id.slice(0, 24) : "words alone are searched", model_id ? "good" : "half"),
      tile("Commit", number(consistency.index_seq), `access ${number(consistency.access_seq)}`),
      workspace ? [
        tile("Pages", number(workspace.pages)),
        tile("Passages", number(workspace.passages)),
        tile("Vectors", number(workspace.vectors), workspace.pending_vectors ? `${number(workspace.pending_vectors)} to come` : "all there", workspace.pending_vectors ? "half" : "good"),
      ] : null,
      ingest ? [
        tile("Events waiting", number(ingest.queue_len), ingest.accepting ? "" : "none are taken", ingest.accepting ? "" : "bad"),
        tile("Oldest of them", `${number(ingest.lag_ms)} ms`, "not searchable yet", ingest.lag_ms > 5000 ? "half" : ""),
        tile("Passages to embed", number(ingest.pending_vectors)),
        tile("Events turned down", number(ingest.rejected_total), "since the start", ingest.rejected_total ? "half" : ""),
      ] : null),
    workspace ? null : h("p", { class: "small" }, "Counts are for administrators."),
  ];
}
