// What operators and administrators see, and how somebody signs in; in a real Chromium.

import assert from "node:assert/strict";
import { test } from "node:test";
import { PHONE, accessible, become, browse, fits, open, page, quiet, search, shoot, url } from "./browser.mjs";

browse();

test("administrators see why someone can or cannot see a page", async () => {
  await become("petra");
  await search('"vellumcrest"');
  await page.locator(".hit a", { hasText: "Who can see it?" }).click();
  await page.locator(".verdict.good").waitFor();
  // Titles of what the administrator can read, not ids.
  const steps = await page.locator(".step > p a").allInnerTexts();
  assert.ok(steps.length >= 2 && steps.at(-1).includes("Terms of the director"), `${steps}`);
  const ids = await page.locator(".step > p a").evaluateAll((links) => links.map((link) => link.title));
  assert.ok(steps.every((title, at) => title !== ids[at]), `${steps}`);
  const ways = await page.locator(".ways li").allInnerTexts();
  assert.ok(ways.some((way) => /^user:petra → .*group:/.test(way)), `${ways}`);
  await shoot("why-good");
  await page.fill("#why-user", "ada");
  await page.locator("button", { hasText: "Explain" }).click();
  await page.locator(".verdict.bad").waitFor();
  assert.ok((await page.locator(".step.restricted").count()) >= 1);
  assert.ok((await page.locator(".ways li", { hasText: "user:ada" }).count()) >= 1);
  await accessible("why");
  await shoot("why");
  await page.fill("#why-user", "");
  await page.locator("button", { hasText: "Explain" }).click();
  await page.locator(".verdict.bad", { hasText: "Whoever has the link" }).waitFor();
  // The same once more: it may be answered in another way by now.
  await page.route("**/v1/explain-access?*", (route) => route.fulfill({ status: 500, contentType: "application/problem+json", body: JSON.stringify({ title: "Internal error" }) }));
  await page.locator("button", { hasText: "Explain" }).click();
  await page.locator(".notice.error", { hasText: "Internal error" }).waitFor();
  await page.unroute("**/v1/explain-access?*");
  await page.locator("button", { hasText: "Try again" }).click();
  await page.locator(".verdict.bad", { hasText: "Whoever has the link" }).waitFor();
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
  // An edit of now, so that how long it takes to be found is known.
  const version = { clock: { browser: Date.now() }, timestamp: { wall_ms: Date.now() }, region: "browser" };
  const edit = { specversion: "1.0", id: `edit-${Date.now()}`, source: "https://browser.example", type: "page.upserted", workspaceid: "observatory", subject: "of-the-status-test", data: { version, title: "Seen by nobody", parent: { type: "workspace" } } };
  const headers = { "content-type": "application/json", "tessera-workspace": "observatory", "tessera-user": "petra" };
  const sent = await page.request.post(`${url}/v1/events?wait=searchable`, { headers, data: JSON.stringify([edit]) });
  assert.equal((await sent.json()).accepted, 1);
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
  assert.match(await told("Found after an edit"), /^\d+ (ms|s) .*p99 \d+/s);
  assert.match(await told("Degraded searches"), /^\d/);
  await tile("Budget of the month").waitFor();
  assert.match(await told("Budget of the month"), /^0 % .*0 of 1.000.000 tokens/s);
  await page.locator("h3", { hasText: "northwind-observatory" }).waitFor();
  const scores = await page.locator("[aria-label^='Evaluation on'] tbody tr").first().innerText();
  assert.match(scores, /lexical\s+[01]\.\d{3}/);
  await accessible("status");
  await shoot("status", { fullPage: true });
  quiet();
});

test("the status shows how the stream is read", async () => {
  await page.route("**/v1/status", async (route) => {
    const response = await route.fetch();
    const json = await response.json();
    const partitions = [
      { partition: 0, position: 1200, committed: 1100, lag_events: 34, lag_ms: 250, in_flight_bytes: 2_500_000, paused: false },
      { partition: 1, position: 7, lag_ms: 0, in_flight_bytes: 0, paused: true },
    ];
    json.ingest.stream = { connected: true, failing: false, gaps_total: 0, partitions };
    await route.fulfill({ response, json });
  });
  await page.goto(`${url}/#/status`);
  const rows = page.locator("[aria-label='Partitions of the stream'] tbody tr");
  await rows.first().waitFor();
  const told = (await rows.allInnerTexts()).map((row) => row.split(/\t/).map((cell) => cell.trim()));
  assert.deepEqual(told, [["0", "1,200", "1,100", "34", "250 ms", "2.5 MB", "read"], ["1", "7", "–", "not known", "0 ms", "0 MB", "paused"]]);
  await page.locator(".tile.good", { hasText: "Brokers" }).waitFor();
  // What is drawn anew every two seconds leaves whoever scrolls a table by the keyboard there.
  await page.locator("[aria-label='Partitions of the stream']").focus();
  await page.waitForResponse("**/v1/status");
  await page.waitForTimeout(100);
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "Partitions of the stream");
  await accessible("stream");
  await shoot("stream", { fullPage: true });
  quiet();
});

