// Asking: answers with their citations, stopped or broken off, and conversations that are gone on with; in a real Chromium.

import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, become, browse, open, page, quiet, search, shoot, url } from "./browser.mjs";

browse();

const event = (name, data, id) => `event: ${name}\ndata: ${JSON.stringify(data)}\n${id ? `id: ${id}\n` : ""}\n`;
const block = { block: "b", type: "paragraph", range: [0, 4], text: "Plan" };
const source = { number: 1, page: { id: "p", title: "Plan", kind: "page", tags: [] }, breadcrumb: [], headings: [], score: 1, blocks: [block] };
const DONE = { sentences: [], not_found: false, extractive: false, degraded: [], truncated: false, took_ms: 1 };
const TALK = "0123456789abcdef0123456789abcdef";
const ask = async (question) => {
  await page.fill("#question", question);
  await page.keyboard.press("Enter");
};
/** Waits until no answer is being written. */
const complete = () => page.waitForFunction(() => document.querySelector(".ask button[hidden]"));

test("a question is answered with citations that open the cited block, and questions follow on", async () => {
  await become("oskar");
  await page.locator("#views a", { hasText: "Ask" }).click();
  await page.fill("#question", "What does ERR_DOME_STALL mean?");
  await page.keyboard.press("Enter");
  const turn = page.locator(".turn").first();
  await turn.locator(".small", { hasText: "Extractive" }).waitFor();
  assert.match(await turn.locator(".answer").innerText(), /azimuth motor/);
  await turn.locator(".sources summary").click();
  assert.ok((await turn.locator(".sources li").count()) >= 1);
  await accessible("ask");
  await shoot("ask");
  await page.fill("#question", "And what must be done before touching anything?");
  await page.locator(".ask button", { hasText: "Ask" }).click();
  await page.locator(".turn").nth(1).locator(".answer").waitFor();
  await page.waitForFunction(() => document.querySelector(".ask button[hidden]"));
  await page.locator(".turn").first().locator(".cite").first().click();
  await page.locator(".block.target").waitFor();
  await page.goBack();
  assert.equal(await page.locator(".turn").count(), 2, "the conversation is still there");
  quiet();
});

test("what the address asks is asked once, and the conversation stays while pages are read", async () => {
  const asked = [];
  page.on("request", (request) => request.url().endsWith("/v1/answers") && asked.push(request.postDataJSON().question));
  await become("oskar");
  await search("What does ERR_DOME_STALL mean?");
  await page.locator(".results a", { hasText: "Ask this as a question" }).click();
  await page.locator(".turn .small", { hasText: "Extractive" }).waitFor();
  await complete();
  await ask("And what must be done before touching anything?");
  await page.locator(".turn").nth(1).locator(".answer").waitFor();
  await complete();
  const questions = ["What does ERR_DOME_STALL mean?", "And what must be done before touching anything?"];
  const cite = async () => {
    await page.locator(".cite").first().click();
    await page.locator(".block.target").waitFor();
    await page.goBack();
    await page.locator("#question").waitFor();
    await page.waitForTimeout(200);
  };
  await cite();
  assert.deepEqual(asked, questions);
  assert.deepEqual(await page.locator(".turn h2").allInnerTexts(), questions);
  await page.reload();
  await page.locator(".turn").first().locator(".answer").waitFor();
  assert.deepEqual(await page.locator(".turn h2").allInnerTexts(), questions, "it is opened again, not asked again");
  await page.locator("button", { hasText: "New conversation" }).click();
  await ask(questions[0]);
  await page.locator(".turn .cite").first().waitFor();
  await complete();
  await cite();
  assert.deepEqual(await page.locator(".turn h2").allInnerTexts(), [questions[0]]);
  assert.deepEqual(asked, [...questions, questions[0]]);
  quiet();
});

