// A program that wraps a client library, as Tests/Clients/Adapters has them: a job a line in, an answer a line out.
import { spawn } from "node:child_process";
import readline from "node:readline";

/**
 * @param {string} command its words, by spaces
 * @returns `run(job)`: one job behind the other, `stop()`
 */
export async function startAdapter(command) {
  const [program, ...args] = command.split(" ");
  const adapter = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise((resolve) => adapter.once("exit", () => resolve({ done: true })));
  const lines = readline.createInterface({ input: adapter.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const { done, value } = await Promise.race([lines.next(), ended]);
    if (done) throw new Error(`${command} has ended`);
    return JSON.parse(value);
  };
  await next();
  let turn = Promise.resolve();
  return {
    run(job) {
      const ask = () => {
        adapter.stdin.write(`${JSON.stringify(job)}\n`);
        return next();
      };
      return (turn = turn.then(ask, ask));
    },
    async stop() {
      adapter.stdin.end();
      await ended;
    },
  };
}
