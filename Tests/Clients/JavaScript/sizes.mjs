// What a page loads of the published modules, compressed: an entry point and all that it imports. Raise a limit only for
// a feature worth it. What is loaded only when it is asked for (order by index) is not counted.
import { readFileSync } from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";

const PARTS = [
  { name: "core", limit: 6144 },
  { name: "parser", limit: 768 },
  { name: "index", limit: 8896 },
  { name: "eventsource", limit: 7936 },
  { name: "react", limit: 10624 },
];

function loaded(file, seen = new Set()) {
  if (seen.has(file)) return seen;
  seen.add(file);
  const imports = readFileSync(file, "utf8").matchAll(/(?:from|import)\s*"(\.[^"]+)"/g);
  for (const [, name] of imports) loaded(path.join(path.dirname(file), name), seen);
  return seen;
}

/** @param {string} folder what `build.mjs` made for pages */
export function sizes(folder) {
  return PARTS.map((part) => {
    const files = [...loaded(path.join(folder, `${part.name}.js`))];
    return { ...part, bytes: files.reduce((sum, file) => sum + gzipSync(readFileSync(file), { level: 9 }).length, 0) };
  });
}

if (process.argv[2]) console.log(sizes(process.argv[2]));
