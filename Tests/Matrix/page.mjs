// The page of client_chromium.mjs.
import { openStream } from "/Sources/Clients/JavaScript/src/index.js";
import { run } from "./fermata_run.mjs";

const TYPES = [
  "message", "token", "complete", "usage", "error", "stream_end", "control", "stream_reset", "trailing",
];

/** As a page uses it that was written for the gateway: it closes at stream_end, or where the stream ends. */
function follow(job) {
  return new Promise((resolve) => {
    const events = [];
    let opened = 0;
    const source = new EventSource(job.url);
    const finish = (end, error = null) => {
      source.close();
      clearTimeout(limit);
      resolve({ events, end, error, status: null, reconnects: Math.max(0, opened - 1), sawOutcome: null });
    };
    const limit = setTimeout(() => finish("timeout"), job.deadlineMs);
    source.onopen = () => (opened += 1);
    for (const type of TYPES) {
      source.addEventListener(type, (event) => {
        if (!(event instanceof MessageEvent)) return;
        events.push([event.type, event.lastEventId, event.data]);
        if (type === "stream_end") finish("closed");
      });
    }
    source.onerror = (event) => {
      if (event instanceof MessageEvent) return;
      if (source.readyState === EventSource.CLOSED) finish("error", "closed for good");
      // It would ask again after a cut and after an end alike: it can't tell one from the other.
      else if (!job.resume || events.some(([type]) => type === "complete")) {
        if (opened === 0) finish("error", "never opened");
        else finish("closed");
      }
    };
  });
}

/** Takes jobs and plays them, so many at a time. */
export function work(kind, atOnce) {
  const play = (job) => (kind === "fetch" ? run(job, openStream, "auto") : follow(job));
  const next = async () => {
    for (;;) {
      const { ticket, ...job } = await (await fetch("/job")).json();
      const answer = await play(job).catch((error) => ({ events: [], end: "error", error: `${error}` }));
      await fetch("/answer", { method: "POST", body: JSON.stringify({ ticket, ...answer }) });
    }
  };
  for (let count = 0; count < atOnce; count += 1) next();
}
