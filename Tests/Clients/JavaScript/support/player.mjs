// Plays what a server sends, byte for byte, and records what the client did. The format is that of the shared cases.
import net from "node:net";

const ALLOW =
  "Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: X-Stream-Id, X-Stream-Mode, X-Stream-Outcome, " +
  "Retry-After\r\n";
const sleep = (time) => new Promise((resolve) => setTimeout(resolve, time));

function payload(segment) {
  if (segment.hex !== undefined) return Buffer.from(segment.hex, "hex");
  if (segment.repeat) {
    return Buffer.from((segment.text || "") + segment.repeat[0].repeat(segment.repeat[1]) + (segment.tail || ""));
  }
  return Buffer.from(segment.text);
}

/** Splits what comes into requests. */
class Requests {
  constructor(act) {
    this.bytes = Buffer.alloc(0);
    this.act = act;
  }

  feed(piece) {
    this.bytes = Buffer.concat([this.bytes, piece]);
    const end = this.bytes.indexOf("\r\n\r\n");
    if (end < 0) return;
    const [line, ...lines] = this.bytes.subarray(0, end).toString("latin1").split("\r\n");
    const headers = lines.map((text) => [text.slice(0, text.indexOf(":")), text.slice(text.indexOf(":") + 1).trim()]);
    const fields = Object.fromEntries(headers.map(([name, value]) => [name.toLowerCase(), value]));
    const length = Number(fields["content-length"] || 0);
    if (this.bytes.length < end + 4 + length) return;
    const body = this.bytes.subarray(end + 4, end + 4 + length).toString();
    this.bytes = this.bytes.subarray(end + 4 + length);
    const [method, target] = line.split(" ");
    this.act({ method, target, headers, fields, body, at: performance.now() });
  }
}

/** What a kept run of so many `events` has behind the id that is asked for: the next event and `end` together, or its end. */
function whatFollows({ events, end }, { target, fields }) {
  const id = new URLSearchParams(target.split("?")[1]).get("last_event_id") ?? fields["last-event-id"] ?? "";
  const number = Number(id.split(".")[1] || 0);
  if (number < events) return graceful([token(number + 1)], { end, pause: 0 });
  return graceful([streamEnd({ events, lastEventId: id })]);
}

/**
 * Serves exchanges, one for each request that is neither DELETE nor OPTIONS. With `run` they follow from the ids that are
 * asked for. A cut with `until: "told"` waits for `tellCut()`: a browser may throw away what came just before it.
 * @returns a play: `url`, `requests`, `deletes`, `preflights`, `left` (when clients left), `close()`
 */