test("a conversation is kept by the server: it can be gone back to, gone on with and removed", async () => {
  await become("oskar");
  await page.locator("#views a", { hasText: "Ask" }).click();
  await page.fill("#question", "What does ERR_DOME_STALL mean?");
  await page.keyboard.press("Enter");
  await page.locator(".turn").first().locator(".small", { hasText: "Extractive" }).waitFor();
  await page.locator("button", { hasText: "New conversation" }).click();
  assert.equal(await page.locator(".turn").count(), 0);
  // Another tab knows nothing but what the server keeps.
  await page.reload();
  await page.locator(".earlier summary").click();
  await page.locator(".earlier a", { hasText: "ERR_DOME_STALL" }).first().click();
  const turn = page.locator(".turn").first();
  await turn.locator(".answer", { hasText: "azimuth motor" }).waitFor();
  assert.ok((await turn.locator(".cite").count()) >= 1);
  await accessible("conversation");
  await shoot("conversation");
  await page.fill("#question", "And what must be done before touching anything?");
  const asked = page.waitForRequest(/\/v1\/answers/);
  await page.locator(".ask button", { hasText: "Ask" }).click();
  assert.match(JSON.parse((await asked).postData()).conversation, /^[0-9a-f]{32}$/);
  await page.locator(".turn").nth(1).locator(".answer").waitFor();
  await page.locator(".earlier summary").click();
  const item = page.locator(".earlier li", { hasText: "ERR_DOME_STALL" }).first();
  await item.locator(".small", { hasText: "2 questions" }).waitFor();
  const before = await page.locator(".earlier li").count();
  await item.locator("button", { hasText: "Remove" }).click();
  await page.waitForFunction((count) => document.querySelectorAll(".earlier li").length < count, before);
  quiet();
});

test("an answer is stopped here and on the server, and what follows on it is of the same conversation", async () => {
  // The first stream says a few words and then nothing, as a slow model does; no test server can leave a response open.
  await open({ prepare: (tab) => tab.addInitScript(([begun, whole]) => {
    const real = window.fetch;
    window.asked = [];
    window.fetch = (address, options) => {
      if (!String(address).endsWith("/v1/answers")) return real(address, options);
      window.asked.push(JSON.parse(options.body));
      const isFirst = window.asked.length === 1;
      const body = new ReadableStream({ start(controller) {
        controller.enqueue(new TextEncoder().encode(isFirst ? begun : whole));
        if (!isFirst) controller.close();
        options.signal.addEventListener("abort", () => controller.error(new DOMException("left", "AbortError")));
      } });
      return Promise.resolve(new Response(body, { headers: { "content-type": "text/event-stream" } }));
    };
  }, [
    event("sources", { sources: [source], conversation: TALK, request_id: "r" }, "5eed-0") + event("delta", { text: "It is [1] " }, "5eed-1"),
    event("sources", { sources: [source], conversation: TALK, request_id: "r" }, "f00d-0") + event("delta", { text: "Yes [1]." }, "f00d-1") + event("done", { ...DONE, conversation: TALK }, "f00d-2"),
  ]) });
  const stopped = [];
  await page.route("**/v1/answers/*", (route) => {
    stopped.push([route.request().method(), new URL(route.request().url()).pathname]);
    return route.fulfill({ status: 204 });
  });
  await page.locator("#views a", { hasText: "Ask" }).click();
  const stop = page.locator(".ask button", { hasText: "Stop" });
  assert.equal(await stop.isVisible(), false);
  await ask("What is it?");
  await page.locator(".turn .answer", { hasText: "It is" }).waitFor();
  assert.equal(await page.locator(".ask button.primary").isDisabled(), true);
  await accessible("while it is written");
  await shoot("writing");
  // Whoever looks at the sources meanwhile finds it going on.
  await page.locator(".turn .sources summary").click();
  await page.locator("#views a", { hasText: "Search" }).click();
  await page.locator("#views a", { hasText: "Ask" }).click();
  assert.equal(await page.locator(".turn .sources").getAttribute("open"), "");
  await stop.click();
  await page.locator(".turn .notice", { hasText: "Stopped." }).waitFor();
  await complete();
  assert.equal(await stop.isVisible(), false);
  await page.waitForTimeout(100);
  assert.deepEqual(stopped, [["DELETE", "/v1/answers/5eed"]]);
  assert.match(await page.locator(".turn .answer").innerText(), /It is/, "what came stays");
  await shoot("stopped");
  await ask("Is it so?");
  await page.locator(".turn").nth(1).locator(".answer", { hasText: "Yes" }).waitFor();
  await complete();
  assert.deepEqual(await page.evaluate(() => window.asked.map((request) => request.conversation)), ["new", TALK]);
  assert.match(page.url(), new RegExp(`talk=${TALK}$`));
  assert.equal(stopped.length, 1);
  quiet();
});

