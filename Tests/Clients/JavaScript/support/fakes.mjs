// A clock that is moved by hand and a fetch without network.

/** Replaces the timers and `Date.now` until `restore`. */
export function fakeClock() {
  const real = { setTimeout, clearTimeout, now: Date.now };
  let now = 1_000_000;
  let count = 0;
  const timers = new Map();
  const settle = async () => {
    for (let turn = 0; turn < 30; turn++) await new Promise((resolve) => setImmediate(resolve));
  };
  Date.now = () => now;
  globalThis.setTimeout = (act, delay = 0) => {
    timers.set(++count, { at: now + delay, act });
    return count;
  };
  globalThis.clearTimeout = (id) => timers.delete(id);
  return {
    timers,
    now: () => now,
    settle,
    /** Time goes by, and every timer fires when it is due. */
    async advance(time) {
      await settle();
      const end = now + time;
      for (;;) {
        const due = [...timers].filter(([, timer]) => timer.at <= end).sort((a, b) => a[1].at - b[1].at)[0];
        if (!due) break;
        timers.delete(due[0]);
        now = Math.max(now, due[1].at);
        due[1].act();
        await settle();
      }
      now = end;
      await settle();
    },
    /** The machine sleeps: time goes by without any timer, then those that are due fire late. */
    async freeze(time) {
      now += time;
      for (const [id, timer] of [...timers]) {
        if (timer.at > now) continue;
        timers.delete(id);
        timer.act();
      }
      await settle();
    },
    /** Somebody sets the clock back; timers do not look at it. */
    setBack(time) {
      now -= time;
      for (const timer of timers.values()) timer.at -= time;
    },
    restore() {
      Object.assign(globalThis, { setTimeout: real.setTimeout, clearTimeout: real.clearTimeout });
      Date.now = real.now;
    },
  };
}

/**
 * A fetch that is answered by hand. `calls[n]` has the url, the init, and `answer`, `refuse`; a stream's answer gives
 * a body to write to.
 */
export function fakeFetch() {
  const calls = [];
  const fetch = (url, init) =>
    new Promise((resolve, reject) => {
      const call = { url, init, headers: new Headers(init.headers), cancelled: false };
      init.signal?.addEventListener("abort", () => reject(init.signal.reason), { once: true });
      call.refuse = reject;
      call.respond = (response) => resolve(response);
      call.answer = (headers = {}, status = 200) => {
        const encoder = new TextEncoder();
        let controller;
        const body = new ReadableStream({
          start: (given) => void (controller = given),
          cancel: () => void (call.cancelled = true),
        });
        init.signal?.addEventListener("abort", () => {
          try {
            controller.error(init.signal.reason);
          } catch {
            // It was over.
          }
        });
        resolve(
          new Response(status === 204 ? null : body, {
            status,
            headers: { "Content-Type": "text/event-stream", ...headers },
          }),
        );
        call.write = (text) => controller.enqueue(encoder.encode(text));
        call.end = () => controller.close();
        call.break = (error = new TypeError("terminated")) => controller.error(error);
        return call;
      };
      calls.push(call);
    });
  return { fetch, calls };
}

export const GRACEFUL = { "X-Stream-Mode": "graceful", "X-Stream-Id": "K4iOEHrIqKEd8FsJcnNBlQ" };

/** Takes all items of a stream; the error, if any, is the last. */
export async function collect(stream) {
  const items = [];
  try {
    for await (const item of stream) items.push(item);
  } catch (error) {
    items.push(error);
  }
  return items;
}

/** Notes what a logger is told. */
export function fakeLogger() {
  const lines = [];
  const level = (name) => (message, metadata) => lines.push({ level: name, message, metadata });
  return { lines, debug: level("debug"), info: level("info"), warn: level("warn"), error: level("error") };
}
