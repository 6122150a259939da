export const tests = new Map();

export const test = (name, body) => tests.set(name, body);
export const sleep = (time) => new Promise((resolve) => setTimeout(resolve, time));

export function equal(given, wanted, what = "") {
  const [one, other] = [given, wanted].map((value) => JSON.stringify(value));
  if (one !== other) throw new Error(`${what}: wanted ${other}, got ${one}`);
}

/** Waits until it is true, 5 s at most. */
export async function until(what, isTrue) {
  for (let waited = 0; waited < 5000; waited += 10) {
    if (await isTrue()) return;
    await sleep(10);
  }
  throw new Error(`never: ${what}`);
}

/** Plays exchanges from an origin of their own. `cut` is for ends that wait until they are told. */
export async function play(exchanges, options = {}) {
  const answer = await fetch("/_play", { method: "POST", body: JSON.stringify({ exchanges, ...options }) });
  const { number, url } = await answer.json();
  return { url, report: async () => (await fetch(`/_report/${number}`)).json(), cut: () => fetch(`/_cut/${number}`) };
}

/** Has another tab cover this one for a moment. */
export async function coverPage() {
  const seen = [];
  const note = () => seen.push(document.visibilityState);
  document.addEventListener("visibilitychange", note);
  window.__state = { wants: "hide" };
  await until("the page is back", () => !window.__state.wants);
  document.removeEventListener("visibilitychange", note);
  return seen;
}

/** Makes the page believe that it is hidden or visible. */
export function pretend(visibilityState) {
  Object.defineProperty(document, "visibilityState", { value: visibilityState, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}

export const ID = "K4iOEHrIqKEd8FsJcnNBlQ";
const PLAIN = [["Content-Type", "text/event-stream"]];
const GRACEFUL = [...PLAIN, ["X-Stream-Mode", "graceful"], ["X-Stream-Id", ID]];
export const graceful = (segments, more = {}) => ({ headers: GRACEFUL, segments, ...more });
/** A browser may throw away what came just before a cut, so this one waits for `cut()`. */
export const cutWhenTold = { end: "fin", until: "told" };
export const plain = (segments, more = {}) => ({ headers: PLAIN, segments, ...more });
export const token = (number, wait = 0) => ({
  text: `id: ${ID}.${number}\nevent: token\ndata: {"n":${number}}\n\n`,
  wait,
});
export function streamEnd(events, members = {}, more = {}) {
  const all = {
    type: "stream_end",
    outcome: "completed",
    events,
    lastEventId: events ? `${ID}.${events}` : "",
    resumable: false,
    ...members,
  };
  return { text: `event: stream_end\ndata: ${JSON.stringify(all)}\n\n`, ...more };
}
