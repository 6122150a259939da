/**
 * Node's fetch before Node 24 takes a body for whole when its connection is reset, or closes before the last chunk, if
 * the answer said `Connection: close`. The body alone does not tell; that the socket was over before it does.
 */

/**
 * @typedef {{ _isBroken?: boolean, _reader?: ReadableStreamDefaultReader }} Track
 * @typedef {{ track?: Track, socket?: any, isChunked?: boolean }} Entry
 */

/** @type {Map<string, Track[]>} */
const waiting = new Map();
/** @type {WeakMap<object, Entry>} */
const known = new WeakMap();

/**
 * Channels that nobody holds are forgotten, and fetch is loaded at its first call.
 * @type {any[]}
 */
const held = [];

/** @param {any} channels `node:diagnostics_channel` */
function listen(channels) {
  /**
   * @param {string} name
   * @param {(message: any) => void} act
   */
  const subscribe = (name, act) => {
    const channel = channels.channel(`undici:${name}`);
    held.push(channel);
    channel.subscribe(act);
  };
  /**
   * @param {string} name
   * @param {(message: any, entry: Entry) => void} act
   */
  const on = (name, act) =>
    subscribe(name, (message) => {
      const entry = known.get(message.request);
      if (entry) act(message, entry);
    });
  subscribe("request:create", ({ request }) => {
    const tracks = waiting.get(`${request.method} ${request.origin}${request.path}`);
    const track = tracks && tracks.shift();
    if (track) known.set(request, { track });
  });
  on("client:sendHeaders", ({ socket }, entry) => (entry.socket = socket));
  on(
    "request:headers",
    ({ response }, entry) => (entry.isChunked = /transfer-encoding,chunked/i.test(`${response.headers}`)),
  );
  on("request:trailers", (_, { track, socket, isChunked }) => {
    if (track && socket) track._isBroken = !!socket.errored || (!!isChunked && socket.readableEnded);
  });
}

const name = "diagnostics_channel";
const { getBuiltinModule } = /** @type {any} */ (globalThis).process;
// Older ones have it by import only. By a variable, so that bundlers for pages do not look for it.
const ready = getBuiltinModule
  ? listen(getBuiltinModule(name))
  : import(/* @vite-ignore */ `node:${name}`).then(listen).catch(() => {});

/**
 * Does `fetch` and watches how its body ends.
 * @param {URL} url
 * @param {string} method
 * @param {Track} track
 * @param {() => Promise<Response>} fetch
 */
export async function watched(url, method, track, fetch) {
  await ready;
  const key = `${method} ${url.origin}${url.pathname}${url.search}`;
  const tracks = waiting.get(key) || [];
  waiting.set(key, tracks);
  tracks.push(track);
  try {
    return await fetch();
  } finally {
    const at = tracks.indexOf(track);
    if (at >= 0) tracks.splice(at, 1);
    if (!tracks.length) waiting.delete(key);
  }
}
