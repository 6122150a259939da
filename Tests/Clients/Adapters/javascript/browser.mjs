// The adapter in a browser: node browser.mjs Chromium|WebKit. Jobs and answers as adapter.mjs has them.
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import path from "node:path";
import readline from "node:readline";
import { fileURLToPath } from "node:url";
import { startBrowser } from "../../JavaScript/support/chromium.mjs";
import { startWebKit } from "../../JavaScript/support/webkit.mjs";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../../..");
const built = process.env.FERMATA_CLIENT;
// Fields as everywhere: the cases look at them. From a page of another origin the library would ask by the query. Not for
// a POST: on a connection that a preflight has opened, the browser itself sends it twice if it is closed.
const PAGE = `<!doctype html><meta charset="utf-8"><title>adapter</title><script type="module">
${built ? `globalThis.FERMATA_CLIENT = "/built/${path.basename(built)}";` : ""}
const { hello, run } = await import("/Tests/Clients/Adapters/javascript/adapter.mjs");
window.run = (job) => run({ ...job, options: { optIn: job.method === "POST" ? "auto" : "header", ...job.options } });
window.hello = hello;
</script>`;

const server = createServer((request, response) => {
  if (request.url === "/") return response.writeHead(200, { "Content-Type": "text/html" }).end(PAGE);
  try {
    const name = path.normalize(request.url);
    const file = readFileSync(
      built && name.startsWith("/built/") ? path.join(path.dirname(built), path.basename(name)) : path.join(root, name),
    );
    response.writeHead(200, { "Content-Type": "text/javascript" }).end(file);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const [, , kind = "Chromium"] = process.argv;
const browser = await (kind === "WebKit" ? startWebKit() : startBrowser());
const stop = async () => {
  await browser.stop();
  process.exit();
};
process.on("SIGTERM", stop);
await browser.do("POST", "/timeouts", { script: 60000 });
await browser.do("POST", "/url", { url: `http://127.0.0.1:${server.address().port}/` });
const script = (text, ...args) => browser.do("POST", "/execute/async", { script: text, args });
const hello = await script(
  `const [done] = arguments; const ask = () => window.hello ? done(window.hello) : setTimeout(ask, 10); ask();`,
);
process.stdout.write(JSON.stringify({ ...hello, client: `${hello.client} in ${kind}` }) + "\n");
for await (const line of readline.createInterface({ input: process.stdin })) {
  const answer = await script(`const [job, done] = arguments; window.run(job).then(done);`, JSON.parse(line));
  process.stdout.write(JSON.stringify(answer) + "\n");
}
await stop();
