// Clients in a headless Chromium: client_chromium.mjs eventsource|fetch. The page is of another origin than the gateway. It
// takes jobs from this program and gives it what it saw, a few at a time: a browser allows six connections to an origin.
import { spawnSync } from "node:child_process";
import { createHash, X509Certificate } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { startBrowser } from "../Clients/JavaScript/support/chromium.mjs";
import { serve } from "./matrix_adapter.mjs";

const AT_ONCE = 5;
const START_LIMIT = 15000;
const [, , kind] = process.argv;
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
if (!existsSync("/usr/bin/chromium") || spawnSync("chromedriver", ["--version"]).error) {
  console.error("Chromium or its driver is not installed");
  process.exit(69);
}
const version = spawnSync("/usr/bin/chromium", ["--version"]).stdout.toString().split(" ")[1] ?? "";

const waiting = [];
const running = new Map();
let pollers = [];
let next = 0;

function hand() {
  while (waiting.length > 0 && pollers.length > 0) {
    pollers.shift().end(JSON.stringify(waiting.shift()));
  }
}

const server = createServer((request, response) => {
  if (request.url === "/") {
    const page = `<!doctype html><meta charset="utf-8"><title>matrix</title>
<script type="module">import { work } from "/Tests/Matrix/page.mjs"; work("${kind}", ${AT_ONCE});</script>`;
    return response.writeHead(200, { "Content-Type": "text/html" }).end(page);
  }
  if (request.url === "/job") {
    pollers.push(response);
    response.on("close", () => (pollers = pollers.filter((each) => each !== response)));
    return hand();
  }
  if (request.url === "/answer") {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", () => {
      const { ticket, ...answer } = JSON.parse(Buffer.concat(pieces).toString());
      running.get(ticket)?.(answer);
      running.delete(ticket);
      response.writeHead(204).end();
    });
    return undefined;
  }
  try {
    const file = readFileSync(path.join(root, path.normalize(request.url)));
    return response.writeHead(200, { "Content-Type": "text/javascript" }).end(file);
  } catch {
    return response.writeHead(404).end();
  }
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
// The one certificate, by its key, that the browser may take without knowing who signed it.
const certificate = process.env.FERMATA_MATRIX_CERTIFICATE;
const key = certificate && new X509Certificate(readFileSync(certificate)).publicKey;
const hash = key && createHash("sha256").update(key.export({ type: "spki", format: "der" })).digest("base64");
const flags = hash ? [`--ignore-certificate-errors-spki-list=${hash}`] : [];

/** A browser whose page asks for jobs; null where that takes too long. */
async function open() {
  const late = new Promise((resolve) => setTimeout(resolve, START_LIMIT, null));
  const starting = startBrowser(flags).then(async (browser) => {
    await browser.do("POST", "/url", { url: `http://127.0.0.1:${server.address().port}/` });
    while (pollers.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    return browser;
  });
  const browser = await Promise.race([starting, late]);
  // One that comes after all is of no use.
  if (!browser) starting.then((late) => late.stop()).catch(() => {});
  return browser;
}

let browser = null;
for (let attempt = 1; !browser && attempt <= 3; attempt += 1) {
  browser = await open();
  if (!browser) console.error(`attempt ${attempt}: no page asked for jobs in ${START_LIMIT} ms`);
}
if (!browser) process.exit(1);

const run = (job) =>
  new Promise((resolve) => {
    next += 1;
    running.set(next, resolve);
    waiting.push({ ...job, ticket: next });
    hand();
  });
process.on("SIGTERM", () => browser.stop().then(() => process.exit(0)));
await serve(kind === "fetch" ? "fermata-client in Chromium" : "EventSource of Chromium", version, run);
await browser.stop();
process.exit(0);
