// Our JavaScript library in Node.
import { readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { openStream } from "../../Sources/Clients/JavaScript/src/index.js";
import { run } from "./fermata_run.mjs";
import { serve } from "./matrix_adapter.mjs";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const { version } = JSON.parse(readFileSync(`${root}/Sources/Clients/JavaScript/package.json`));

// fetch of Node speaks HTTP/1.1 only.
await serve("fermata-client (JavaScript)", version, async (job) =>
  job.http === "2" ? { unsupported: true } : run(job, openStream, "header"),
);
process.exit(0);
