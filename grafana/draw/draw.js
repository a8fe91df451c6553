// Draws the boards into PNG files, from a Prometheus, in a headless Chromium.
import { existsSync } from "node:fs";
import { createServer } from "node:http";
import { mkdir, mkdtemp, readFile, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, extname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const HERE = dirname(fileURLToPath(import.meta.url));
const BROWSERS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const USAGE = `node draw.js [BOARD…]   all boards, if none is named
  --prometheus URL   where the data is ($PROMETHEUS_URL, else http://127.0.0.1:9090)
  --to SECONDS       the end of the shown time, Unix seconds ($PROMETHEUS_TIME, else now)
  --hours N          how much of the time before it (24)
  --scrape SECONDS   time between two scrapes: rates look at four of them (15)
  --theme NAME       dark or light (dark)
  --width PIXELS     of the picture (1440)
  --out FOLDER       where NAME.png go (docs/pictures)
  --may-be-empty     an empty panel is told and is no failure`;

function options() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      prometheus: { type: "string", default: process.env.PROMETHEUS_URL ?? "http://127.0.0.1:9090" },
      to: { type: "string", default: process.env.PROMETHEUS_TIME ?? String(Math.floor(Date.now() / 1000)) },
      hours: { type: "string", default: "24" },
      scrape: { type: "string", default: "15" },
      theme: { type: "string", default: "dark" },
      width: { type: "string", default: "1440" },
      out: { type: "string", default: join(HERE, "../../docs/pictures") },
      "may-be-empty": { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  return { ...values, boards: positionals };
}

const TYPES = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".svg": "image/svg+xml",
};

/** Serves the page, the boards and Grafana's icons, and passes on what is asked of Prometheus. */
function serve(bundle, prometheus) {
  const folders = {
    dashboards: join(HERE, "../dashboards"),
    public: join(HERE, "node_modules/@grafana/ui/dist/public"),
  };
  const pathOf = (pathname) => {
    const [, first, ...rest] = pathname.split("/");
    if (pathname === "/") return join(HERE, "page/index.html");
    return folders[first] ? join(folders[first], ...rest) : join(bundle, basename(pathname));
  };
  const server = createServer(async (request, answer) => {
    try {
      const { pathname, search } = new URL(request.url, "http://localhost");
      if (pathname.startsWith("/api/")) {
        const from = await fetch(`${prometheus}${pathname}${search}`);
        answer.writeHead(from.status, { "content-type": "application/json" }).end(await from.text());
      } else {
        const body = await readFile(pathOf(pathname));
        answer.writeHead(200, { "content-type": TYPES[extname(pathname)] ?? TYPES[".html"] }).end(body);
      }
    } catch (error) {
      answer.writeHead(404).end(String(error));
    }
  });
  return new Promise((ready) => server.listen(0, "127.0.0.1", () => ready(server)));
}

/** One board on a page of its own; returns what is wrong with it. */
async function draw(browser, root, name, wanted) {
  const page = await browser.newPage({ viewport: { width: Number(wanted.width), height: 2400 } });
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(`${name}: ${error.message}`));
  const query = {
    board: name,
    to: wanted.to,
    seconds: 3600 * Number(wanted.hours),
    scrape: wanted.scrape,
    theme: wanted.theme,
    width: wanted.width,
  };
  await page.goto(`${root}/?${new URLSearchParams(query)}`);
  const drawn = await (
    await page.waitForFunction(() => window.drawn, null, { timeout: 120_000 })
  ).jsonValue();
  if (drawn.error) wrong.push(`${name}: ${drawn.error}`);
  const empty = drawn.panels.filter((panel) => panel.empty && !panel.error);
  for (const { title, error } of drawn.panels) if (error) wrong.push(`${name} / ${title}: ${error}`);
  for (const { title } of empty) console.log(`${name} / ${title}: empty`);
  if (!wanted["may-be-empty"]) wrong.push(...empty.map(({ title }) => `${name} / ${title}: empty`));
  if (await page.locator("#drawing").count()) {
    const path = resolve(wanted.out, wanted.theme === "dark" ? `${name}.png` : `${name}-${wanted.theme}.png`);
    await page.locator("#drawing").screenshot({ path });
    console.log(`${name}: ${drawn.panels.length} panels, ${Math.round((await stat(path)).size / 1000)} KB`);
  }
  await page.close();
  return wrong;
}

async function main(wanted) {
  const executablePath = process.env.SLUICE_TEST_BROWSER ?? BROWSERS.find(existsSync);
  if (!executablePath) throw new Error("no browser: install chromium or set SLUICE_TEST_BROWSER to one");
  const bundle = await mkdtemp(join(tmpdir(), "draw-"));
  const server = await build({
    entryPoints: { page: join(HERE, "page/main.jsx") },
    bundle: true,
    outdir: bundle,
    define: { "process.env.NODE_ENV": '"production"' },
    jsx: "automatic",
    loader: { ".woff": "dataurl", ".woff2": "dataurl", ".ttf": "empty" },
    logLevel: "error",
  }).then(() => serve(bundle, wanted.prometheus));
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  try {
    await mkdir(wanted.out, { recursive: true });
    const all = (await readdir(join(HERE, "../dashboards"))).map((file) => basename(file, ".json")).sort();
    const wrong = [];
    for (const name of wanted.boards.length ? wanted.boards : all) {
      wrong.push(...(await draw(browser, `http://127.0.0.1:${server.address().port}`, name, wanted)));
    }
    for (const line of wrong) console.error(line);
    return wrong.length ? 1 : 0;
  } finally {
    await browser.close();
    server.close();
    await rm(bundle, { recursive: true });
  }
}

const wanted = options();
if (wanted.help) console.log(USAGE);
else process.exitCode = await main(wanted);
