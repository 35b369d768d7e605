// A real Chromium on the page at `/` of a real server with the sample workspace, for the tests beside this.
//
//   TESSERA_URL   the server, in insecure development; `scripts/test-browser.sh` starts one
//   CHROMIUM      the browser; /usr/bin/chromium
//   SHOTS         folder for the screenshots
//   WEB           folder whose files are shown in the place of those in the binary, to try changes without building it

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, beforeEach } from "node:test";
import { chromium } from "playwright-core";

export const url = process.env.TESSERA_URL;
export const DESK = { width: 1280, height: 900 };
export const PHONE = { width: 360, height: 740 };
const shots = process.env.SHOTS ?? "shots";
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let browser;
let context;
/** The tab; a new one for each test. */
export let page;
/** What went wrong in the page itself: nothing may. */
let complaints;

/** To be called by each file of tests: a browser for all of them, and a tab for each. */
export function browse() {
  before(async () => {
    mkdirSync(shots, { recursive: true });
    browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
    });
  });
  after(async () => {
    await leave();
    await browser?.close();
  });
  beforeEach(() => open());
}

/** Closes the tab. What a test made of a response that comes after its end is of no interest. */
async function leave() {
  await page?.unrouteAll({ behavior: "ignoreErrors" });
  await context?.close();
}

/** Opens the page anew, as nobody has seen it; `prepare` is given the tab before it is opened. */
export async function open({ viewport = DESK, colorScheme = "light", at = "/", prepare } = {}) {
  await leave();
  context = await browser.newContext({ viewport, colorScheme });
  page = await context.newPage();
  complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error" && !/status of (4|5)\d\d|net::ERR_FAILED/.test(message.text())) complaints.push(message.text());
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(url)) complaints.push(`asked another server: ${request.url()}`);
  });
  if (process.env.WEB) await page.route("**/ui/*", (route) => route.fulfill({ path: `${process.env.WEB}/${new URL(route.request().url()).pathname.slice(4)}` }));
  await prepare?.(page);
  await page.goto(url + at);
  await page.locator("#who select, form.sign-in").first().waitFor();
}

/** Searches and asks as somebody else from now on. */
export const become = async (user) => {
  if ((await page.locator("#person option:checked").innerText()) === user) return;
  const known = page.waitForResponse(/\/v1\/session/);
  await page.selectOption("#person", { label: user });
  await known;
  await page.waitForTimeout(100);
};

/** Waits until what was found for a query stands there. */
export const settled = async (query) => {
  await page.waitForFunction((text) => location.hash.includes(new URLSearchParams({ q: text }).toString()), query);
  await page.waitForTimeout(250);
  await page.locator(".results:not([aria-busy]) .hits, .results:not([aria-busy]) .notice").first().waitFor();
};

export const search = async (query) => {
  await page.fill("#query", query);
  await settled(query);
};

export const titles = () => page.locator(".hit a.title").allInnerTexts();
/** What has the focus, by its id or its text. */
export const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.textContent.trim());
export const shoot = (name, options = {}) => page.screenshot({ path: `${shots}/${name}.png`, ...options });
export const quiet = () => assert.deepEqual(complaints, []);
/** Nothing is wider than the screen. */
export const fits = async (name) => {
  const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(wide <= room, `${name} is ${wide} wide, the screen ${room}`);
};
/** Whether an element lies within what is seen. */
export const isInView = (locator) => locator.evaluate((element) => {
  const { top, bottom } = element.getBoundingClientRect();
  return top >= 0 && bottom <= innerHeight;
});

/** axe-core finds nothing serious in what is shown. */
export async function accessible(name) {
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
