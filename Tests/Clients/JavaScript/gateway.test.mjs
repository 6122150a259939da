// The library in front of the real gateway, if it has been built. FERMATA_PROGRAM names another one.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import test, { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { openStream } from "../../../Sources/Clients/JavaScript/src/index.js";
import { collect } from "./support/fakes.mjs";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..");
const program = [process.env.FERMATA_PROGRAM, `${root}/.build/debug/fermata`, `${root}/.build/release/fermata`].find(
  (name) => name && existsSync(name),
);
const skip = program ? false : "the gateway has not been built";
const folder = mkdtempSync(path.join(tmpdir(), "fermata-client-"));
const running = [];
let gateway;

/** Starts the program and waits for its line that says where it listens. */
async function start(args, pattern) {
  // What steers these tests is no setting of the gateway, which refuses variables that it does not know.
  const { FERMATA_SHARED: _shared, FERMATA_PROGRAM: _program, ...env } = process.env;
  const child = spawn(program, args, { env, stdio: ["pipe", "pipe", "pipe"] });
  running.push(child);
  return new Promise((resolve, reject) => {
    let text = "";
    const look = (piece) => {
      text += piece;
      const found = pattern.exec(text);
      if (found) resolve(found[1]);
    };
    child.stdout.on("data", look);
    child.stderr.on("data", look);
    child.on("exit", () => reject(new Error(`${args.join(" ")} ended: ${text}`)));
  });
}

async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

before(async () => {
  if (skip) return;
  const backend = await start(["backend", "--until-input-ends"], /"port":(\d+)/);
  const flags = {
    flags: {
      "stream-closing": {
        state: "ENABLED",
        variants: { legacy: "legacy", shield: "shield", graceful: "graceful" },
        defaultVariant: "graceful",
      },
    },
  };
  writeFileSync(path.join(folder, "flags.json"), JSON.stringify(flags));
  const [port, admin] = [await freePort(), await freePort()];
  const config = {
    flags: { file: path.join(folder, "flags.json") },
    upstreams: { main: { url: `http://127.0.0.1:${backend}` } },
    routes: [
      { name: "plain", path: "/plain", upstreams: ["main"] },
      { name: "kept", path: "/*", upstreams: ["main"], runs: { onDisconnect: "grace" } },
    ],
  };
  writeFileSync(path.join(folder, "fermata.json5"), JSON.stringify(config));
  const addresses = ["--listen", `127.0.0.1:${port}`, "--admin", `127.0.0.1:${admin}`];
  await start(
    ["serve", "--config", path.join(folder, "fermata.json5"), "--workers", "1", ...addresses],
    /(listening|started)/,
  );
  gateway = `http://127.0.0.1:${port}`;
});

after(async () => {
  // The gateway keeps state in the folder until it has ended.
  const isRunning = (child) => child.exitCode === null && child.signalCode === null;
  const ends = running.filter(isRunning).map((child) => once(child, "exit"));
  running.forEach((child) => child.kill());
  await Promise.all(ends);
  rmSync(folder, { recursive: true });
});

/** Passes bytes on, and cuts the first connection behind so many of the answer's. */
async function cuttingRelay(limit) {
  let isFirst = true;
  const targets = [];
  const { port } = new URL(gateway);
  const server = net.createServer((client) => {
    const isCut = isFirst;
    isFirst = false;
    let sent = 0;
    const upstream = net.connect(Number(port), "127.0.0.1");
    [client, upstream].forEach((socket) => socket.on("error", () => {}));
    client.on("data", (piece) => {
      targets.push(/^\S+ \S+/.exec(piece.toString("latin1"))?.[0]);
      upstream.write(piece);
    });
    upstream.on("data", (piece) => {
      const rest = isCut ? Math.max(limit - sent, 0) : piece.length;
      sent += piece.length;
      client.write(piece.subarray(0, rest));
      if (isCut && sent >= limit) {
        client.end();
        upstream.destroy();
      }
    });
    upstream.on("close", () => client.end());
    client.on("close", () => upstream.destroy());
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, targets, close: () => server.close() };
}

test("the gateway's counts are those of the client", { skip }, async () => {
  const stream = openStream(`${gateway}/plain?events=3&complete=complete&trailing=2`);
  const items = await collect(stream);
  const { outcome, complete, verified, mode, events, end } = await stream.done;
  assert.deepEqual(items.map(({ type }) => type), ["token", "token", "token", "complete", "trailing", "trailing"]);
  assert.deepEqual([outcome, complete, verified, mode, events, end.events], [
    "completed",
    true,
    true,
    "graceful",
    6,
    6,
  ]);
});

test("a run that was cut on the way is gone on with, a POST too", { skip }, async () => {
  for (const method of ["GET", "POST"]) {
    const relay = await cuttingRelay(900);
    const url = `${relay.url}/run?events=20&interval=20&complete=complete`;
    const stream = openStream(url, { method, ...(method === "POST" ? { body: "{}" } : {}), retry: { base: 40 } });
    const items = await collect(stream);
    const { verified, attempts } = await stream.done;
    relay.close();
    assert.deepEqual(items.slice(0, 20).map((event) => event.json().n), Array.from({ length: 20 }, (_, at) => at + 1));
    assert.deepEqual([items.length, verified, attempts], [21, true, 2], method);
    assert.equal(relay.targets.filter((target) => target?.startsWith(`${method} /run`)).length, 1);
  }
});

test("a cut where nothing is kept is told as a cut", { skip }, async () => {
  const relay = await cuttingRelay(900);
  const stream = openStream(`${relay.url}/plain?events=20&interval=20&complete=complete`, { retry: { base: 40 } });
  const error = (await collect(stream)).at(-1);
  relay.close();
  assert.deepEqual([error.code, error.status], ["cut", 404]);
});

test("cancelling stops the run, and the gateway says so", { skip }, async () => {
  const stream = openStream(`${gateway}/run?events=1000&interval=20`);
  for await (const event of stream) {
    if (event.type === "token") stream.cancel();
  }
  const { outcome, verified, error } = await stream.done;
  assert.deepEqual([outcome, verified, error], ["cancelled", true, null]);
});

test("a backend that is cut is told by the gateway's word", { skip }, async () => {
  const stream = openStream(`${gateway}/plain?events=5&cut=3`);
  const error = (await collect(stream)).at(-1);
  assert.deepEqual([error.code, error.isRetryable, error.detail.code], [
    "upstream_truncated",
    true,
    "upstream_truncated",
  ]);
});
