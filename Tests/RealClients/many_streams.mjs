// Reads many event streams at once in one HTTP/2 session of Node.js: one JSON object on standard output.
//
//     node many_streams.mjs URL COUNT ROOTS
//
// Each stream asks with another `k`. Says of each how many events of the type `token` it had, and what its last event was.
import { readFileSync } from "node:fs";
import http2 from "node:http2";

const [url, count, roots] = process.argv.slice(2);
const { origin, pathname, search } = new URL(url);
const session = http2.connect(origin, { ca: readFileSync(roots) });
session.on("error", (error) => console.error(error));

function read(index) {
  return new Promise((resolve) => {
    const stream = session.request({ ":path": `${pathname}${search}&k=${index}` });
    let text = "";
    stream.setEncoding("utf8");
    stream.on("data", (data) => { text += data; });
    const tokens = () => (text.match(/^event: token$/gm) ?? []).length;
    stream.on("end", () => resolve([tokens(), text.match(/^data: .*$/gm)?.at(-1) ?? ""]));
    stream.on("error", (error) => resolve([tokens(), String(error)]));
  });
}

const streams = await Promise.all([...Array(Number(count)).keys()].map(read));
session.close();
console.log(JSON.stringify({ streams }));
