import { spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

/** Chromium behind chromedriver, with further arguments. */
export async function startBrowser(further = []) {
  const profile = mkdtempSync(path.join(tmpdir(), "fermata-chromium-"));
  // Driver and browser end when our end of the pipe is gone, however we end.
  const command = `set -m; chromedriver --port=0 & cat > /dev/null; kill -- -$!; wait; rm -rf "${profile}"`;
  const driver = spawn("bash", ["-c", command], { stdio: ["pipe", "pipe", "ignore"] });
  const port = await new Promise((resolve, reject) => {
    let text = "";
    driver.stdout.on("data", (piece) => {
      text += piece;
      const found = /started successfully on port (\d+)/.exec(text);
      if (found) resolve(found[1]);
    });
    driver.on("exit", () => reject(new Error(`chromedriver ended: ${text}`)));
  });
  const ask = async (method, where, body) => {
    const answer = await fetch(`http://127.0.0.1:${port}${where}`, { method, body: body && JSON.stringify(body) });
    const { value } = await answer.json();
    if (!answer.ok) throw new Error(`${value.error}: ${value.message}`);
    return value;
  };
  const args = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    // Nobody looks at the page: its timers would come late where the machine is busy.
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    `--user-data-dir=${profile}`,
    ...further,
  ];
  const { sessionId } = await ask("POST", "/session", {
    capabilities: {
      alwaysMatch: { browserName: "chrome", "goog:chromeOptions": { args, binary: "/usr/bin/chromium" } },
    },
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