test("what somebody may not see is asked for once", async () => {
  const asked = { metrics: 0, evaluation: 0 };
  const refuse = (name, status) => (route) => {
    asked[name] += 1;
    return route.fulfill({ status, contentType: "application/problem+json", body: JSON.stringify({ title: "No", code: "forbidden" }) });
  };
  await page.route("**/metrics", refuse("metrics", 403));
  await page.route("**/v1/evaluation", refuse("evaluation", 404));
  await page.goto(`${url}/#/status`);
  await page.locator(".small", { hasText: "administer every workspace" }).waitFor();
  await page.locator(".small", { hasText: "http.evaluation_file" }).waitFor();
  for (let round = 0; round < 3; round += 1) await page.waitForResponse("**/v1/status");
  assert.deepEqual(asked, { metrics: 1, evaluation: 1 });
  await shoot("status-refused");
  quiet();
});

test("a server that is away is told of once, and what comes back is shown", async () => {
  await page.goto(`${url}/#/status`);
  await page.locator(".tile", { hasText: "Server" }).waitFor();
  await page.route("**/v1/status", (route) => route.abort());
  const told = page.locator(".status .notice.error", { hasText: "cannot be reached" });
  await told.waitFor();
  await told.evaluate((element) => { element.dataset.same = "yes"; });
  for (let round = 0; round < 2; round += 1) await page.waitForEvent("requestfailed", (request) => request.url().endsWith("/v1/status"));
  await page.waitForTimeout(100);
  assert.equal(await told.getAttribute("data-same"), "yes", "nobody hears of it every two seconds");
  await page.unroute("**/v1/status");
  await page.locator(".tile", { hasText: "Server" }).waitFor();
  quiet();
});

test("a status that was opened behind another tab is whole once it is looked at", async () => {
  await open({ at: "/#/status", prepare: (tab) => tab.addInitScript(() => {
    window.behind = true;
    Object.defineProperty(document, "hidden", { get: () => window.behind });
  }) });
  await page.locator("h1", { hasText: "How it stands" }).waitFor();
  await page.waitForTimeout(2_500);
  assert.equal(await page.locator(".tile").count(), 0, "what is not seen is not asked for");
  await page.evaluate(() => { window.behind = false; });
  await page.locator(".tile", { hasText: "Budget of the month" }).waitFor();
  await page.locator("[aria-label^='Evaluation on']").first().waitFor();
  quiet();
});

test("whoever is nobody gives a token, and again when it has run out", async () => {
  const known = { development: false, workspace: "observatory", user: "ada", administrator: false, conversations: true, people: [], request_id: "r" };
  let valid = "good";
  const isValid = (route) => route.request().headers().authorization === `Bearer ${valid}`;
  const refused = { status: 401, contentType: "application/problem+json", body: JSON.stringify({ title: "Who is asking?", detail: "the token is not valid", code: "unauthenticated" }) };
  await open({ prepare: async (tab) => {
    await tab.route("**/v1/session", (route) => {
      if (route.request().headers().authorization && !isValid(route)) return route.fulfill(refused);
      return route.fulfill({ json: isValid(route) ? known : { ...known, workspace: null, user: null } });
    });
    await tab.route("**/v1/search", (route) => {
      if (!isValid(route)) return route.fulfill(refused);
      const { authorization, ...headers } = route.request().headers();
      return route.continue({ headers: { ...headers, "tessera-workspace": known.workspace, "tessera-user": known.user } });
    });
  } });
  await page.locator("h1", { hasText: "Who is asking?" }).waitFor();
  await accessible("sign-in");
  await shoot("sign-in");
  assert.match(await page.title(), /^Who is asking/);
  await page.fill("#token", "bad");
  // Whoever searches first has nothing to paste again.
  await page.fill("#query", "dome");
  await page.waitForTimeout(250);
  assert.equal(await page.inputValue("#token"), "bad");
  await page.focus("#token");
  await page.keyboard.press("Enter");
  await page.locator(".sign-in .notice.error", { hasText: "the token is not valid" }).waitFor();
  await page.fill("#token", "good");
  await page.keyboard.press("Enter");
  await page.locator(".hits").waitFor();
  // It runs out.
  valid = "better";
  await page.fill("#query", "dome stall");
  await page.locator(".sign-in .notice.error", { hasText: "does not know you any more" }).waitFor();
  await accessible("signed out");
  await shoot("signed-out");
  await page.fill("#token", "better");
  await page.keyboard.press("Enter");
  await page.locator(".hits").waitFor();
  assert.equal(await page.inputValue("#query"), "dome stall", "it goes on where it was");
  // What was asked with the former token is refused late: that is not who is asking now.
  const refusal = await page.evaluate(async () => {
    const { json } = await import("/ui/api.js");
    return json("/v1/search", { body: { query: "dome" }, as: { authorization: "Bearer good" } }).catch((error) => error.status);
  });
  assert.equal(refusal, 401);
  await page.waitForTimeout(100);
  assert.equal(await page.locator("form.sign-in").count(), 0);
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize(PHONE);
    await page.locator("button", { hasText: "Sign out" }).click();
    await page.locator("form.sign-in").waitFor();
    await fits("sign-in");
    await accessible(`sign-in, phone, ${colorScheme}`);
    await shoot(`${colorScheme === "dark" ? "phone-dark" : "phone"}-sign-in`);
    await page.fill("#token", "better");
    await page.keyboard.press("Enter");
    await page.locator("button", { hasText: "Sign out" }).waitFor();
  }
  quiet();
});
