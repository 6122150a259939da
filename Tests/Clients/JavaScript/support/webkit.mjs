import { spawn } from "node:child_process";
import net from "node:net";

const MINI_BROWSER = "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser";

/** WebKitGTK's browser behind its driver, on a screen that nobody sees. */
export async function startWebKit() {
  const free = net.createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => free.once("listening", resolve));
  const { port } = free.address();
  await new Promise((resolve) => free.close(resolve));
  // Root has no sandbox, and the screen no graphics card.
  const environment = "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS=1 WEBKIT_DISABLE_COMPOSITING_MODE=1";
  // All of it ends when our end of the pipe is gone, however we end.
  const start = `${environment} xvfb-run -a WebKitWebDriver --port=${port}`;
  const command = `set -m; ${start} & cat > /dev/null; kill -- -$!; wait`;
  const driver = spawn("bash", ["-c", command], { stdio: ["pipe", "ignore", "ignore"] });
  const ask = async (method, where, body) => {
    const answer = await fetch(`http://127.0.0.1:${port}${where}`, { method, body: body && JSON.stringify(body) });
    const { value } = await answer.json();
    if (!answer.ok) throw new Error(`${value.error}: ${value.message}`);
    return value;
  };
  for (let tries = 0; tries < 200; tries++) {
    const { ready } = await ask("GET", "/status").catch(() => ({}));
    if (ready) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const options = { binary: MINI_BROWSER, args: ["--automation"] };
  const { sessionId } = await ask("POST", "/session", {
    capabilities: { alwaysMatch: { "webkitgtk:browserOptions": options } },
  });
  return {
    do: (method, where, body) => ask(method, `/session/${sessionId}${where}`, body),
    async stop() {
      await ask("DELETE", `/session/${sessionId}`).catch(() => {});
      driver.stdin.end();
      await new Promise((resolve) => driver.once("exit", resolve));
    },
  };
}
