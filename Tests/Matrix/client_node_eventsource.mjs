// eventsource of npm, as Debian has it, in Node.
import { createRequire } from "node:module";
import { serve } from "./matrix_adapter.mjs";

const PLACE = "/usr/share/nodejs/eventsource";
const TYPES = ["message", "token", "complete", "usage", "stream_end", "control", "stream_reset"];
const require = createRequire(import.meta.url);
let EventSource;
let version;
try {
  EventSource = require(PLACE);
  ({ version } = require(`${PLACE}/package.json`));
} catch {
  console.error("node-eventsource is not installed");
  process.exit(69);
}

/** As a program uses it that was written for the gateway: it closes at stream_end, or where the stream ends. */
function follow(job) {
  return new Promise((resolve) => {
    const events = [];
    let opened = 0;
    // With options that do not name it, the library takes any certificate.
    const source = new EventSource(job.url, { headers: job.headers, rejectUnauthorized: true });
    source.reconnectInterval = 50;
    const finish = (end, error = null, status = null) => {
      source.close();
      clearTimeout(limit);
      resolve({ events, end, error, status, reconnects: Math.max(0, opened - 1), sawOutcome: null });
    };
    const limit = setTimeout(() => finish("timeout"), job.deadlineMs);
    source.onopen = () => (opened += 1);
    for (const type of TYPES) {
      source.addEventListener(type, (event) => {
        events.push([event.type, event.lastEventId, event.data]);
        if (type === "stream_end") finish("closed");
      });
    }
    source.addEventListener("error", (event) => {
      // The backend's own event of this name comes here too.
      if (event.data !== undefined) events.push([event.type, event.lastEventId, event.data]);
      else if (event.status === 204) finish("closed", null, 204);
      else if (event.status) finish("error", `status ${event.status}`, event.status);
      // It asks again after a cut and after an end alike: it can't tell one from the other.
      else if (!job.resume || events.some(([type]) => type === "complete")) {
        if (opened === 0) finish("error", `never opened: ${event.message}`);
        else finish("closed");
      }
    });
  });
}

await serve("eventsource", version, async (job) => (job.http === "2" ? { unsupported: true } : follow(job)));
process.exit(0);
