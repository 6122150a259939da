// The dashboard in Chromium, before a real gateway and a backend of its own: node dashboard.mjs PROGRAM [FOLDER].
// With a folder, pictures of the page go there. Ends with a line "N passed, N failed".
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request as ask } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { startBrowser } from "./support/chromium.mjs";

const sleep = (time) => new Promise((resolve) => setTimeout(resolve, time));
const [program, pictures] = process.argv.slice(2);
const folder = mkdtempSync(path.join(tmpdir(), "fermata-dashboard-"));

/** Answers by the query: `events`, then the end that `how` names; `hang` ends when its client leaves. */
const backend = createServer((request, response) => {
  const query = new URL(request.url, "http://x").searchParams;
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  for (let number = 1; number <= Number(query.get("events") ?? 1); number++) {
    response.write(`event: token\ndata: {"n":${number}}\n\n`);
  }
  switch (query.get("how")) {
    case "complete": return void response.end('event: complete\ndata: {"type":"complete"}\n\n');
    case "error": return void response.end('event: error\ndata: {"error":{"message":"out of tokens"}}\n\n');
    case "cut": return void setTimeout(() => response.destroy(), 30);
    case "hang": return;
    default: response.end();
  }
});
await new Promise((resolve) => backend.listen(0, "127.0.0.1", resolve));
const upstream = `http://127.0.0.1:${backend.address().port}`;

async function startGateway({ admin = {}, ports = [0, 0], ...rest } = {}) {
  const file = path.join(folder, "fermata.json");
  const [listen, operators] = ports.map((port) => `127.0.0.1:${port}`);
  const configuration = {
    listen,
    workers: 2,
    drain: "1s",
    admin: { listen: operators, operate: true, ...admin },
    flags: { default: "graceful" },
    ...rest,
  };
  if (!rest.routes) configuration.upstream = upstream;
  writeFileSync(file, JSON.stringify(configuration));
  const child = spawn(program, ["serve", "--config", file], { stdio: ["ignore", "ignore", "pipe"] });
  const log = [];
  const started = await new Promise((resolve, reject) => {
    let rest = "";
    child.stderr.on("data", (piece) => {
      const lines = (rest + piece).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        try {
          log.push(JSON.parse(line));
        } catch {
          log.push({ text: line });
        }
        if (log.at(-1).event === "started") resolve(log.at(-1));
      }
    });
    child.on("exit", () => reject(new Error(`the gateway ended: ${JSON.stringify(log)}`)));
  });
  return {
    log,
    url: `http://${started.listen}`,
    admin: `http://${started.admin}`,
    ports: [started.listen, started.admin].map((address) => address.split(":").at(-1)),
    async stop() {
      if (child.exitCode !== null) return;
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      await ended;
    },
  };
}

/** A client of the gateway; its text so far is in `text`. */
function open(url) {
  const stream = { text: "", isOver: false };
  const request = ask(url, { headers: { Prefer: "stream-end", Accept: "text/event-stream" }, agent: false }, (answer) => {
    answer.setEncoding("utf8");
    answer.on("data", (piece) => (stream.text += piece));
    answer.on("close", () => (stream.isOver = true));
    answer.on("error", () => {});
  });
  request.on("error", () => (stream.isOver = true));
  request.end();
  stream.close = () => request.destroy();
  return stream;
}

const status = (url, headers = {}, method = "GET") =>
  new Promise((resolve, reject) => {
    ask(url, { headers, method, agent: false }, (answer) => {
      resolve(answer.statusCode);
      answer.destroy();
    }).on("error", reject).end();
  });

async function until(what, look, isRight = Boolean, tries = 200) {
  let seen;
  for (let count = 0; count < tries; count++) {
    seen = await look();
    if (isRight(seen)) return seen;
    await sleep(50);
  }
  throw new Error(`not seen: ${what}, but ${JSON.stringify(seen)}`);
}

