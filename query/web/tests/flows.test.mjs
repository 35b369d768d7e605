// The page at `/`, driven in a real Chromium against a real server on the sample workspace.
//
//   TESSERA_URL   the server, in insecure development; `scripts/test-browser.sh` starts one
//   CHROMIUM      the browser; /usr/bin/chromium
//   SHOTS         folder for the screenshots

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, beforeEach, test } from "node:test";
import { chromium } from "playwright-core";

const url = process.env.TESSERA_URL;
const shots = process.env.SHOTS ?? "shots";
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const DESK = { width: 1280, height: 900 };
const PHONE = { width: 360, height: 740 };

let browser;
let context;
let page;
/** What went wrong in the page itself: nothing may. */
let complaints;

before(async () => {
  mkdirSync(shots, { recursive: true });
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
});
after(() => browser?.close());

async function open({ viewport = DESK, colorScheme = "light", at = "/" } = {}) {
  await context?.close();
  context = await browser.newContext({ viewport, colorScheme });
  page = await context.newPage();
  complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error" && !/status of (4|5)\d\d/.test(message.text())) complaints.push(message.text());
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(url)) complaints.push(`asked another server: ${request.url()}`);
  });
  await page.goto(url + at);
  await page.locator("#who select, form.sign-in").first().waitFor();
}
beforeEach(() => open());

const become = async (user) => {
  if ((await page.locator("#person option:checked").innerText()) === user) return;
  const known = page.waitForResponse(/\/v1\/session/);
  await page.selectOption("#person", { label: user });
  await known;
  await page.waitForTimeout(100);
};
const search = async (query) => {
  await page.fill("#query", query);
  await page.locator(".results:not([aria-busy]) .hits, .results:not([aria-busy]) .notice").first().waitFor();
  await page.waitForFunction((text) => location.hash.includes(new URLSearchParams({ q: text }).toString()), query);
  await page.waitForTimeout(250);
  await page.locator(".results:not([aria-busy])").waitFor();
};
const titles = () => page.locator(".hit a.title").allInnerTexts();
const shoot = (name) => page.screenshot({ path: `${shots}/${name}.png`, fullPage: false });
const quiet = () => assert.deepEqual(complaints, []);

async function accessible(name) {
  // The policy of the page lets no script in that is written into it, so the checks run beside the page.
  const session = await context.newCDPSession(page);
  await session.send("Page.enable");
  const { frameTree } = await session.send("Page.getFrameTree");
  const { executionContextId } = await session.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id, worldName: "axe" });
  await session.send("Runtime.evaluate", { expression: axe, contextId: executionContextId });
  const { result } = await session.send("Runtime.evaluate", {
    expression: "axe.run().then((found) => JSON.stringify(found.violations.map((v) => [v.impact, v.id, v.nodes.map((n) => n.target.join(' ') + ': ' + n.failureSummary)])))",
    contextId: executionContextId,
    awaitPromise: true,
    returnByValue: true,
  });
  const serious = JSON.parse(result.value).filter(([impact]) => impact === "serious" || impact === "critical");
  assert.deepEqual(serious, [], `axe-core, ${name}`);
}

test("the start page says what can be searched, and the field has the focus", async () => {
  assert.match(await page.locator("h1").innerText(), /Search this workspace/);
  assert.equal(await page.evaluate(() => document.activeElement.id), "query");
  await accessible("start");
  await shoot("start");
  quiet();
});

test("typing finds by words and by meaning, marks what fits and keeps it in the address", async () => {
  await become("seoyeon");
  await search("animals chewing on cables");
  assert.match((await titles())[0], /marten chewed/);
  await search("ERR_DOME_STALL");
  assert.ok((await page.locator(".snippet mark").count()) > 0);
  assert.match(page.url(), /#\/search\?q=ERR_DOME_STALL/);
  await page.reload();
  await page.locator(".hits").waitFor();
  assert.equal(await page.inputValue("#query"), "ERR_DOME_STALL");
  await accessible("results");
  await shoot("results");
  quiet();
});

test("the keyboard is enough: slash, arrows, enter, escape", async () => {
  await search("dome stall");
  await page.locator("h1, .hits").first().click({ position: { x: 2, y: 2 } });
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.id), "query");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowUp");
  const chosen = await page.evaluate(() => document.activeElement.textContent.trim());
  assert.equal(chosen, (await titles())[0].trim());
  await page.keyboard.press("Enter");
  await page.locator("article.page h1").waitFor();
  await page.keyboard.press("Escape");
  await page.locator(".hits").waitFor();
  await page.keyboard.press("Control+k");
  assert.equal(await page.evaluate(() => document.activeElement.id), "query");
  quiet();
});

