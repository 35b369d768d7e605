// Pages: opened from what was found or by their address, at the block that was meant; in a real Chromium.

import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, browse, isInView, open, page, quiet, search, shoot, url } from "./browser.mjs";

browse();

test("a hit opens its page at the block that fits", async () => {
  await search("ERR_DOME_STALL");
  const href = await page.locator(".hit a.title").first().getAttribute("href");
  assert.match(href, /block=/);
  await page.locator(".hit a.title").first().click();
  await page.locator(".block.target").waitFor();
  assert.ok(await isInView(page.locator(".block.target")));
  assert.ok((await page.locator(".crumbs a").count()) > 0);
  await page.locator(".similar li").first().waitFor();
  await accessible("page");
  await shoot("page");
  quiet();
});

test("an address opens the page at its block, although that is far down", async () => {
  await search("weather interlock");
  await page.locator(".hit a.title").first().click();
  await page.locator("article.page .block").first().waitFor();
  const id = (await page.locator(".block").last().getAttribute("id")).replace("block-", "");
  const address = `/${await page.evaluate(() => location.hash.split("?")[0])}?block=${id}`;
  const isShown = async (how) => {
    await page.locator(".block.target").waitFor();
    const [down, length, height] = await page.evaluate(() => [scrollY, document.documentElement.scrollHeight, innerHeight]);
    assert.ok(length > 2 * height, `${how}: the page is longer than what is seen: ${length}, ${height}`);
    assert.ok(down > 0, `${how}: it is scrolled`);
    assert.ok(await isInView(page.locator(".block.target")), how);
    assert.equal(await page.evaluate(() => document.activeElement.id), `block-${id}`, how);
  };
  // Cold: nothing of it was loaded before in this tab.
  await open({ at: address, viewport: { width: 1280, height: 500 } });
  await isShown("by its address");
  await page.reload();
  await isShown("after a reload");
  await shoot("deep-link");
  // It was not opened from here: nobody is sent back to where the link was.
  await page.keyboard.press("Escape");
  await page.locator("h1", { hasText: "Search this workspace" }).waitFor();
  assert.match(page.url(), new RegExp(`^${url}/#/search`));
  await page.goBack();
  await isShown("gone back to");
  quiet();
});

test("blocks of any kind are shown, and what is in them", async () => {
  const text = (plain_text) => [{ plain_text }];
  await page.route("**/v1/pages/*", async (route) => {
    const view = await (await route.fetch()).json();
    const block = (id, depth, type, words) => ({ id, depth, text: words, content: { type, rich_text: text(words) } });
    const kinds = ["__proto__", "constructor", "toString", "divider", "code", "equation", "table_row"];
    view.blocks = kinds.flatMap((kind, at) => [block(`of-${at}`, 0, kind, `a block of kind ${kind}`), block(`in-${at}`, 1, "paragraph", `inside of ${kind}`)]);
    await route.fulfill({ json: view });
  });
  await search("dome stall");
  await page.locator(".hit a.title").first().click();
  await page.locator("article.page .block").first().waitFor();
  const shown = await page.locator(".blocks").innerText();
  for (const kind of ["__proto__", "constructor", "toString"]) assert.ok(shown.includes(`a block of kind ${kind}`), shown);
  for (const kind of ["toString", "divider", "code", "equation", "table_row"]) assert.ok(shown.includes(`inside of ${kind}`), `${kind}: ${shown}`);
  quiet();
});

test("a page that comes late does not take the place of what is shown by then", async () => {
  await search("dome stall");
  let release;
  const held = new Promise((resolve) => { release = resolve; });
  const late = await page.locator(".hit a.title").first().getAttribute("href");
  const id = decodeURIComponent(late.split("/")[2].split("?")[0]);
  await page.route(`**/v1/pages/${id}`, async (route) => {
    await held;
    await route.continue();
  });
  await page.locator(".hit a.title").first().click();
  await page.locator(".loading", { hasText: "Opening…" }).waitFor();
  await accessible("opening");
  await page.locator("#views a", { hasText: "Ask" }).click();
  await page.locator("#question").waitFor();
  const came = page.waitForResponse(`**/v1/pages/${id}`);
  release();
  await came;
  await page.waitForTimeout(100);
  assert.equal(await page.locator("article.page").count(), 0);
  assert.equal(await page.locator("#question").count(), 1);
  quiet();
});
