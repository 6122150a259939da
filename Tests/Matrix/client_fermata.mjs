// Our JavaScript library in Node.
import { readFileSync } from "node:fs";
import path from "node:path";
import readline from "node:readline";
import { fileURLToPath } from "node:url";
import { openStream } from "../../Sources/Clients/JavaScript/src/index.js";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const { version } = JSON.parse(readFileSync(`${root}/Sources/Clients/JavaScript/package.json`));

/** What the library tells of one stream. */
async function run(job) {
  const events = [];
  let opened = 0;
  const stream = openStream(job.url, {
    method: job.method,
    headers: Object.entries(job.headers).filter(([name]) => name !== "Last-Event-ID"),
    ...(job.body ? { body: job.body } : {}),
    ...(job.lastEventId ? { lastEventId: job.lastEventId } : {}),
    optIn: job.capability === "stream-end" ? "header" : "off",
    retry: { base: 50, max: 200, ...(job.resume ? {} : { attempts: 0 }) },
    fetch: async (...given) => {
      opened += 1;
      return fetch(...given);
    },
  });
  const limit = setTimeout(() => stream.close(), job.deadlineMs);
  try {
    for await (const item of stream) {
      if (item.kind === "reset") events.push(["@reset", "", item.reason]);
      else events.push([item.type, item.id, item.data]);
      if (job.readDelayMs) await new Promise((resolve) => setTimeout(resolve, job.readDelayMs));
    }
  } catch {
    // The result has it.
  }
  clearTimeout(limit);
  const { outcome, complete, error } = await stream.done;
  return {
    events,
    end: complete || !error ? "closed" : "error",
    error: error ? `${error.code}: ${error.message}` : null,
    status: error?.status ?? (events.length === 0 && complete ? 204 : null),
    reconnects: Math.max(0, opened - 1),
    sawOutcome: outcome,
  };
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  const job = JSON.parse(line);
  run(job).then(
    (answer) => answer,
    (error) => ({ events: [], end: "error", error: `${error.name}: ${error.message}` }),
  ).then((answer) => {
    console.log(JSON.stringify({ id: job.id, name: "fermata-client (JavaScript)", version, ...answer }));
  });
}
process.exit(0);
