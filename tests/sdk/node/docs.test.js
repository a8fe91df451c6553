// A real browser opens /docs: every operation is shown, and nothing outside the gateway is asked for.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { chromium } from "playwright-core";
import { patience, url } from "./client.js";

const origin = new URL(url).origin;
const places = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const executablePath = process.env.SLUICE_TEST_BROWSER ?? places.find(existsSync);

test("/docs shows every operation without a network", async () => {
  assert.ok(executablePath, "no browser: install chromium or set SLUICE_TEST_BROWSER to one");
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(patience);
    const asked = [];
    const complaints = [];
    page.on("request", (request) => asked.push(request.url()));
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("requestfailed", (request) => complaints.push(`${request.url()} ${request.failure()?.errorText}`));
    await page.goto(`${origin}/docs`);
    await page.waitForSelector(".opblock");

    const document = await (await fetch(`${origin}/openapi.json`)).json();
    const expected = Object.entries(document.paths)
      .flatMap(([path, item]) => Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`));
    // Swagger UI puts invisible break opportunities into its paths.
    const plain = (text) => text.replace(/[\u200b\s]/g, "");
    const shown = await page.$$eval(".opblock-summary", (blocks) => blocks.map((block) => [
      block.querySelector(".opblock-summary-method").textContent,
      block.querySelector(".opblock-summary-path").textContent,
    ]));
    assert.deepEqual(
      shown.map(([method, path]) => `${plain(method)} ${plain(path)}`).sort(),
      expected.sort(),
    );
    const outside = asked.filter((address) => !address.startsWith(origin) && !address.startsWith("data:"));
    assert.deepEqual(outside, [], "only the gateway itself is asked");
    assert.deepEqual(complaints, []);
  } finally {
    await browser.close();
  }
});
