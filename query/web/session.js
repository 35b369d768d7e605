// Who is asking. In insecure development a person is picked from a list; elsewhere a token is asked for and kept until the
// tab is closed. The server decides what it believes: this only fills in headers.

import { json } from "./api.js";
import { fill, h } from "./dom.js";

const KEPT = "tessera.identity";

/** What the server said of the caller, see `/v1/session`. */
export let session = { development: false, administrator: false, people: [] };

/** What is called when it is someone else. */
let onChange = () => {};
/** As whom the server last said that it knows the caller. */
let believed = {};
/** How often somebody else was chosen. */
let changes = 0;
let identity = JSON.parse(sessionStorage.getItem(KEPT) ?? "{}");

function keep(next) {
  identity = next;
  sessionStorage.setItem(KEPT, JSON.stringify(next));
}

/** The headers that say who is asking. */
export function identityHeaders() {
  const headers = {};
  if (identity.token) {
    headers.authorization = `Bearer ${inHeader(identity.token)}`;
    if (identity.workspace) headers["tessera-workspace"] = inHeader(identity.workspace);
    if (identity.user) headers["tessera-act-as"] = inHeader(identity.user);
  } else if (identity.workspace && identity.user) {
    headers["tessera-workspace"] = inHeader(identity.workspace);
    headers["tessera-user"] = inHeader(identity.user);
  }
  return headers;
}

/** A text as `fetch` wants it in a header: its bytes in UTF-8, each as a character. */
function inHeader(text) {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

/** Whether the caller is someone. */
export function isKnown() {
  return Boolean(session.workspace && session.user);
}

/**
 * Finds out who is asking, and draws the part of the header that says so. `changed` is called when it is someone else, and with an error and
 * how to try again where somebody else was chosen and it stays who it was.
 */
export async function startSession(changed) {
  onChange = changed;
  await load();
  if (session.development && !isKnown() && session.people.length) {
    const { workspace, user } = session.people[0];
    keep({ workspace, user });
    try {
      await load();
    } catch (error) {
      keep({});
      throw error;
    }
  }
  draw();
}

/** Nobody is asking any more. */
export function forget() {
  keep({});
  believed = identity;
  session = { ...session, workspace: null, user: null, administrator: false };
  draw();
}

/** Asks who it is; what the server says is taken as long as it is `wanted`. */
async function load(wanted = () => true) {
  let found;
  try {
    found = await json("/v1/session", { trial: true });
  } catch (error) {
    // A token that has run out: go on as nobody, so that another can be given.
    if ((error.status !== 401 && error.status !== 403) || !wanted()) throw error;
    keep({});
    found = await json("/v1/session", { trial: true });
  }
  if (!wanted()) return;
  believed = identity;
  session = { ...found, people: found.people ?? [] };
}

async function become(next) {
  changes += 1;
  const mine = changes;
  // Whoever goes through the list by the keyboard is somebody else again before the server has answered.
  const wanted = () => mine === changes;
  keep(next);
  try {
    await load(wanted);
  } catch (error) {
    if (!wanted()) return;
    keep(believed);
    draw();
    onChange(error, () => become(next));
    return;
  }
  if (!wanted()) return;
  draw();
  onChange();
}

function draw() {
  const place = document.getElementById("who");
  if (session.development) {
    const name = ({ workspace, user }) => JSON.stringify([workspace, user]);
    const shown = name({ workspace: session.workspace, user: session.user });
    const known = document.getElementById("person");
    // Whoever chooses by the keyboard stays in it.
    if (known) {
      known.value = shown;
      return;
    }
    const several = new Set(session.people.map((person) => person.workspace)).size > 1;
    const options = session.people.map((person) => {
      const role = person.role === "guest" ? " (guest)" : "";
      return h("option", { value: name(person) }, several ? `${person.user}${role} in ${person.workspace}` : `${person.user}${role}`);
    });
    const select = h("select", { id: "person", onchange: () => {
      const [workspace, user] = JSON.parse(select.value);
      become({ workspace, user });
    } }, options);
    select.value = shown;
    fill(place, h("label", { for: "person" }, h("span", { class: "wide" }, "Searching as"), h("span", { class: "hidden" }, " (insecure development)")), select);
  } else if (isKnown()) {
    fill(place, h("span", { class: "name" }, session.user), h("button", { type: "button", class: "plain", onclick: () => become({}) }, "Sign out"));
  } else {
    fill(place);
  }
}

/** The form that asks for a token, for those who are nobody yet, or no more, which `why` says. */
export function signIn(changed, why = "") {
  const token = h("input", { id: "token", type: "password", required: true, autocomplete: "off" });
  const workspace = h("input", { id: "token-workspace", autocomplete: "off" });
  const user = h("input", { id: "token-user", autocomplete: "off" });
  const more = h("details", {}, h("summary", {}, "For a service key, or a token of several workspaces"),
    h("label", { for: "token-workspace" }, "Workspace"), workspace,
    h("label", { for: "token-user" }, "Person that a service key acts for"), user);
  const wrong = h("p", { class: "notice error", role: "alert", hidden: !why }, why);
  document.title = "Who is asking? · Tessera";
  const submit = async (event) => {
    event.preventDefault();
    keep({ token: token.value.trim(), workspace: workspace.value.trim(), user: user.value.trim() });
    try {
      session = await json("/v1/session", { trial: true });
      session.people ??= [];
      if (!isKnown()) {
        more.open = true;
        throw new Error("Say which workspace; with a service key, also the person it acts for.");
      }
      believed = identity;
      draw();
      changed();
    } catch (error) {
      forget();
      wrong.hidden = false;
      wrong.textContent = error.message;
    }
  };
  return h("form", { class: "card sign-in", onsubmit: submit },
    h("h1", {}, "Who is asking?"),
    h("p", {}, "What is found depends on who asks. Paste a token of your product, or a service key and whom it acts for. It is kept in this tab alone."),
    h("label", { for: "token" }, "Token or service key"), token,
    more,
    wrong,
    h("button", { type: "submit", class: "primary" }, "Go on"));
}