const browser = await startBrowser();
const execute = (script, ...args) => browser.do("POST", "/execute/sync", { script, args });
const visit = (url) => browser.do("POST", "/url", { url });
const cdp = (cmd, params = {}) => browser.do("POST", "/goog/cdp/execute", { cmd, params });
const look = () =>
  execute(`const rows = (id) => [...document.querySelectorAll("#" + id + "-table tbody tr")]
    .map((row) => [...row.cells].map((cell) => cell.textContent));
  return { link: document.getElementById("link").textContent, isHidden: document.getElementById("main").hidden,
    state: document.getElementById("state").textContent, wrong: document.getElementById("wrong").textContent,
    shown: document.getElementById("shown").textContent, told: document.getElementById("told").textContent,
    tiles: [...document.querySelectorAll(".tile strong")].map((value) => value.textContent),
    routes: rows("routes"), backends: rows("backends"), streams: rows("streams"), ended: rows("ended") };`);
const isLive = ({ link, isHidden }) => link === "live" && !isHidden;
async function show(gateway, query = "") {
  await visit(`${gateway.admin}/dashboard${query}`);
  return until("the live page", look, isLive);
}
async function picture(name) {
  if (!pictures) return;
  const { data } = await cdp("Page.captureScreenshot", { format: "png", captureBeyondViewport: false });
  writeFileSync(path.join(pictures, `${name}.png`), Buffer.from(data, "base64"));
}
const metric = async (gateway, pattern) => {
  const text = await (await fetch(`${gateway.admin}/metrics`)).text();
  return [...text.matchAll(pattern)].reduce((sum, [, value]) => sum + Number(value), 0);
};

/** What a reader of the page could not read or find, by the computed styles. Runs in the page. */
const CHECKS = `
  const found = [];
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const back = (element) => { for (; element; element = element.parentElement) {
    const color = rgb(getComputedStyle(element).backgroundColor); if (color.length < 4 || color[3] > 0) return color; }
    return matchMedia("(prefers-color-scheme: dark)").matches ? [0, 0, 0] : [255, 255, 255]; };
  for (const element of document.querySelectorAll("body *")) {
    if (!element.checkVisibility() || ![...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
    const [a, b] = [light(rgb(getComputedStyle(element).color)), light(back(element))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) found.push("contrast of " + element.tagName + " " + element.textContent.slice(0, 30));
  }
  for (const control of document.querySelectorAll("button, input, a, summary")) {
    if (control.checkVisibility() && !(control.textContent.trim() || control.ariaLabel || control.labels?.length)) {
      found.push("no name: " + control.outerHTML);
    }
  }
  let level = 0;
  for (const heading of document.querySelectorAll("h1, h2, h3")) {
    const own = Number(heading.tagName[1]);
    if (own > level + 1) found.push("heading " + heading.textContent);
    level = own;
  }
  for (const table of document.querySelectorAll("table")) {
    if (!table.caption || [...table.tHead.rows[0].cells].some((cell) => cell.scope !== "col")) found.push("table " + table.id);
  }
  if (document.documentElement.scrollWidth > innerWidth) found.push("wider than the window: " + document.documentElement.scrollWidth);
  return found;`;

/** Makes a table as large as that of the open streams, as often as told, and lays it out. Runs in the page. */
const BUILD_TABLES = `
  const model = document.getElementById("streams-table");
  for (let count = 0; count < arguments[0]; count++) {
    const table = model.cloneNode(false);
    for (const row of model.rows) {
      const copy = table.insertRow();
      for (const cell of row.cells) copy.insertCell().textContent = cell.textContent + count;
    }
    model.after(table);
    table.getBoundingClientRect();
    table.remove();
  }`;

