// How every view looks in the dark and on a phone: readable, accessible, nothing wider than the screen; in a real Chromium, kept as screenshots.

import assert from "node:assert/strict";
import { test } from "node:test";
import { PHONE, accessible, become, browse, fits, isInView, open, page, quiet, search, shoot, url } from "./browser.mjs";

browse();

/** Goes through the views, and calls `look` with the name of each. */
async function go(look) {
  await page.locator("h1", { hasText: "Search this workspace" }).waitFor();
  await look("start");
  await become("petra");
  await search("dome stall");
  await look("results");
  await page.locator(".hit a.title").first().click();
  await page.locator(".block.target").waitFor();
  await page.locator(".similar li").first().waitFor();
  assert.ok(await isInView(page.locator(".block.target")));
  await look("page");
  await page.locator("a", { hasText: "Who can see it?" }).click();
  await page.locator(".verdict").waitFor();
  await look("why", { fullPage: true });
  await page.goto(`${url}/#/ask?q=${encodeURIComponent("What does ERR_DOME_STALL mean?")}`);
  await page.locator(".turn .small", { hasText: "Extractive" }).waitFor();
  await page.locator(".turn .sources summary").click();
  await look("ask");
  await page.goto(`${url}/#/status`);
  await page.locator(".tile", { hasText: "Memory" }).waitFor();
  await page.locator("[aria-label^='Evaluation on']").first().waitFor();
  await look("status", { fullPage: true });
  await become("ada");
  await search('"vellumcrest"');
  await look("nothing");
  await page.route("**/v1/search", (route) => route.fulfill({ status: 503, contentType: "application/problem+json", body: JSON.stringify({ title: "Busy", detail: "The server is busy.", request_id: "req-1" }) }));
  await page.fill("#query", "dome");
  await page.locator(".notice.error").waitFor();
  await look("error");
}

for (const [name, options] of [["dark", { colorScheme: "dark" }], ["phone", { viewport: PHONE }], ["phone-dark", { viewport: PHONE, colorScheme: "dark" }]]) {
  test(`every view, ${name}`, async () => {
    await open(options);
    await go(async (view, how) => {
      await fits(`${view}, ${name}`);
      await accessible(`${view}, ${name}`);
      await shoot(`${name}-${view}`, how);
    });
    quiet();
  });
}

test("filters that were folded on a phone can be opened on a wide screen", async () => {
  await open({ viewport: PHONE });
  await search("dome");
  const box = page.locator(".facet input").first();
  assert.equal(await box.isVisible(), false);
  await page.locator(".facets summary").click();
  await box.waitFor();
  // Whoever types on finds them as they were.
  await page.locator("#query").press("End");
  await page.keyboard.type(" stall");
  await page.waitForFunction(() => location.hash.includes("dome+stall"));
  await page.waitForTimeout(300);
  assert.equal(await box.isVisible(), true);
  await shoot("phone-filters");
  await page.locator(".facets summary").click();
  assert.equal(await box.isVisible(), false);
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.locator(".facets summary").click();
  await box.waitFor();
  quiet();
});
