// Runs the test that the address names, and leaves what came of it in window.__state.
import { tests } from "./harness.js";
import "./formats.js";
import "./stream.js";
import "./react.js";

const name = new URLSearchParams(location.search).get("test");
if (!name) window.__state = { names: [...tests.keys()] };
else {
  window.__state = {};
  const errors = [];
  addEventListener("unhandledrejection", ({ reason }) => errors.push(`unhandled: ${reason}`));
  const complain = console.error;
  console.error = (...words) => {
    errors.push(`console.error: ${words.join(" ")}`);
    complain(...words);
  };
  try {
    await tests.get(name)();
  } catch (error) {
    errors.push(`${error}\n${error.stack}`);
  }
  window.__state = { isDone: true, error: errors.join("\n     ") };
}