test("a conversation that is not there any more is begun anew", async () => {
  const asked = [];
  await page.route("**/v1/answers", (route) => {
    const { conversation } = route.request().postDataJSON();
    asked.push(conversation);
    if (conversation !== "new") return route.fulfill({ status: 404, contentType: "application/problem+json", body: JSON.stringify({ title: "Not found" }) });
    const id = TALK.replaceAll("0", String(asked.length));
    return route.fulfill({ contentType: "text/event-stream", body: event("sources", { sources: [source], conversation: id, request_id: "r" }) + event("delta", { text: "So." }) + event("done", { ...DONE, conversation: id }) });
  });
  await page.goto(`${url}/#/ask?q=first`);
  await page.locator(".turn .answer", { hasText: "So." }).waitFor();
  await complete();
  await ask("second");
  await page.locator(".turn").nth(1).locator(".answer", { hasText: "So." }).waitFor();
  assert.deepEqual(asked, ["new", TALK.replaceAll("0", "1"), "new"]);
  quiet();
});

test("an answer whose connection breaks is gone on with where it broke off", async () => {
  const parts = [
    event("sources", { sources: [source], request_id: "r" }, "s-0") + event("delta", { text: "It is " }, "s-1"),
    event("delta", { text: "so." }, "s-2") + event("done", DONE, "s-3"),
  ];
  const asked = [];
  await page.route("**/v1/answers", (route) => {
    asked.push(route.request().headers()["last-event-id"]);
    return route.fulfill({ contentType: "text/event-stream", body: parts[asked.length - 1] });
  });
  await page.goto(`${url}/#/ask?q=broken`);
  await page.locator(".answer", { hasText: "It is so." }).waitFor();
  assert.deepEqual(asked, [undefined, "s-1"]);
  quiet();
});

test("what nothing answers is said, and another person begins another conversation", async () => {
  await become("rafael (guest)");
  await page.goto(`${url}/#/ask`);
  await page.fill("#question", "How often is the payroll of Lisbon paid out?");
  await page.keyboard.press("Enter");
  const turn = page.locator(".turn").first();
  await turn.locator(".answer", { hasText: "Not found in what you can see" }).waitFor();
  assert.equal(await turn.locator(".cite").count(), 0);
  await become("ada");
  await page.locator(".asking .small", { hasText: "what ada can see" }).waitFor();
  assert.equal(await page.locator(".turn").count(), 0);
  quiet();
});

test("an answer whose sources were lost is taken back, and unsupported sentences are marked", async () => {
  const begun = event("sources", { sources: [source], request_id: "r" }) + event("delta", { text: "It is so. [1] It is not." });
  const sentences = [{ text: "It is so.", citations: [0], support: 1, supported: true }, { text: "It is not.", citations: [], support: 0, supported: false }];
  const done = event("done", { ...DONE, sentences });
  const answer = (body) => page.route("**/v1/answers", (route) => route.fulfill({ contentType: "text/event-stream", body }));
  await answer(begun + done);
  await page.goto(`${url}/#/ask?q=first`);
  await page.locator(".unsupported", { hasText: "It is not." }).waitFor();
  assert.equal(await page.locator(".unsupported").count(), 1);
  await accessible("unsupported");
  await shoot("unsupported");
  await page.unroute("**/v1/answers");
  await answer(begun + event("error", { code: "access_changed", retryable: true }));
  await page.fill("#question", "second");
  await page.keyboard.press("Enter");
  const turn = page.locator(".turn").nth(1);
  await turn.locator(".notice", { hasText: "taken back" }).waitFor();
  assert.equal(await turn.locator(".answer, .sources").count(), 0);
  quiet();
});