test("a hit opens its page at the block that fits", async () => {
  await search("ERR_DOME_STALL");
  const href = await page.locator(".hit a.title").first().getAttribute("href");
  assert.match(href, /block=/);
  await page.locator(".hit a.title").first().click();
  await page.locator(".block.target").waitFor();
  assert.ok(await page.locator(".block.target").evaluate((block) => {
    const { top, bottom } = block.getBoundingClientRect();
    return top >= 0 && bottom <= innerHeight;
  }));
  assert.ok((await page.locator(".crumbs a").count()) > 0);
  await page.locator(".similar li").first().waitFor();
  await accessible("page");
  await shoot("page");
  quiet();
});

test("filters narrow what is found, and can be cleared", async () => {
  await search("dome");
  const all = await page.locator(".hit").count();
  const box = page.locator(".facets fieldset", { hasText: "Author" }).locator("input").first();
  await box.check();
  await page.waitForFunction(() => location.hash.includes("author="));
  await page.waitForTimeout(300);
  assert.ok((await page.locator(".hit").count()) < all);
  await page.locator(".facets a", { hasText: "Clear" }).click();
  await page.waitForFunction((count) => document.querySelectorAll(".hit").length === count, all);
  quiet();
});

test("the same search as other people finds what they may see, and no more", async () => {
  await become("petra");
  await search('"vellumcrest"');
  assert.match((await titles()).join("|"), /^(\S+ )?Terms of the director$/);
  const address = await page.locator(".hit a.title").getAttribute("href");
  await become("ada");
  await page.locator(".notice", { hasText: "Nothing found" }).waitFor();
  await shoot("nothing-found");
  await page.goto(`${url}/${address}`);
  await page.locator(".notice", { hasText: "no such page" }).waitFor();
  await become("rafael (guest)");
  await search("dome");
  assert.ok((await titles()).length <= 3);
  assert.equal(await page.locator(".crumbs", { hasText: "Engineering" }).count(), 0);
  quiet();
});

test("administrators see why someone can or cannot see a page", async () => {
  await become("petra");
  await search('"vellumcrest"');
  await page.locator(".hit a", { hasText: "Who can see it?" }).click();
  await page.locator(".verdict.good").waitFor();
  await page.fill("#why-user", "ada");
  await page.locator("button", { hasText: "Explain" }).click();
  await page.locator(".verdict.bad").waitFor();
  assert.ok((await page.locator(".step.restricted").count()) >= 1);
  await accessible("why");
  await shoot("why");
  quiet();
});

test("what is counted is read as it is written", async () => {
  const { parseCounters, parts, quantile, sum } = await import(new URL("./counters.js", import.meta.url));
  const series = parseCounters([
    "# HELP shed what was turned away",
    'shed{bound="a\\"b"} 2', 'shed{bound="c"} 5', 'shed{bound="d"} 0', "plain 7.5",
    'took_bucket{route="/x",le="0.1"} 90', 'took_bucket{route="/x",le="1"} 99', 'took_bucket{route="/x",le="+Inf"} 100',
    'took_bucket{route="/y",le="0.1"} 1', 'took_bucket{route="/y",le="1"} 1', 'took_bucket{route="/y",le="+Inf"} 1',
  ].join("\n"));
  assert.equal(sum(series, "shed"), 7);
  assert.equal(sum(series, "plain"), 7.5);
  assert.equal(sum(series, "absent"), null);
  assert.deepEqual(parts(series, "shed", "bound"), [["c", 5], ['a"b', 2]]);
  assert.ok(Math.abs(quantile(series, "took", 0.5, { route: "/x" }) - 0.1 * (50 / 90)) < 1e-9);
  assert.ok(Math.abs(quantile(series, "took", 0.95, { route: "/x" }) - (0.1 + 0.9 * (5 / 9))) < 1e-9);
  assert.equal(quantile(series, "took", 0.999, { route: "/x" }), 1, "beyond the last bound nothing is known");
  assert.equal(quantile(series, "took", 0.5, { route: "/z" }), null);
});

test("the status shows what is indexed, how it is searched, what was spent and what was measured", async () => {
  await page.locator("#views a", { hasText: "Status" }).click();
  // By what a tile is called: what it says may name others.
  const tile = (name) => page.locator(".tile", { has: page.locator("dt", { hasText: new RegExp(`^${name}`) }) });
  const told = (name) => tile(name).locator("dd").innerText();
  await tile("Pages").waitFor();
  assert.match(await told("Pages"), /\d\d/);
  await tile("Segments").waitFor();
  assert.match(await told("Segments"), /^[1-9]\d* .*MB/s);
  assert.match(await told("Events waiting"), /^\d/);
  assert.match(await told("A search takes"), /p99/);
  assert.match(await told("Degraded searches"), /^\d/);
  await tile("Budget of the month").waitFor();
  assert.match(await told("Budget of the month"), /^0 % .*0 of 1.000.000 tokens/s);
  await page.locator("h3", { hasText: "northwind-observatory" }).waitFor();
  const scores = await page.locator("[aria-label^='Evaluation on'] tbody tr").first().innerText();
  assert.match(scores, /lexical\s+[01]\.\d{3}/);
  await accessible("status");
  await page.screenshot({ path: `${shots}/status.png`, fullPage: true });
  quiet();
});

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

