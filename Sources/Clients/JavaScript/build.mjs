// Makes what is published: node build.mjs [FOLDER]. `npm pack` and `npm publish` run it. It needs esbuild and terser.
// Names that begin with an underscore are the library's own, and get short ones.
import { execFileSync } from "node:child_process";
import { copyFileSync, readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const folder = path.resolve(process.argv[2] || path.join(here, "dist"));

/** Each group's modules share what they have in common; the core and the parser are whole in one file. */
const GROUPS = [["core"], ["parser"], ["index", "eventsource", "react", "store"]];

// What is shorter unpacked is not always shorter packed: functions stay where they are.
const TERSER = [
  "--module",
  "--ecma=2020",
  "--compress=passes=4,reduce_funcs=false,hoist_funs,keep_fargs=false,pure_getters,unsafe,unsafe_arrows," +
  "unsafe_methods",
  "--mangle",
  "--format=wrap_func_args=false",
];

// Debian keeps its modules there, and only its own Node knows.
const env = { ...process.env, NODE_PATH: [process.env.NODE_PATH, "/usr/share/nodejs"].filter(Boolean).join(":") };

/** @param {string} place @param {string[]} options */
function build(place, options) {
  for (const modules of GROUPS) {
    const inputs = modules.map((name) => path.join(here, "src", `${name}.js`));
    execFileSync("esbuild", [
      ...inputs,
      "--bundle",
      "--splitting",
      "--minify",
      "--format=esm",
      "--target=es2020",
      "--external:react",
      "--mangle-props=^_",
      "--log-level=warning",
      `--outdir=${place}`,
      // See rules.js.
      ...(modules[0] === "core" ? ["--define:globalThis.FERMATA_CORE=true"] : []),
      ...options,
    ], { cwd: here });
  }
  for (const name of readdirSync(place).filter((name) => name.endsWith(".js"))) {
    const file = path.join(place, name);
    execFileSync("terser", [...TERSER, "--output", file, "--", file], { cwd: here, env });
  }
}

rmSync(folder, { recursive: true, force: true });
// Only Node needs to have its connections watched.
build(folder, ["--define:globalThis.process=undefined"]);
build(path.join(folder, "node"), []);
for (const name of readdirSync(path.join(here, "src")).filter((name) => name.endsWith(".d.ts"))) {
  copyFileSync(path.join(here, "src", name), path.join(folder, name));
}
