// Why someone can or cannot see a page, drawn as the way through the tree and the groups. For administrators.

import { json } from "./api.js";
import { failure, fill, h } from "./dom.js";
import { NOBODY, link } from "./routes.js";
import { session } from "./session.js";

const VERDICTS = {
  finds_and_opens: ["good", "finds it and opens it"],
  opens_by_link: ["half", "opens it by its address, and does not find it"],
  in_trash: ["half", "sees it in the trash alone"],
  nothing: ["bad", "can neither find nor open it"],
};

/** Shows the form, and the explanation where page and person are named. */
export async function showWhy(main, route) {
  document.title = "Who can see it? · Tessera";
  const people = session.people.filter((person) => person.workspace === session.workspace).map((person) => person.user);
  const page = h("input", { id: "why-page", value: route.id, required: true, autocomplete: "off" });
  const about = route.user || session.user || NOBODY;
  const user = h("input", { id: "why-user", value: about === NOBODY ? "" : about, placeholder: "anyone with the link", list: "people", autocomplete: "off" });
  const place = h("div", {});
  const submit = (event) => {
    event.preventDefault();
    const next = link.why(page.value.trim(), user.value.trim() || NOBODY);
    // Asked once more, it may be answered in another way.
    if (location.hash === next) explain();
    else location.hash = next;
  };
  fill(main, h("section", { class: "why" }, h("h1", {}, "Who can see it, and why?"),
    h("form", { class: "row", onsubmit: submit },
      h("div", {}, h("label", { for: "why-user" }, "Person"), user, h("datalist", { id: "people" }, people.map((id) => h("option", { value: id })))),
      h("div", {}, h("label", { for: "why-page" }, "Page id"), page),
      h("button", { type: "submit", class: "primary" }, "Explain")),
    place));
  const explain = async () => {
    try {
      const explained = await json("/v1/explain-access", { query: { page: route.id, user: about === NOBODY ? null : about } });
      fill(place, draw(explained));
    } catch (error) {
      fill(place, failure(error, explain));
    }
  };
  if (route.id) await explain();
}

function draw({ explanation, indexed, subject, page, titles = {} }) {
  const called = (id) => titles[id] || (id in titles ? "Untitled" : id);
  const [mood, verdict] = VERDICTS[explanation.verdict] ?? ["half", explanation.verdict];
  const matched = new Set(explanation.matches.map((match) => grantKey(match.given_on, match.grant)));
  const steps = explanation.path.map((step) => h("li", { class: step.restricted ? "step restricted" : "step" },
    h("p", {}, h("a", { href: link.page(step.page), title: step.page }, called(step.page)),
      step.page === page ? h("span", { class: "chip" }, "this page") : null,
      step.restricted ? h("span", { class: "chip" }, "restricted: nothing comes down from above") : null,
      step.trashed ? h("span", { class: "chip" }, "in the trash") : null,
      step.fault ? h("span", { class: "chip bad" }, `broken: ${typeof step.fault === "string" ? step.fault : JSON.stringify(step.fault)}`) : null),
    step.own.length
      ? h("ul", { class: "grants" }, step.own.map((grant) => h("li", { class: matched.has(grantKey(step.page, grant)) ? "chip good" : "chip" }, said(grant))))
      : h("p", { class: "small" }, "gives nothing of its own")));
  const ways = explanation.principals.map((reach) => h("li", {}, reach.through.join(" → ")));
  return [
    h("p", { class: `verdict ${mood}` }, h("strong", {}, subject === "anonymous" ? "Whoever has the link" : subject), " ", verdict, explanation.level ? ` (${explanation.level === "full" ? "full access" : `may ${explanation.level}`})` : "", "."),
    h("div", { class: "columns" },
      h("section", {}, h("h2", {}, "Through the tree"), steps.length ? h("ol", { class: "tree" }, steps) : h("p", {}, "The index does not know this page.")),
      h("section", {}, h("h2", {}, "Who the person is"), ways.length ? h("ul", { class: "ways" }, ways) : h("p", {}, "Nobody that grants could name."),
        h("h2", {}, "In words"), h("ul", {}, explanation.sentences.map((sentence) => h("li", {}, sentence))),
        indexed ? h("p", { class: "small" }, `Indexed: ${indexed.passages} passages, ${indexed.vectors} vectors.`) : null)),
  ];
}

function said({ principal, level }) {
  return `${principal} ${level === "full" ? "has full access" : `may ${level}`}`;
}

function grantKey(page, grant) {
  return JSON.stringify([page, grant.principal, grant.level]);
}
