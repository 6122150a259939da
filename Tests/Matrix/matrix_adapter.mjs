// What the programs in JavaScript share: jobs come as lines of JSON, answers go out as lines, several at a time.
import { createHash } from "node:crypto";
import readline from "node:readline";

const LIMIT = 2000;

/** Long data as its digest and length, so that answers stay short. */
function short(data) {
  const bytes = Buffer.from(data);
  return bytes.length <= LIMIT
    ? data
    : `sha256:${createHash("sha256").update(bytes).digest("hex")}:${bytes.length}`;
}

/** Answers jobs until standard input ends. */
export async function serve(name, version, run) {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const job = JSON.parse(line);
    run(job)
      .catch((error) => ({ events: [], end: "error", error: `${error.name}: ${error.message}` }))
      .then((answer) => {
        const events = (answer.events ?? []).map(([type, id, data]) => [type, id, short(data)]);
        process.stdout.write(JSON.stringify({ id: job.id, name, version, ...answer, events }) + "\n");
      });
  }
}
