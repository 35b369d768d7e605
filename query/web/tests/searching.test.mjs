// Searching as you type, by the keyboard, with filters, as other people, and where it goes wrong; in a real Chromium.

import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, become, browse, focused, page, quiet, search, settled, shoot, titles, url } from "./browser.mjs";

browse();

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

test("typing finds word by word, and what was typed goes on with more", async () => {
  const asked = [];
  page.on("request", (request) => request.url().endsWith("/v1/search") && asked.push(request.postDataJSON()));
  await page.locator("#query").pressSequentially("dom", { delay: 30 });
  await settled("dom");
  const first = await titles();
  assert.equal(first.length, 20);
  await page.locator("button.more").click();
  await page.waitForFunction(() => document.querySelectorAll(".hit").length > 20);
  assert.equal(await page.locator(".notice.error").count(), 0);
  const all = await titles();
  assert.deepEqual(all.slice(0, 20), first);
  assert.equal(new Set(await page.locator(".hit a.title").evaluateAll((hits) => hits.map((hit) => hit.href))).size, all.length, "each once");
  assert.equal(await focused(), all[20].trim(), "whoever goes on by the keyboard stands at the first of them");
  assert.ok(asked.every((request) => request.prefix === true), "the last word may still go on");
  await shoot("more");
  // The same after a search that was sent off, of which the last word is whole.
  await page.locator("#query").fill("dome");
  await page.keyboard.press("Enter");
  await settled("dome");
  const count = await page.locator(".hit").count();
  if (await page.locator("button.more").isVisible()) {
    await page.locator("button.more").click();
    await page.waitForFunction((before) => document.querySelectorAll(".hit").length > before, count);
  }
  assert.equal(await page.locator(".notice.error").count(), 0);
  quiet();
});

test("keys of an input method are left to it", async () => {
  await search("dome");
  await page.locator("#query").focus();
  const press = (key, how) => page.evaluate(([key, how]) => {
    const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...how });
    return document.activeElement.dispatchEvent(event);
  }, [key, how]);
  for (const how of [{ isComposing: true }, { keyCode: 229 }]) {
    for (const key of ["ArrowDown", "Escape", "Enter"]) assert.equal(await press(key, how), true, `${key} is not taken`);
    assert.deepEqual([await focused(), await page.inputValue("#query")], ["query", "dome"]);
  }
  await press("ArrowDown", {});
  assert.equal(await focused(), (await titles())[0].trim());
  quiet();
});

test("whoever goes elsewhere right after typing stays there", async () => {
  await search("dome");
  await page.evaluate(() => {
    const field = document.getElementById("query");
    field.value = "telescope";
    field.dispatchEvent(new Event("input"));
    location.hash = "#/ask";
  });
  await page.locator("#question").waitFor();
  await page.waitForTimeout(300);
  assert.equal(await page.evaluate(() => location.hash), "#/ask");
  quiet();
});

test("what takes a while says so", async () => {
  let release;
  const held = new Promise((resolve) => { release = resolve; });
  const hold = async (route) => {
    await held;
    await route.continue();
  };
  await page.route("**/v1/search", hold);
  await page.fill("#query", "dome");
  await page.locator(".results[aria-busy] .loading", { hasText: "Searching…" }).waitFor();
  await accessible("loading");
  await shoot("loading");
  release();
  await page.locator(".results:not([aria-busy]) .hits").waitFor();
  assert.equal(await page.locator(".loading").count(), 0);
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
  for (const keys of ["Control+k", "Meta+k"]) {
    await page.locator(".hit a.title").first().focus();
    await page.keyboard.press(keys);
    assert.equal(await focused(), "query", keys);
  }
  assert.equal(await page.inputValue("#query"), "dome stall");
  await page.keyboard.press("Escape");
  assert.equal(await page.inputValue("#query"), "");
  await page.locator("h1", { hasText: "Search this workspace" }).waitFor();
  assert.equal(await focused(), "query");
  quiet();
});

test("filters narrow what is found, and can be cleared", async () => {
  await search("dome");
  const all = await page.locator(".hit").count();
  const box = page.locator(".facets fieldset", { hasText: "Author" }).locator("input").first();
  await box.focus();
  await page.keyboard.press("Space");
  await page.waitForFunction(() => location.hash.includes("author="));
  await page.waitForTimeout(300);
  assert.ok((await page.locator(".hit").count()) < all);
  const now = () => page.evaluate(() => [document.activeElement.type, document.activeElement.checked]);
  assert.deepEqual(await now(), ["checkbox", true], "whoever ticks by the keyboard stays there");
  await page.keyboard.press("Space");
  await page.waitForFunction((count) => document.querySelectorAll(".hit").length === count, all);
  assert.deepEqual(await now(), ["checkbox", false]);
  await page.keyboard.press("Space");
  await page.waitForFunction((count) => document.querySelectorAll(".hit").length < count, all);
  await page.locator(".facets a", { hasText: "Clear" }).click();
  await page.waitForFunction((count) => document.querySelectorAll(".hit").length === count, all);
  quiet();
});

