// The adapter in a browser: node browser.mjs Chromium|WebKit. Jobs and answers as adapter.mjs has them.
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import path from "node:path";
import readline from "node:readline";
import { fileURLToPath } from "node:url";
import { startBrowser } from "../../JavaScript/support/chromium.mjs";
import { startWebKit } from "../../JavaScript/support/webkit.mjs";
import { startRelay } from "./relay.mjs";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../../..");
const built = process.env.FERMATA_CLIENT;
// Fields as everywhere: the cases look at them. From a page of another origin the library would ask by the query. Not for
// a POST: on a connection that a preflight has opened, the browser itself sends it twice if it is closed.
const PAGE = `<!doctype html><meta charset="utf-8"><title>adapter</title><script type="module">
${built ? `globalThis.FERMATA_CLIENT = "/built/${path.basename(built)}";` : ""}
const { hello, run } = await import("/Tests/Clients/Adapters/javascript/adapter.mjs");
// How many bytes were taken of each event stream of the job. Nothing but looking: the library gets what the browser gives.
let streams = [];
const bodies = new WeakMap();
const see = (type, name, note) => {
  const its = type[name];
  type[name] = function (...all) {
    const answer = its.apply(this, all);
    note(answer, this);
    return answer;
  };
};
see(window, "fetch", (answer) => answer.then(({ status, headers, body }) => {
  if (status !== 200 || !String(headers.get("Content-Type")).startsWith("text/event-stream")) return;
  bodies.set(body, streams[streams.length] = { bytes: 0 });
}).catch(() => {}));
see(ReadableStream.prototype, "getReader", (reader, body) => bodies.set(reader, bodies.get(body)));
see(ReadableStreamDefaultReader.prototype, "read", (piece, reader) => piece.then(({ value }) => {
  const stream = bodies.get(reader);
  if (stream && value) stream.bytes += value.length;
}).catch(() => {}));
const hasTaken = ({ stream, bytes }) => streams.length > stream || streams[stream - 1]?.bytes >= bytes;
(async () => {
  for (let done = 0;;) {
    const end = await (await fetch("/end?" + done)).json();
    while (!hasTaken(end) && end.job === streams.job) await new Promise((resolve) => setTimeout(resolve, 1));
    done = end.number;
  }
})();
window.run = (job) => {
  streams = Object.assign([], { job: job.number });
  return run({ ...job, options: { optIn: job.method === "POST" ? "auto" : "header", ...job.options } });
};
window.hello = hello;
</script>`;

const relay = await startRelay();
const server = createServer(async (request, response) => {
  if (request.url.startsWith("/end?")) {
    return response.end(JSON.stringify(await relay.next(Number(request.url.split("?")[1]))));
  }
  if (request.url === "/") return response.writeHead(200, { "Content-Type": "text/html" }).end(PAGE);
  try {
    const name = path.normalize(request.url);
    const file = readFileSync(
      built && name.startsWith("/built/") ? path.join(path.dirname(built), path.basename(name)) : path.join(root, name),
    );
    response.writeHead(200, { "Content-Type": "text/javascript" }).end(file);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const [, , kind = "Chromium"] = process.argv;
const browser = await (kind === "WebKit" ? startWebKit() : startBrowser());
const stop = async () => {
  await browser.stop();
  process.exit();
};
process.on("SIGTERM", stop);
await browser.do("POST", "/timeouts", { script: 60000 });
await browser.do("POST", "/url", { url: `http://127.0.0.1:${server.address().port}/` });
const script = (text, ...args) => browser.do("POST", "/execute/async", { script: text, args });
const hello = await script(
  `const [done] = arguments; const ask = () => window.hello ? done(window.hello) : setTimeout(ask, 10); ask();`,
);
process.stdout.write(JSON.stringify({ ...hello, client: `${hello.client} in ${kind}` }) + "\n");
for await (const line of readline.createInterface({ input: process.stdin })) {
  const job = JSON.parse(line);
  const url = new URL(job.url);
  job.number = relay.follow(Number(url.port));
  url.port = relay.port;
  const text = `const [job, done] = arguments; window.run(job).then(done);`;
  const answer = await script(text, { ...job, url: url.href });
  process.stdout.write(JSON.stringify(answer) + "\n");
}
await stop();