export async function play(exchanges, { deletes = [{}], allow = ALLOW, allowHeaders = true, run } = {}) {
  const the = {
    requests: [],
    deletes: [],
    preflights: [],
    left: [],
    ended: [],
    begun: [],
    open: 0,
    sockets: new Set(),
  };
  let taken = 0;
  const cutTold = new Promise((resolve) => (the.tellCut = resolve));
  const server = net.createServer((socket) => {
    the.sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("close", () => the.sockets.delete(socket));
    const requests = new Requests((request) => answer(socket, request));
    socket.on("data", (piece) => requests.feed(piece));
  });

  function answer(socket, request) {
    if (request.method === "OPTIONS") {
      the.preflights.push(request);
      const names = allowHeaders
        ? `Access-Control-Allow-Headers: ${request.fields["access-control-request-headers"]}\r\n`
        : "";
      return socket.write(`HTTP/1.1 204 X\r\n${allow}Access-Control-Allow-Methods: *\r\n${names}\r\n`);
    }
    if (request.method === "DELETE") {
      const { status = 204 } = deletes[Math.min(the.deletes.length, deletes.length - 1)];
      the.deletes.push(request);
      return socket.write(`HTTP/1.1 ${status} X\r\n${allow}${status === 204 ? "" : "Content-Length: 0\r\n"}\r\n`);
    }
    the.requests.push(request);
    const exchange = run ? whatFollows(run, request) : exchanges[taken++];
    if (!exchange) return socket.end(`HTTP/1.1 410 X\r\n${allow}Content-Length: 0\r\nConnection: close\r\n\r\n`);
    return serve(socket, exchange, the.requests.length - 1);
  }

  async function serve(socket, exchange, number) {
    const { end = "finish", framing = "chunked", status = 200, segments = [], stall = 0, keep } = exchange;
    the.begun[number] = performance.now();
    const over = () => (the.ended[number] = performance.now());
    if (end === "refuse") return over(), socket.destroy();
    const isChunked = framing === "chunked" && status !== 204;
    let isLeft = false;
    const closed = new Promise((resolve) => socket.once("close", () => resolve(isLeft = true)));
    the.open++;
    closed.then(() => {
      the.open--;
      the.left[number] = performance.now();
    });
    await Promise.race([sleep(stall), closed]);
    if (isLeft || end === "drop") return over(), socket.destroy();
    if (exchange.early) socket.write("HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n");
    const lines = [`HTTP/${framing === "close10" ? "1.0" : "1.1"} ${status} X`];
    for (const [name, value] of exchange.headers || []) lines.push(`${name}: ${value}`);
    if (isChunked) lines.push("Transfer-Encoding: chunked");
    const whole = segments.reduce((sum, segment) => sum + payload(segment).length, 0);
    if (framing === "length") lines.push(`Content-Length: ${exchange.length ?? whole}`);
    if (!keep) lines.push("Connection: close");
    // `raw`: the segments bring their own head.
    if (framing !== "raw") socket.write(Buffer.from(`${lines.join("\r\n")}\r\n${allow}\r\n`, "latin1"));
    const put = (piece) => {
      const isTaken = !isChunked
        ? socket.write(piece)
        : socket.write(Buffer.concat([Buffer.from(piece.length.toString(16) + "\r\n"), piece, Buffer.from("\r\n")]));
      return isTaken ? undefined : Promise.race([new Promise((resolve) => socket.once("drain", resolve)), closed]);
    };
    for (const segment of segments) {
      for (let waited = 0; segment.until === "delete" && !the.deletes.length && waited < 5000; waited += 10) {
        await sleep(10);
      }
      if (segment.wait) await Promise.race([sleep(segment.wait), closed]);
      if (isLeft) return;
      const data = payload(segment);
      const step = segment.split || data.length || 1;
      for (let at = 0; at < data.length && !isLeft; at += step) {
        await put(data.subarray(at, at + step));
        if (segment.split) await sleep(segment.gap || 0);
      }
    }
    if (end === "hold") await Promise.race([sleep(exchange.hold ?? 8000), closed]);
    else if (exchange.until === "told") await Promise.race([cutTold, closed]);
    else if (end === "fin" || end === "rst") await sleep(exchange.pause ?? 30);
    else if (isChunked) socket.write("0\r\n\r\n");
    over();
    if (end === "rst") return socket.resetAndDestroy();
    if (!(keep && end === "finish")) socket.end();
  }

  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  the.origin = `http://127.0.0.1:${server.address().port}`;
  the.url = `${the.origin}/s`;
  the.close = () => {
    the.sockets.forEach((socket) => socket.destroy());
    return new Promise((resolve) => server.close(resolve));
  };
  return the;
}

export const ID = "K4iOEHrIqKEd8FsJcnNBlQ";
export const PLAIN = [["Content-Type", "text/event-stream"]];
export const GRACEFUL = [...PLAIN, ["X-Stream-Mode", "graceful"], ["X-Stream-Id", ID]];

/** The n-th token of a graceful stream, as text. */
export const token = (number, id = ID) => `id: ${id}.${number}\nevent: token\ndata: {"n":${number}}\n\n`;

/** stream_end, as text. */
export function streamEnd(members = {}) {
  const all = {
    type: "stream_end",
    streamId: ID,
    runId: ID,
    outcome: "completed",
    reason: "the backend ended its stream",
    events: 0,
    bytes: 0,
    lastEventId: "",
    resumable: false,
    partialEvent: false,
    message: "Stream ending",
    ...members,
  };
  return `event: stream_end\ndata: ${JSON.stringify(all)}\n\n`;
}

/** An exchange of the gateway's with these texts. */
export const graceful = (texts, more = {}) => ({
  headers: GRACEFUL,
  segments: texts.map((text) => ({ text })),
  ...more,
});
export const plain = (texts, more = {}) => ({ headers: PLAIN, segments: texts.map((text) => ({ text })), ...more });