test("an answer whose connection breaks is gone on with where it broke off", async () => {
  const event = (id, name, data) => `event: ${name}\ndata: ${JSON.stringify(data)}\nid: s-${id}\n\n`;
  const source = { number: 1, page: { id: "p", title: "Plan", kind: "page", tags: [] }, breadcrumb: [], headings: [], score: 1, blocks: [] };
  const parts = [
    event(0, "sources", { sources: [source], request_id: "r" }) + event(1, "delta", { text: "It is " }),
    event(2, "delta", { text: "so." }) + event(3, "done", { sentences: [], not_found: false, extractive: false, degraded: [], truncated: false, took_ms: 1 }),
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
  const event = (name, data) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
  const source = { number: 1, page: { id: "p", title: "Plan", kind: "page", tags: [] }, breadcrumb: [], headings: [], score: 1, blocks: [{ block: "b", type: "paragraph", range: [0, 4], text: "Plan" }] };
  const begun = event("sources", { sources: [source], request_id: "r" }) + event("delta", { text: "It is so. [1] It is not." });
  const sentences = [{ text: "It is so.", citations: [0], support: 1, supported: true }, { text: "It is not.", citations: [], support: 0, supported: false }];
  const done = event("done", { sentences, not_found: false, extractive: false, degraded: [], truncated: false, took_ms: 1 });
  const answer = (body) => page.route("**/v1/answers", (route) => route.fulfill({ contentType: "text/event-stream", body }));
  await answer(begun + done);
  await page.goto(`${url}/#/ask?q=first`);
  await page.locator(".unsupported", { hasText: "It is not." }).waitFor();
  assert.equal(await page.locator(".unsupported").count(), 1);
  await page.unroute("**/v1/answers");
  await answer(begun + event("error", { code: "access_changed", retryable: true }));
  await page.fill("#question", "second");
  await page.keyboard.press("Enter");
  const turn = page.locator(".turn").nth(1);
  await turn.locator(".notice", { hasText: "taken back" }).waitFor();
  assert.equal(await turn.locator(".answer, .sources").count(), 0);
  quiet();
});

test("errors are told with the request, and searching goes on after", async () => {
  await page.route("**/v1/search", (route) => route.fulfill({
    status: 503,
    contentType: "application/problem+json",
    body: JSON.stringify({ title: "Busy", detail: "The server is busy.", code: "overloaded", request_id: "req-1" }),
  }));
  await page.fill("#query", "dome");
  await page.locator(".notice.error", { hasText: "The server is busy." }).waitFor();
  assert.match(await page.locator(".notice.error").innerText(), /req-1/);
  await shoot("error");
  await page.unroute("**/v1/search");
  await page.locator(".notice.error button").click();
  await page.locator(".hits").waitFor();
  quiet();
});

test("a degraded answer says so", async () => {
  await page.route("**/v1/search", async (route) => {
    const response = await route.fetch();
    const json = await response.json();
    await route.fulfill({ response, json: { ...json, degraded: ["semantic"], semantic_pending: true } });
  });
  await search("dome");
  await page.locator(".notice", { hasText: "by words alone" }).waitFor();
  await page.locator(".notice", { hasText: "still being embedded" }).waitFor();
  quiet();
});

test("content is never markup", async () => {
  const evil = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>';
  await page.route("**/v1/search", async (route) => {
    const response = await route.fetch();
    const json = await response.json();
    for (const hit of json.results) {
      hit.page.title = evil;
      hit.snippet = { text: evil, highlights: [[1, 4]] };
    }
    await route.fulfill({ response, json });
  });
  await search("dome");
  assert.equal(await page.locator(".hit img, .hit script").count(), 0);
  assert.notEqual(await page.title(), "owned");
  assert.match((await titles())[0], /<img src=x/);
  quiet();
});

test("it works on a phone, and in the dark", async () => {
  await open({ viewport: PHONE });
  await search("dome stall");
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing is wider than the screen");
  await accessible("phone");
  await shoot("phone-results");
  await page.locator(".hit a.title").first().click();
  await page.locator("article.page").waitFor();
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  await shoot("phone-page");
  await open({ colorScheme: "dark" });
  await search("dome stall");
  await accessible("dark");
  await shoot("dark-results");
  quiet();
});

test("the policy lets in no script but its own", async () => {
  const response = await page.request.get(`${url}/`);
  const policy = response.headers()["content-security-policy"];
  for (const rule of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"]) assert.ok(policy.includes(rule), rule);
  const injected = await page.evaluate(() => {
    const script = document.createElement("script");
    try {
      script.textContent = "window.injected = true";
      document.head.append(script);
    } catch {
      return "refused";
    }
    return window.injected ? "ran" : "refused";
  });
  assert.equal(injected, "refused");
});
