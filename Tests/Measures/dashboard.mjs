#!/usr/bin/env node
// Measures what the dashboard costs while thousands of streams are open: the main thread of the page in Chromium, and how much
// later the event loops of the gateway are.
//
// usage: Tests/Measures/dashboard.mjs [--streams N] [--seconds N] [--rounds N] [--program FILE]
//
// Starts a backend and a gateway on loopback and opens all streams, which have an event in ten seconds each. Each round has
// three parts of so many seconds: nobody follows the dashboard; a program follows it, as `fermata top` does; a page in a browser
// shows it. The browser is on the same machine and takes processor time from the gateway: the second part is without that.
// Fails when a stream ends, when the page's main thread is busy for 50 ms a second, or when the ticks' p99 is 2 ms later with
// the page than without.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { startBrowser } from "../Clients/JavaScript/support/chromium.mjs";

const THREAD_LIMIT = 50;
const LAG_LIMIT = 2;

const { values } = parseArgs({
  options: {
    streams: { type: "string", default: "8000" },
    seconds: { type: "string", default: "10" },
    rounds: { type: "string", default: "6" },
    program: { type: "string", default: ".build/release/fermata" },
  },
});
const [count, seconds, rounds] = [values.streams, values.seconds, values.rounds].map(Number);
const folder = mkdtempSync(path.join(tmpdir(), "fermata-dashboard-"));
const sleep = (time) => new Promise((resolve) => setTimeout(resolve, time));
const children = [];

/** Starts the program, and waits for the first line of JSON that `isIt` takes. */
function start(words, output, isIt) {
  const stdio = ["ignore", output === "stdout" ? "pipe" : "ignore", output === "stderr" ? "pipe" : "ignore"];
  const child = spawn(values.program, words, { stdio });
  children.push(child);
  return new Promise((resolve, reject) => {
    let rest = "";
    child[output].on("data", (piece) => {
      const lines = (rest + piece).split("\n");
      rest = lines.pop();
      const found = lines.map((line) => JSON.parse(line)).find(isIt);
      if (found) resolve({ ...found, pid: child.pid });
    });
    child.on("exit", (code) => reject(new Error(`${words[0]} ended with ${code}`)));
  });
}

async function startGateway() {
  const backend = await start(["backend"], "stdout", ({ port }) => port);
  const file = path.join(folder, "fermata.json");
  const configuration = {
    listen: "127.0.0.1:0",
    workers: 2,
    // Each worker may have half of them, and has not exactly half of the clients.
    limits: { connections: Math.round(1.1 * count) + 100 },
    admin: { listen: "127.0.0.1:0" },
    flags: { default: "graceful" },
    upstream: `http://127.0.0.1:${backend.port}`,
  };
  writeFileSync(file, JSON.stringify(configuration));
  return start(["serve", "--config", file], "stderr", ({ event }) => event === "started");
}

/** Clients, each with one stream; a hundred at a time wait for their first event. */
class Streams {
  events = 0;
  ended = 0;
  sockets = [];

  async open(port) {
    const one = () =>
      new Promise((resolve, reject) => {
        const socket = connect(port, "127.0.0.1", () => {
          socket.write("GET /?events=1000&interval=10000&size=60 HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\nPrefer: stream-end\r\n\r\n");
        });
        this.sockets.push(socket);
        socket.setEncoding("latin1");
        socket.on("data", (text) => {
          const came = text.split("data: ").length - 1;
          if (came) resolve();
          this.events += came;
        });
        socket.on("error", reject);
        socket.on("close", () => {
          this.ended++;
          reject(new Error("a stream ended"));
        });
      });
    for (let begun = 0; begun < count; begun += 100) {
      await Promise.all(Array.from({ length: Math.min(100, count - begun) }, one));
    }
  }

  close() {
    for (const socket of this.sockets) socket.destroy();
  }
}

