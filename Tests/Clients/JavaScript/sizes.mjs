// What a page loads, minified and compressed.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";

/** What a page that imports only this loads, with all that is behind it. Raise a limit only for a feature worth it. */
const PARTS = [
  { name: "openStream", code: 'export { openStream } from "./src/index.js"', limit: 8192 },
  { name: "parser", code: 'export { createParser } from "./src/parser.js"', limit: 768 },
  { name: "EventSource", code: 'export { FermataEventSource } from "./src/eventsource.js"', limit: 8960 },
  { name: "React hook, with openStream", code: 'export { useAgentStream } from "./src/react.js"', limit: 9984 },
];

/** What is loaded only when it is needed (Node before 24, order by index) is in files of its own. */
export function sizes(library) {
  const folder = mkdtempSync(path.join(tmpdir(), "fermata-sizes-"));
  const args = [
    "--bundle",
    "--splitting",
    "--minify",
    "--format=esm",
    "--target=es2020",
    "--external:react",
    `--outdir=${folder}`,
  ];
  try {
    return PARTS.map(({ name, code, limit }) => {
      const input = path.join(library, ".size.js");
      writeFileSync(input, code);
      try {
        execFileSync("esbuild", [...args, "--metafile=" + path.join(folder, "meta.json"), input], {
          stdio: "pipe",
          cwd: library,
        });
      } finally {
        rmSync(input);
      }
      const { outputs } = JSON.parse(readFileSync(path.join(folder, "meta.json"), "utf8"));
      const entry = Object.keys(outputs).find((key) => outputs[key].entryPoint);
      const loaded = [
        entry,
        ...outputs[entry].imports.filter(({ kind, path }) => kind === "import-statement" && outputs[path]).map((part) =>
          part.path
        ),
      ];
      const bytes = loaded.reduce(
        (sum, file) => sum + gzipSync(readFileSync(path.resolve(library, file)), { level: 9 }).length,
        0,
      );
      return { name, bytes, limit };
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (process.argv[1] && import.meta.url.endsWith(process.argv[1].split("/").pop())) {
  for (const part of sizes(process.argv[2])) console.log(part);
}