const SCENES = {
  "numbers are those of /metrics and /streams, and text that looks like HTML is text": async () => {
    const name = `<img src=x onerror="window.hit=1">`;
    const gateway = await startGateway({
      routes: [{ name, path: "/odd", upstreams: ['"odd"'] }, { name: "main", path: "/", upstreams: ['"odd"'] }],
      upstreams: { '"odd"': { url: upstream } },
    });
    const streams = [];
    try {
      for (let count = 0; count < 3; count++) {
        for (const how of ["complete", "", "error", "cut"]) streams.push(open(`${gateway.url}/?events=2&how=${how}`));
        streams.push(open(`${gateway.url}/odd?how=cut`));
      }
      await until("the ends", () => streams.every(({ isOver }) => isOver));
      for (let count = 0; count < 5; count++) streams.push(open(`${gateway.url}/?events=3&how=hang`));
      await until("the open ones", () => streams.slice(-5).every(({ text }) => text.includes("token")));
      await sleep(1500);
      const seen = await show(gateway);
      const bad = await metric(gateway, /fermata_outcomes_total\{[^}]*outcome="(?:incomplete|upstream_error|upstream_truncated)"[^}]*\} (\d+)/g);
      assert.equal(seen.ended.length, bad);
      assert.equal(bad, 12);
      assert.equal(Number(seen.tiles[0]), await metric(gateway, /^ai_stream_connections_active (\d+)/gm));
      assert.equal(seen.streams.length, (await (await fetch(`${gateway.admin}/streams`)).json()).count);
      const main = seen.routes.find(([route]) => route === "main");
      assert.deepEqual([main[1], main[4], main[6]], ["5", "9", "17"]);
      assert.ok(seen.routes.some(([route]) => route === name), JSON.stringify(seen.routes));
      assert.equal(await execute("return window.hit === undefined"), true);
      assert.match(seen.wrong, /Route main: 9 of 12 answers were bad/);
      for (const [size, width, height] of [["phone", 360, 640], ["desktop", 1400, 900]]) {
        await cdp("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: size === "phone" });
        for (const scheme of ["light", "dark"]) {
          await cdp("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
          await sleep(300);
          await picture(`${size}-${scheme}`);
          assert.deepEqual(await execute(CHECKS), [], `${size}, ${scheme}`);
        }
      }
      const names = await execute("return performance.getEntriesByType('resource').map(({ name }) => name)");
      assert.deepEqual(names.filter((url) => !url.startsWith(gateway.admin)), [], "nothing from elsewhere");
      assert.ok(names.every((url) => url.includes("/dashboard/events")), `${names}`);
    } finally {
      streams.forEach(({ close }) => close());
      await gateway.stop();
    }
  },

  "what opens, ends badly and is found appears by itself": async () => {
    const gateway = await startGateway();
    try {
      await show(gateway);
      const stream = open(`${gateway.url}/?events=3&how=hang`);
      const { streams: [[id]] } = await until("the stream", look, ({ streams }) => streams[0]?.[7] === "3", 60);
      const other = open(`${gateway.url}/?how=hang`);
      await until("both", look, ({ streams }) => streams.length === 2, 60);
      await execute(`const field = document.getElementById("find"); field.value = arguments[0];
        field.dispatchEvent(new Event("input"))`, id.slice(3, 15));
      await until("the one", look, ({ streams, shown }) => streams.length === 1 && shown === "1 shown, 2 open", 60);
      await execute(`document.querySelector('th[data-sort="bytes"] button').click()`);
      await until("the order", () => execute(`return document.querySelector('th[data-sort="bytes"]').ariaSort`), (sort) => sort === "descending");
      const cut = open(`${gateway.url}/?events=2&how=cut`);
      await until("the end", look, ({ ended }) => ended[0]?.[1]?.includes("upstream_truncated"), 60);
      for (const { close } of [stream, other, cut]) close();
    } finally {
      await gateway.stop();
    }
  },

  "a stream opens to its attempts; what backends answered, their last fault and the limit of an end are shown": async () => {
    const closed = createServer();
    await new Promise((resolve) => closed.listen(0, "127.0.0.1", resolve));
    const down = `http://127.0.0.1:${closed.address().port}`;
    await new Promise((resolve) => closed.close(resolve));
    const gateway = await startGateway({
      upstreams: { down: { url: down }, up: { url: upstream } },
      routes: [{ name: "main", upstreams: ["down", "up"], stream: { idle: "4s" } }],
    });
    const stream = open(`${gateway.url}/some/path?how=hang`);
    try {
      await show(gateway);
      await until("the stream", look, ({ streams }) => streams[0]?.[10] === "open");
      await execute(`document.querySelector("#streams-table button.plain").click()`);
      const facts = await execute(`return Object.fromEntries([...document.querySelectorAll("#one-list dt")]
        .map((name) => [name.textContent, name.nextSibling.textContent]))`);
      await picture("one");
      assert.match(facts["Attempt 1"], /^down: connect failed after \d+ ms$/);
      assert.equal(facts["Attempt 2"], "up: answered");
      assert.equal(facts.Path, "/some/path");
      assert.match(facts["First event"], /^after /);
      await execute(`document.querySelector("#one button").click()`);
      const seen = await until("the end", look, ({ ended }) => ended[0]?.[1]?.includes("idle_timeout"), 120);
      assert.equal(seen.ended[0][9], "stream.idle");
      const [first, second] = seen.backends;
      assert.match(first[9], /^\d\d:\d\d:\d\d connect failed /);
      assert.equal(first[8], "\u2013");
      assert.match(second[8], /^200: 1$/);
      assert.match(second[9], /idle timeout/);
      assert.equal(seen.routes[0][7], "200: 1");
      assert.deepEqual(await execute(`return [...document.querySelectorAll("#rollout-list dt")].slice(-2).map(({ textContent }) => textContent)`),
        ["This phase", "Legacy streams since the start"]);
    } finally {
      stream.close();
      await gateway.stop();
    }
  },

  "an outage is told: a backend that answers 500, requests that find no backend": async () => {
    const failing = createServer((_, response) => response.writeHead(500).end("no"));
    await new Promise((resolve) => failing.listen(0, "127.0.0.1", resolve));
    const closed = createServer();
    await new Promise((resolve) => closed.listen(0, "127.0.0.1", resolve));
    const down = `http://127.0.0.1:${closed.address().port}`;
    await new Promise((resolve) => closed.close(resolve));
    const gateway = await startGateway({
      upstreams: { failing: { url: `http://127.0.0.1:${failing.address().port}` }, down: { url: down } },
      routes: [{ name: "f", path: "/f", upstreams: "failing" }, { name: "d", path: "/*", upstreams: "down" }],
    });
    try {
      for (let count = 0; count < 40; count++) {
        assert.equal(await status(`${gateway.url}/f`), 500);
        assert.ok((await status(`${gateway.url}/d`)) >= 502);
      }
      await show(gateway);
      const seen = await until("what is wrong", look, ({ wrong }) => /Backend failing/.test(wrong));
      assert.match(seen.wrong, /Backend failing answered 500 to 40 of 40 requests/);
      assert.match(seen.wrong, /Route d: 40 of 40 answers were bad/);
      assert.doesNotMatch(seen.wrong, /Route f/);
      assert.deepEqual(seen.routes.find(([route]) => route === "d").slice(3, 5), ["0.0 %", "40"]);
    } finally {
      failing.close();
      await gateway.stop();
    }
  },

  "stop: asks, tells the client and the log; not there without admin.operate": async () => {
    const gateway = await startGateway();
    try {
      const stream = open(`${gateway.url}/?events=2&how=hang`);
      await show(gateway);
      await until("the button", () => execute(`return !!document.querySelector("#streams-table button.danger")`));
      await execute(`document.querySelector("#streams-table button.danger").click();
        document.getElementById("operator").value = "Ada"`);
      await picture("stop");
      await execute(`document.querySelector('#stop button[value="stop"]').click()`);
      await until("the end", () => stream.isOver);
      assert.match(stream.text, /event: stream_end\ndata: .*"outcome":"cancelled"/);
      await until("the line", () => gateway.log.find(({ event }) => event === "stream_stopped"));
      const line = gateway.log.find(({ event }) => event === "stream_stopped");
      assert.deepEqual([line.closer, line.operator], ["operator", "Ada"]);
      await until("what the page says", look, ({ told }) => told.startsWith("Stopped "));
    } finally {
      await gateway.stop();
    }
    const other = await startGateway({ admin: { operate: false } });
    try {
      const stream = open(`${other.url}/?how=hang`);
      await show(other);
      await until("the stream", look, ({ streams }) => streams.length === 1 && streams[0].length > 1);
      assert.equal(await execute(`return document.querySelectorAll("#streams-table button.danger").length`), 0);
      assert.equal(await status(`${other.admin}/streams/x/stop`, {}, "POST"), 403);
      stream.close();
    } finally {
      await other.stop();
    }
  },

  "the policy lets only the page's own script run; other hosts, origins and tokens in URLs are refused": async () => {
    const gateway = await startGateway({ admin: { token: "0123456789abcdef" } });
    const answer = await fetch(`${gateway.admin}/dashboard`);
    const html = await answer.text();
    assert.ok(Buffer.byteLength(html) <= 60_000, `${Buffer.byteLength(html)} bytes`);
    const isWhole = (line) => line.split("`").length % 2 === 1;
    assert.deepEqual(html.split("\n").filter((line) => !isWhole(line)), [], "a text over several lines has lost its indentation");
    const policy = answer.headers.get("content-security-policy");
    assert.match(policy, /^default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'; connect-src 'self'/);
    const changed = html.replace("const LOST_AFTER = 3000", "const LOST_AFTER = 3001");
    assert.notEqual(changed, html);
    const server = createServer((_, response) => {
      response.writeHead(200, { "Content-Type": "text/html", "Content-Security-Policy": policy }).end(changed);
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { identifier } = await cdp("Page.addScriptToEvaluateOnNewDocument", { source: `window.violations = [];
      document.addEventListener("securitypolicyviolation", (event) => violations.push(event.effectiveDirective));` });
    const violations = () => execute("return violations");
    try {
      await visit(`http://127.0.0.1:${server.address().port}/`);
      await sleep(500);
      assert.equal(await execute(`return document.querySelectorAll(".tile").length`), 0, "a changed script ran");
      assert.deepEqual(await violations(), ["script-src-elem"]);
      const events = `${gateway.admin}/dashboard/events`;
      assert.equal(await status(events, { Host: "evil.example" }), 421);
      assert.equal(await status(`${events}?token=0123456789abcdef`), 401);
      const bearer = { Authorization: "Bearer 0123456789abcdef" };
      assert.equal(await status(`${gateway.admin}/streams/x/stop`, { ...bearer, Origin: "http://evil.example" }, "POST"), 403);
      await visit(`${gateway.admin}/dashboard`);
      const isAsked = () => execute(`return !document.getElementById("ask").hidden`);
      await until("the question", isAsked);
      const enter = (token) => execute(`document.getElementById("token").value = arguments[0];
        document.querySelector("#ask button").click()`, token);
      await enter("wrong");
      await until("the refusal", () => execute(`return document.getElementById("refused").textContent`), (text) => text.includes("not let you in"));
      await picture("token");
      await enter("0123456789abcdef");
      await until("the page", look, isLive);
      await sleep(1500);
      assert.deepEqual(await violations(), [], "the page does nothing that its own policy forbids");
    } finally {
      await cdp("Page.removeScriptToEvaluateOnNewDocument", { identifier });
      server.close();
      await gateway.stop();
    }
  },

  "a page that is covered lets its stream go, and takes it up again": async () => {
    const gateway = await startGateway();
    const cover = (isCovered) => execute(`Object.defineProperty(document, "hidden", { configurable: true, value: arguments[0] });
      document.dispatchEvent(new Event("visibilitychange"))`, isCovered);
    // Sixteen may follow at a time: so many more are let in now.
    const room = async () => {
      const asked = Array.from({ length: 17 }, () => {
        const request = ask(`${gateway.admin}/dashboard/events`, { agent: false });
        const answer = new Promise((resolve, reject) => request.on("response", resolve).on("error", reject)).catch(() => ({}));
        request.end();
        return { request, answer };
      });
      const statuses = await Promise.all(asked.map(async ({ answer }) => (await answer).statusCode));
      for (const { request } of asked) request.on("error", () => {}).destroy();
      return statuses.filter((code) => code === 200).length;
    };
    try {
      await show(gateway);
      assert.equal(await room(), 15);
      await cover(true);
      await until("room for one more", room, (count) => count === 16, 60);
      await cover(false);
      const stream = open(`${gateway.url}/?events=3&how=hang`);
      await until("what has come meanwhile", look, (seen) => isLive(seen) && seen.streams[0]?.[7] === "3", 60);
      await until("room for one less", room, (count) => count === 15, 60);
      stream.close();
    } finally {
      await gateway.stop();
    }
  },

  "a gateway that restarts is lost, then live, by itself": async () => {
    const gateway = await startGateway();
    const { ports } = gateway;
    await show(gateway);
    await gateway.stop();
    await until("lost", look, ({ link }) => link.startsWith("lost"), 60);
    await picture("lost");
    const next = await startGateway({ ports });
    try {
      await until("live", look, isLive);
    } finally {
      await next.stop();
    }
  },

  "a second with thousands of streams costs the page less than its table once more, and the workers nothing": async () => {
    const gateway = await startGateway({ limits: { connections: 3000 } });
    const lag = () => metric(gateway, /fermata_loop_lag_seconds_bucket\{le="0.25"\} (\d+)/g);
    const ticks = () => metric(gateway, /fermata_loop_lag_seconds_count (\d+)/g);
    const streams = [];
    try {
      for (let count = 0; count < 2000; count++) {
        streams.push(open(`${gateway.url}/?events=1&how=hang`));
        if (count % 50 === 49) await until("their events", () => streams.every(({ text }) => text.includes("token")), Boolean, 600);
      }
      await show(gateway);
      await until("the streams", look, ({ shown }) => shown === "200 of 2\u202f000 shown, 2\u202f000 open");
      // The thread's own time: what others do on the machine meanwhile is not the page's.
      await cdp("Performance.enable", { timeDomain: "threadTicks" });
      const used = async () => {
        const { metrics } = await cdp("Performance.getMetrics");
        return metrics.find(({ name }) => name === "TaskDuration").value;
      };
      await sleep(1000);
      const before = [await used(), await ticks(), await lag()];
      await sleep(5000);
      const after = [await used(), await ticks(), await lag()];
      const [task, all, inTime] = after.map((value, index) => value - before[index]);
      // What this browser on this machine needs now for a table of that size is what the page's time is compared with.
      const begun = await used();
      await execute(BUILD_TABLES, 10);
      const [second, table] = [task / 5, (await used() - begun) / 10].map((time) => 1000 * time);
      console.log(`# the page's main thread: ${second.toFixed(0)} ms a second; a table: ${table.toFixed(0)} ms`);
      assert.ok(second < table, `${second} ms a second, ${table} ms for a table`);
      assert.ok(all > 50 && inTime / all > 0.9, `${inTime} of ${all} ticks in time`);
    } finally {
      streams.forEach(({ close }) => close());
      await gateway.stop();
    }
  },

  "without JavaScript there are links to the same as JSON": async () => {
    const gateway = await startGateway();
    try {
      await cdp("Emulation.setScriptExecutionDisabled", { value: true });
      await visit(`${gateway.admin}/dashboard`);
      const { root } = await cdp("DOM.getDocument", { depth: -1 });
      const text = JSON.stringify(root);
      for (const place of ["/streams", "/upstreams", "/runs", "/flags", "/config", "/metrics"]) {
        assert.ok(text.includes(`"href","${place}"`), place);
      }
    } finally {
      await cdp("Emulation.setScriptExecutionDisabled", { value: false });
      await gateway.stop();
    }
  },
};

let passed = 0;
let failed = 0;
try {
  for (const [name, scene] of Object.entries(SCENES)) {
    try {
      await scene();
      passed++;
    } catch (error) {
      failed++;
      console.log(`${name}: ${error.stack}`);
    }
  }
} finally {
  await browser.stop();
  backend.closeAllConnections();
  backend.close();
  rmSync(folder, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
