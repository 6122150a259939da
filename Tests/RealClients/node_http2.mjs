// What Node.js makes of an event stream over HTTP/2: one JSON object on standard output.
//
//     node node_http2.mjs http2|fetch URL ROOTS [prefer]
//
// `fetch` is undici, the client that Node.js brings along, told to offer HTTP/2 as newer ones do by themselves.
import { readFileSync } from "node:fs";
import http2 from "node:http2";

const [way, url, roots, ...options] = process.argv.slice(2);
const ca = readFileSync(roots);
const headers = options.includes("prefer") ? { prefer: "stream-end" } : {};
let text = "", error = null, mode = null, version = null;

async function overSession() {
  const { origin, pathname, search } = new URL(url);
  const session = http2.connect(origin, { ca });
  try {
    await new Promise((resolve, reject) => {
      session.on("error", reject);
      const stream = session.request({ ":path": pathname + search, ...headers });
      stream.setEncoding("utf8");
      stream.on("response", (head) => { mode = head["x-stream-mode"]; version = session.alpnProtocol; });
      stream.on("data", (data) => { text += data; });
      stream.on("end", resolve);
      stream.on("error", reject);
    });
  } finally {
    session.close();
  }
}

async function byFetch() {
  // The agent comes to be with the first use of `fetch`.
  await fetch("http://127.0.0.1:1/").catch(() => {});
  const Agent = globalThis[Symbol.for("undici.globalDispatcher.1")].constructor;
  const dispatcher = new Agent({ allowH2: true, connect: { ca } });
  const response = await fetch(url, { headers, dispatcher });
  mode = response.headers.get("x-stream-mode");
  const decoder = new TextDecoder();
  try {
    for await (const data of response.body) text += decoder.decode(data, { stream: true });
  } finally {
    await dispatcher.destroy();
  }
}

try {
  await (way === "http2" ? overSession() : byFetch());
} catch (caught) {
  error = `${caught.code ?? caught.name}: ${caught.message}`;
}
const events = text.split("\n\n").filter((event) => /^data:/m.test(event))
  .map((event) => [/^event: (.*)$/m.exec(event)?.[1] ?? "message", /^data: ?(.*)$/m.exec(event)[1]]);
console.log(JSON.stringify({ events, error, mode, version }));