test("what is chosen can be unticked, however many values there are", async () => {
  await page.route("**/v1/search", async (route) => {
    const response = await route.fetch();
    const json = await response.json();
    const author = Array.from({ length: 12 }, (_, at) => ({ value: `person-${at}`, count: 12 - at }));
    await route.fulfill({ response, json: { ...json, facets: { author } } });
  });
  await page.goto(`${url}/#/search?q=dome&author=person-11&author=gone`);
  const boxes = page.locator(".facet");
  await boxes.first().waitFor();
  assert.deepEqual((await boxes.allInnerTexts()).slice(0, 3).map((text) => text.split(/\s/)[0]), ["person-11", "gone", "person-0"]);
  assert.equal(await boxes.count(), 8);
  await boxes.nth(1).locator("input").uncheck();
  await page.waitForFunction(() => !location.hash.includes("gone"));
  quiet();
});

test("the same search as other people finds what they may see, and no more", async () => {
  await become("petra");
  await search('"vellumcrest"');
  assert.match((await titles()).join("|"), /^(\S+ )?Terms of the director$/);
  const address = await page.locator(".hit a.title").getAttribute("href");
  await become("ada");
  await page.locator(".notice", { hasText: "Nothing found" }).waitFor();
  await accessible("nothing found");
  await shoot("nothing-found");
  await page.goto(`${url}/${address}`);
  await page.locator(".notice", { hasText: "no such page" }).waitFor();
  assert.equal(await page.title(), "Page · Tessera", "nor does the tab tell what it was");
  await become("rafael (guest)");
  await search("dome");
  const found = (await titles()).length;
  assert.ok(found > 0 && found <= 3, `${found}`);
  const paths = await page.locator(".hit .path").allInnerTexts();
  assert.ok(!paths.some((path) => path.includes("Engineering")), `${paths}`);
  quiet();
});

test("people are called as they are, in any script", async () => {
  const names = ["山田", "zoë"];
  const tell = async (role, wall_ms) => {
    for (const subject of names) {
      const version = { clock: { test: wall_ms }, timestamp: { wall_ms }, region: "test" };
      const event = { specversion: "1.0", id: `${subject} ${role}`, source: "/test", type: "member.changed", workspaceid: "observatory", subject, data: { version, role } };
      const taken = await page.request.post(`${url}/v1/events?wait=searchable`, { data: event, headers: { "tessera-workspace": "observatory", "tessera-user": "petra" } });
      assert.ok(taken.ok(), await taken.text());
    }
  };
  await tell("member", 1);
  await page.reload();
  await page.locator("#person option", { hasText: names[0] }).waitFor({ state: "attached" });
  for (const name of names) {
    const known = page.waitForResponse("**/v1/session");
    await become(name);
    assert.equal((await (await known).json()).user, name);
    await search(`dome ${name}`);
    assert.equal(await page.locator(".notice.error").count(), 0);
  }
  await tell("removed", 2);
  quiet();
});

test("whoever chooses a person by the keyboard stays there, and is told when that fails", async () => {
  await become("petra");
  await search("dome");
  await page.locator("#person").focus();
  await become("ada");
  await settled("dome");
  assert.equal(await page.evaluate(() => document.activeElement.id), "person");
  await page.route("**/v1/session", (route) => route.abort());
  await page.selectOption("#person", { label: "petra" });
  await page.locator(".notice.error", { hasText: "cannot be reached" }).waitFor();
  assert.equal(await page.locator("#person option:checked").innerText(), "ada", "it is still who it was");
  await page.unroute("**/v1/session");
  await page.locator(".notice.error button").click();
  await page.locator(".hits").waitFor();
  assert.equal(await page.locator("#person option:checked").innerText(), "petra");
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
  await accessible("error");
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
    await route.fulfill({ response, json: { ...json, degraded: ["semantic", "facets"], facets: {}, semantic_pending: true } });
  });
  await search("dome");
  await page.locator(".notice", { hasText: "by words alone" }).waitFor();
  await page.locator(".notice", { hasText: "still being embedded" }).waitFor();
  await page.locator(".notice", { hasText: "Filters are left out" }).waitFor();
  await accessible("degraded");
  await shoot("degraded");
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
