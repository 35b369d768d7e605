// The HTTP API as the page uses it: requests with the caller's identity, and problems (RFC 9457) as errors. Where the server knows the caller no
// more, the window is told by the event `tessera:unknown`.

import { identityHeaders } from "./session.js";

/** A response that was no success, or none at all. */
export class ApiError extends Error {
  constructor(message, { status = 0, code = "", requestId = "" } = {}) {
    super(message);
    Object.assign(this, { status, code, requestId });
  }
}

/** How often a stream that broke off is gone on with before the person is told. */
const RESUMES_MAX = 3;
/** How long the first time is waited before that, in milliseconds. */
const RESUME_MS = 500;

async function ask(path, { query, body, method, signal, last, as = identityHeaders(), trial = false, accept = "application/json" } = {}) {
  const url = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  const headers = { accept, ...as };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (last) headers["last-event-id"] = last;
  let response;
  try {
    response = await fetch(url, { method: method ?? (body === undefined ? "GET" : "POST"), headers, body: body && JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server cannot be reached. Is it running?");
  }
  if (response.ok) return response;
  // Who is asking is nobody any more, unless it is somebody else by now. Trials of a token see to that themselves.
  const isNow = JSON.stringify(as) === JSON.stringify(identityHeaders());
  if (response.status === 401 && !trial && isNow) dispatchEvent(new Event("tessera:unknown"));
  const problem = await response.json().catch(() => ({}));
  const message = problem.detail || problem.title || `The server answered with status ${response.status}.`;
  throw new ApiError(message, { status: response.status, code: problem.code, requestId: problem.request_id });
}

/** Asks for JSON: GET, or POST where there is a body. */
export async function json(path, options) {
  return (await ask(path, options)).json();
}

/** Asks for a text. */
export async function text(path, options) {
  return (await ask(path, { ...options, accept: "text/plain" })).text();
}

/** Asks that something be removed. */
export async function remove(path, options) {
  await ask(path, { ...options, method: "DELETE" });
}

/**
 * Asks for server-sent events, and yields them as `{event, data, id}` with the data parsed. Where the connection breaks, the server is asked
 * to go on after the last of them, if it said by its ids that it can.
 */
export async function* events(path, options) {
  let last = null;
  for (let resumes = 0; ; resumes += 1) {
    let over = false;
    try {
      for await (const event of connection(path, { ...options, last })) {
        last = event.id ?? last;
        over = event.event === "done" || event.event === "error";
        resumes = 0;
        yield event;
      }
      if (over || !last?.includes("-") || resumes >= RESUMES_MAX) return;
    } catch (error) {
      const isFinal = error.name === "AbortError" || (error instanceof ApiError && error.status);
      if (isFinal || over || !last?.includes("-") || resumes >= RESUMES_MAX) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, RESUME_MS * 2 ** resumes));
  }
}

/** The events of one connection. */
async function* connection(path, options) {
  const response = await ask(path, { ...options, accept: "text/event-stream" });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (rest + value.replaceAll("\r", "")).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const event = parseEvent(block);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parseEvent(block) {
  const fields = { event: "message", data: [], id: null };
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon === 0) continue;
    const [name, value] = colon < 0 ? [line, ""] : [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, "")];
    if (name === "data") fields.data.push(value);
    else if (name === "event" || name === "id") fields[name] = value;
  }
  return fields.data.length ? { event: fields.event, id: fields.id, data: JSON.parse(fields.data.join("\n")) } : null;
}
