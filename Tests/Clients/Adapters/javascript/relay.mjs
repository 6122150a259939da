// Between a browser and the server of the cases. What comes is handed on byte for byte, but an answer ends only when the
// page has taken all of it: a browser throws away what it holds for a page when it sees that the connection broke (the
// Streams Standard's error() empties the queue, Chromium drops its pipe), and which comes first is chance.
import net from "node:net";

/** The page says within this time what it has taken; in milliseconds. */
const PATIENCE = 3000;

/**
 * Looks at answers one behind the other, as one connection has them.
 * @param {Buffer} bytes all that came so far
 * @returns {number[]} for each event stream the bytes of its body, without its framing
 */
export function streamsIn(bytes) {
  const streams = [];
  let at = 0;
  for (let end; (end = bytes.indexOf("\r\n\r\n", at)) >= 0;) {
    const head = bytes.subarray(at, end).toString("latin1");
    at = end + 4;
    const status = Number(head.split(" ")[1]);
    if (status < 200 || status === 204) continue;
    let size = 0;
    if (/^transfer-encoding: *chunked/im.test(head)) {
      for (let isLast = false; !isLast && at < bytes.length;) {
        const line = bytes.indexOf("\r\n", at);
        // What is no chunk is the last.
        const chunk = line < 0 ? 0 : parseInt(bytes.subarray(at, line).toString("latin1"), 16) || 0;
        if (line < 0) at = bytes.length;
        else {
          size += Math.max(0, Math.min(chunk, bytes.length - line - 2));
          at = line + 4 + chunk;
        }
        isLast = !chunk;
      }
    } else {
      const [, length = Infinity] = /^content-length: *(\d+)/im.exec(head) || [];
      size = Math.min(Number(length), bytes.length - at);
      at += size;
    }
    // How much comes of what is packed the page alone knows.
    if (/^content-encoding: *gzip/im.test(head)) size = 0;
    if (status === 200 && /^content-type: *text\/event-stream/im.test(head)) streams.push(size);
  }
  return streams;
}

/**
 * @returns `port`, `follow(port)`: a new job, whose number it gives, goes to a server at that port, `next(done)`: which end waits for the page,
 *   `done` being the number of the one before
 */
export async function startRelay() {
  /** `port` of the server, and how many event streams of the job are over. */
  let job = { number: 0, port: 0, past: 0 };
  /** Ends that the page has not been told of, and where it waits for one. */
  const ends = [];
  let tell = () => {};
  const waiting = new Map();
  let count = 0;

  /** Waits until the page has taken so many bytes of the job's stream of that number. */
  async function taken(stream, bytes, left) {
    const number = ++count;
    const told = new Promise((resolve) => waiting.set(number, resolve));
    ends.push({ number, job: job.number, stream, bytes });
    tell();
    let timer;
    const late = new Promise((resolve) => (timer = setTimeout(resolve, PATIENCE, true)));
    if (await Promise.race([told, left, late])) console.error(`the page did not take ${bytes} bytes of a stream`);
    clearTimeout(timer);
    waiting.delete(number);
  }

  function relay(client) {
    const mine = job;
    const server = net.connect(mine.port, "127.0.0.1");
    const pieces = [];
    let isBroken = false;
    let hasLeft = () => {};
    const left = new Promise((resolve) => (hasLeft = resolve));
    for (const socket of [client, server]) socket.setNoDelay(true);
    client.on("error", () => {}).on("close", () => {
      hasLeft();
      server.destroy();
    });
    client.on("end", () => {
      hasLeft();
      server.end();
    });
    client.on("data", (piece) => server.write(piece));
    server.on("error", () => (isBroken = true));
    server.on("data", (piece) => {
      pieces.push(piece);
      if (client.write(piece)) return;
      server.pause();
      client.once("drain", () => server.resume());
    });
    let isOver = false;
    const over = async () => {
      if (isOver) return;
      isOver = true;
      const streams = streamsIn(Buffer.concat(pieces));
      mine.past += streams.length;
      const isRead = mine === job && !client.destroyed;
      if (streams.length && isRead) await taken(mine.past, streams.at(-1), left);
      if (isBroken) client.resetAndDestroy();
      else client.end();
    };
    server.on("end", over).on("close", over);
  }

  const listener = net.createServer({ allowHalfOpen: true }, relay);
  await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
  return {
    port: listener.address().port,
    follow(port) {
      job = { number: job.number + 1, port, past: 0 };
      return job.number;
    },
    async next(done) {
      waiting.get(done)?.();
      while (!ends.length) await new Promise((resolve) => (tell = resolve));
      return ends.shift();
    },
  };
}
