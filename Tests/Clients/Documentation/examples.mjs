// Checks the types of all JavaScript, TypeScript and Swift examples in the documentation. Python's are checked by
// Tests/Clients/Python/test_package.py.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));

/** All pages of the documentation. */
function pages(root) {
  const readmes = readdirSync(path.join(root, "Sources/Clients")).map((name) => `Sources/Clients/${name}/README.md`);
  const docs = readdirSync(path.join(root, "docs")).filter((name) => name.endsWith(".md"));
  const all = ["README.md", ...docs.map((name) => `docs/${name}`), ...readmes];
  return all.filter((page) => existsSync(path.join(root, page)));
}

/** The blocks of a page in these languages, each with the line where it begins. */
function blocks(root, page, languages) {
  const text = readFileSync(path.join(root, page), "utf8");
  const found = [...text.matchAll(/^```(\w+)\n([^]*?)^```/gm)].filter(([, language]) => languages.includes(language));
  return found.map(({ 1: language, 2: code, index }) => {
    const line = text.slice(0, index).split("\n").length + 1;
    return { name: `${page.replace(/\.md$/, "").replace(/\W/g, "-")}-${line}`, language, code };
  });
}

function run(program, args, cwd) {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: "utf8", timeout: 300_000 });
  return { isRight: status === 0, detail: `${stdout || ""}${stderr || ""}` };
}

/** All of them at once: the compiler starts slowly. */
function scripts(root, all, react) {
  // In the tree, so that the compiler finds what it would for a user; removed again.
  const folder = mkdtempSync(path.join(here, ".examples-"));
  const source = path.join(root, "Sources/Clients/JavaScript/src");
  const paths = { "fermata-client": [`${source}/index`], "fermata-client/*": [`${source}/*`], react: [react] };
  const compilerOptions = {
    target: "ES2022",
    module: "ES2022",
    moduleResolution: "node",
    lib: ["ES2022", "DOM", "DOM.Iterable"],
    jsx: "preserve",
    noEmit: true,
    strict: true,
    types: [],
    skipLibCheck: true,
    paths,
  };
  try {
    // Each a module of its own.
    for (const { name, code } of all) writeFileSync(path.join(folder, `${name}.tsx`), `${code}\nexport {};\n`);
    const config = { compilerOptions, include: ["*.tsx", "../globals.d.ts", "jsx.d.ts"] };
    writeFileSync(path.join(folder, "jsx.d.ts"), `import "react";\n`);
    writeFileSync(path.join(folder, "tsconfig.json"), JSON.stringify(config));
    return run("tsc", ["-p", folder], root);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Each in a function of its own, which may wait and fail as a program can. */
function swift(root, all, modules) {
  const folder = mkdtempSync(path.join(tmpdir(), "fermata-examples-"));
  try {
    const functions = all.map(({ name, code }) => {
      const lines = code.split("\n").filter((line) => !/^import /.test(line));
      const parameters = `url: URL, body: Data${code.includes("let stream =") ? "" : ", stream: FermataStream"}`;
      return `// ${name}\n@MainActor func ${name.replace(/\W/g, "_")}(${parameters}) async throws {\n${lines.join("\n")}\n}\n`;
    });
    const networking = "#if canImport(FoundationNetworking)\n  import FoundationNetworking\n#endif\n";
    const file = path.join(folder, "examples.swift");
    writeFileSync(file, `import FermataClient\nimport Foundation\n${networking}\n${functions.join("\n")}`);
    return run("swiftc", ["-typecheck", "-swift-version", "6", "-I", modules, `${here}/globals.swift`, file], root);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** @returns what was found out: `name`, and either `isRight` and `detail`, or `missing` */
export function checkExamples(root) {
  const all = pages(root);
  const react = "/usr/share/nodejs/@types/react";
  const ofScripts = all.flatMap((page) => blocks(root, page, ["js", "jsx", "ts", "tsx"]));
  // A line of a manifest is built by Tests/Clients/Swift/package.
  const ofSwift = all.flatMap((page) => blocks(root, page, ["swift"])).filter(({ code }) => !/^\.package\(/.test(code));
  const unknown = all.flatMap((page) => blocks(root, page, ["javascript", "typescript"]));
  const modules = path.join(root, ".build/debug/Modules");
  return [
    { name: "every example names its language as the check does", isRight: !unknown.length, detail: "" },
    {
      name: `the types of ${ofScripts.length} examples in JavaScript and TypeScript`,
      ...(existsSync(react) ? scripts(root, ofScripts, react) : { missing: "node-types-react" }),
    },
    {
      name: `the types of ${ofSwift.length} examples in Swift`,
      ...(existsSync(path.join(modules, "FermataClient.swiftmodule"))
        ? swift(root, ofSwift, modules)
        : { missing: "a build of FermataClient" }),
    },
  ];
}

if (process.argv[1] === new URL(import.meta.url).pathname) console.log(checkExamples(path.resolve(here, "../../..")));
