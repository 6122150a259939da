// Runs browser/*.js by WebDriver: node browser.mjs [Chromium|WebKit [TEXT IN A NAME]].
// Ends with a line "N passed, N failed".
import { execFileSync } from "node:child_process";
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { startBrowser } from "./support/chromium.mjs";
import { startWebKit } from "./support/webkit.mjs";
import { play } from "./support/player.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.resolve(here, "../../..");
const sleep = (time) => new Promise((resolve) => setTimeout(resolve, time));

/** React as one module, development build: StrictMode mounts twice only there. */
function bundleReact() {
  const names = "createElement, StrictMode, useEffect, useMemo, useState, useSyncExternalStore";
  const input = `import React from "react"; import { createRoot, hydrateRoot } from "react-dom/client";
    import { renderToString } from "react-dom/server.browser"; import { flushSync } from "react-dom";
    const { ${names} } = React; export { ${names}, createRoot, hydrateRoot, renderToString, flushSync };`;
  const args = ["--bundle", "--format=esm", '--define:process.env.NODE_ENV="development"'];
  return execFileSync("esbuild", args, {
    input,
    maxBuffer: 1 << 26,
    cwd: "/usr/share/nodejs",
    env: { ...process.env, NODE_PATH: "/usr/share/nodejs" },
  });
}

const PAGE = `<!doctype html><meta charset="utf-8"><title>tests</title><div id="root"></div>
<script type="importmap">{"imports":{"react":"/react.js","fermata-client":"/Sources/Clients/JavaScript/src/index.js",
"fermata-client/react":"/Sources/Clients/JavaScript/src/react.js"}}</script>
<script type="module" src="/Tests/Clients/JavaScript/browser/page.js"></script>`;

/** Serves the page and the sources; plays exchanges from origins of their own. */
async function serve() {
  const react = bundleReact();
  const plays = [];
  const report = ({ requests, deletes, preflights, open }) => ({
    requests: requests.map(({ method, target, fields, body }) => ({ method, target, fields, body })),
    deletes: deletes.map(({ target }) => target),
    preflights: preflights.length,
    open,
  });
  const server = createServer(async (request, response) => {
    const send = (type, body) =>
      response.writeHead(200, { "Content-Type": type, "Cache-Control": "no-store" }).end(body);
    if (request.method === "POST" && request.url === "/_play") {
      let text = "";
      for await (const piece of request) text += piece;
      const { exchanges, ...options } = JSON.parse(text);
      plays.push(await play(exchanges, options));
      return send("application/json", JSON.stringify({ number: plays.length - 1, url: plays.at(-1).url }));
    }
    if (request.url.startsWith("/_report/")) {
      return send("application/json", JSON.stringify(report(plays[request.url.split("/")[2]])));
    }
    if (request.url.startsWith("/_cut/")) {
      plays[request.url.split("/")[2]].tellCut();
      return response.end();
    }
    if (request.url === "/react.js") return send("text/javascript", react);
    if (request.url.startsWith("/page.html")) return send("text/html", PAGE);
    try {
      const file = path.join(root, path.normalize(decodeURIComponent(request.url.split("?")[0])));
      return send("text/javascript", readFileSync(file));
    } catch {
      return response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { origin: `http://127.0.0.1:${server.address().port}`, plays };
}

const [, , kind = "Chromium", only = ""] = process.argv;
const { origin } = await serve();
const browser = await (kind === "WebKit" ? startWebKit() : startBrowser());
let passed = 0;
let failed = 0;
try {
  const execute = (script) => browser.do("POST", "/execute/sync", { script, args: [] });
  const open = async (name) => {
    await browser.do("POST", "/url", { url: `${origin}/page.html?test=${encodeURIComponent(name)}` });
    for (let tries = 0; tries < 300; tries++) {
      const state = await execute("return window.__state || null");
      if (state && (state.names || state.isDone)) return state;
      // What a page can't do itself: another tab in front of it, and back.
      if (state && state.wants === "hide") {
        const page = await browser.do("GET", "/window");
        const { handle } = await browser.do("POST", "/window/new", { type: "tab" });
        await browser.do("POST", "/window", { handle });
        await sleep(200);
        await browser.do("DELETE", "/window");
        await browser.do("POST", "/window", { handle: page });
        await execute("window.__state = {}");
      }
      await sleep(50);
    }
    return { isDone: true, error: "it did not come to an end" };
  };
  const { names } = await open("");
  for (const name of names.filter((text) => text.includes(only))) {
    const { error } = await open(name);
    if (error) failed++;
    else passed++;
    console.log(`${error ? "FAIL" : "ok  "} ${name}${error ? `\n     ${error}` : ""}`);
  }
} finally {
  await browser.stop();
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