/** What the gateway has counted so far: its ticks by how late they were, and its processor time in milliseconds. */
async function counted(gateway) {
  const text = await (await fetch(`http://${gateway.admin}/metrics`)).text();
  const found = [...text.matchAll(/^fermata_loop_lag_seconds_bucket\{le="([^"]+)"\} (\d+)/gm)];
  const ticks = found.map(([, bound, number]) => [Number(bound.replace("+Inf", "Infinity")), Number(number)]);
  const words = readFileSync(`/proc/${gateway.pid}/stat`, "utf8").split(") ")[1].split(" ");
  return { ticks, processor: 10 * (Number(words[11]) + Number(words[12])) };
}

/** The ticks of several parts together, as one histogram. */
const sum = (parts) => parts[0].ticks.map(([bound], place) => [bound, parts.reduce((all, { ticks }) => all + ticks[place][1], 0)]);

/** The lag that 99 of 100 ticks do not exceed, in milliseconds, interpolated in its bucket as Prometheus does. */
function p99(ticks) {
  const rank = 0.99 * ticks.at(-1)[1];
  const place = ticks.findIndex(([, number]) => number >= rank);
  const [below, start] = place === 0 ? [0, 0] : [ticks[place - 1][1], ticks[place - 1][0]];
  const [bound, number] = ticks[place];
  if (bound === Infinity) return 1000 * start;
  return 1000 * (start + ((bound - start) * (rank - below)) / (number - below));
}

async function part(gateway, before = () => 0) {
  const [first, used] = [await counted(gateway), await before()];
  await sleep(1000 * seconds);
  const [last, usedThen] = [await counted(gateway), await before()];
  return {
    ticks: last.ticks.map(([bound, number], place) => [bound, number - first.ticks[place][1]]),
    processor: (last.processor - first.processor) / seconds,
    thread: (usedThen - used) / seconds,
  };
}

async function followed(gateway) {
  const leave = new AbortController();
  const answer = await fetch(`http://${gateway.admin}/dashboard/events`, { signal: leave.signal });
  const reading = answer.body.pipeTo(new WritableStream()).catch(() => {});
  await sleep(2000);
  const found = await part(gateway);
  leave.abort();
  await reading;
  return found;
}

async function shown(gateway, browser) {
  await browser.do("POST", "/url", { url: `http://${gateway.admin}/dashboard` });
  await browser.do("POST", "/goog/cdp/execute", { cmd: "Performance.enable", params: { timeDomain: "threadTicks" } });
  await sleep(4000);
  const script = `return document.getElementById("shown").textContent.replace(/\\D/g, " ").trim().split(/ +/).join("")`;
  const text = await browser.do("POST", "/execute/sync", { script, args: [] });
  if (!text.endsWith(`${count}`)) throw new Error(`the page does not show ${count} streams: ${text}`);
  const used = async () => {
    const { metrics } = await browser.do("POST", "/goog/cdp/execute", { cmd: "Performance.getMetrics", params: {} });
    return 1000 * metrics.find(({ name }) => name === "TaskDuration").value;
  };
  const found = await part(gateway, used);
  await browser.do("POST", "/url", { url: "about:blank" });
  await sleep(2000);
  return found;
}

function tell(streams, parts) {
  const lines = { alone: "nobody follows", followed: "a program follows", shown: "a page shows it" };
  console.log(`${count} streams, ${rounds} rounds of ${seconds} s`);
  const lag = {};
  for (const [name, text] of Object.entries(lines)) {
    lag[name] = p99(sum(parts[name]));
    const processor = parts[name].reduce((all, { processor }) => all + processor, 0) / rounds;
    console.log(`  ${text}: ticks' lag p99 ${lag[name].toFixed(2)} ms, ${processor.toFixed(0)} ms of processor time a second`);
    console.log(`    by round: ${parts[name].map((one) => p99(one.ticks).toFixed(2)).join(", ")} ms`);
  }
  const thread = Math.max(...parts.shown.map(({ thread }) => thread));
  console.log(`  the page's main thread: ${parts.shown.map(({ thread }) => thread.toFixed(0)).join(", ")} ms a second`);
  console.log(`  the page makes the lag's p99 ${(lag.shown - lag.alone).toFixed(2)} ms longer; ${streams.ended} streams ended`);
  return thread < THREAD_LIMIT && lag.shown - lag.alone < LAG_LIMIT && streams.ended === 0;
}

const streams = new Streams();
let browser;
let isGood = false;
try {
  const gateway = await startGateway();
  await streams.open(Number(gateway.listen.split(":").at(-1)));
  browser = await startBrowser();
  const parts = { alone: [], followed: [], shown: [] };
  for (let round = 0; round < rounds; round++) {
    parts.alone.push(await part(gateway));
    parts.followed.push(await followed(gateway));
    parts.shown.push(await shown(gateway, browser));
  }
  isGood = tell(streams, parts);
} finally {
  await browser?.stop();
  for (const child of children) child.removeAllListeners("exit").kill("SIGKILL");
  streams.close();
  rmSync(folder, { recursive: true, force: true });
}
process.exit(isGood ? 0 : 1);
