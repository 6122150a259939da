// The page of `fermata demo --keep` in Chromium: each button does what it says. Ends with a line "N passed, N failed".
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { startBrowser } from "./support/chromium.mjs";

const sleep = (time) => new Promise((resolve) => setTimeout(resolve, time));
const TEXT =
  "A fermata stands above the last note. Nobody leaves while it sounds: not the players, not the listeners, " +
  "and not the one who turns the pages. It ends when it has been heard.";
const EVENTS = TEXT.split(" ").length + 4;

/** Starts the program and waits for the address of its page. */
async function startDemo(program) {
  const child = spawn(program, ["demo", "--keep"], { stdio: ["ignore", "pipe", "inherit"] });
  const address = await new Promise((resolve, reject) => {
    let text = "";
    child.stdout.on("data", (piece) => {
      text += piece;
      const [, found] = /^ +(http:\/\/\S+\/)$/m.exec(text) || [];
      if (found) resolve(found);
    });
    child.on("exit", () => reject(new Error(`the demo ended: ${text}`)));
  });
  return { address, stop: () => child.kill("SIGTERM") };
}

const [program] = process.argv.slice(2);
const demo = await startDemo(program);
const browser = await startBrowser();
let passed = 0;
let failed = 0;

const execute = (script) => browser.do("POST", "/execute/sync", { script, args: [] });
const press = (button) => execute(`document.getElementById("${button}").click()`);
/** What both sides show. */
const look = () =>
  execute(`const read = (place) => [...document.querySelectorAll("#" + place + " article")].map((article) => ({
    ...article.dataset, text: article.querySelector(".text").textContent.trim(),
    facts: Object.fromEntries([...article.querySelectorAll("dt")].map((term) =>
      [term.textContent, term.nextSibling.textContent])) }));
  return { ours: read("ours"), old: read("old"), network: document.getElementById("network").textContent,
    made: document.getElementById("with").textContent };`);

async function until(what, isRight) {
  for (let tries = 0; tries < 400; tries++) {
    const seen = await look();
    if (isRight(seen)) return seen;
    await sleep(25);
  }
  throw new Error(`not seen: ${what}, but ${JSON.stringify(await look())}`);
}

const eventsOf = ({ facts }) => Number(facts.events);
const hasBegun = ({ ours }) => ours.length > 0 && eventsOf(ours.at(-1)) > 2;

async function open(query) {
  await browser.do("POST", "/url", { url: `${demo.address}?${query}` });
  for (let tries = 0; (await execute("return document.documentElement.dataset.ready")) !== "true"; tries++) {
    if (tries > 200) throw new Error("the page is not ready");
    await sleep(25);
  }
}

const SCENES = {
  "start: all events and a verified end, where the old client loses what comes last": async () => {
    await press("start");
    const { ours: [ours], old: [old] } = await until("the end", ({ ours: [one] }) => one?.status === "done");
    assert.deepEqual([ours.complete, ours.outcome, ours.text, eventsOf(ours)], ["true", "completed", TEXT, EVENTS]);
    assert.match(ours.facts["how it ended"], /counts agree/);
    assert.match(ours.facts["behind the text"], /Task completed successfully/);
    assert.deepEqual([old.status, old.text, eventsOf(old)], ["hung up", TEXT, EVENTS - 3]);
  },

  "cut: both lose their connection, and only the old client is lost": async () => {
    await press("start");
    await until("events", hasBegun);
    await press("cut");
    const { network } = await until(
      "the cut",
      ({ ours: [one], old: [old] }) => one.status === "reconnecting" && old.status === "lost",
    );
    assert.equal(network, "cut");
    const before = await look();
    await sleep(700);
    const after = await look();
    assert.equal(after.ours[0].status, "reconnecting");
    assert.equal(eventsOf(after.ours[0]), eventsOf(before.ours[0]), "events come through a network that is cut");
  },

  "resume: the stream goes on where it was, the old client's does not": async () => {
    await press("start");
    await until("events", hasBegun);
    await press("cut");
    await until("the cut", ({ ours: [one] }) => one.status === "reconnecting");
    await press("resume");
    const { ours: [ours], old: [old], network } = await until("the end", ({ ours: [one] }) => one.status === "done");
    assert.deepEqual([ours.complete, ours.text, eventsOf(ours), network], ["true", TEXT, EVENTS, "up"]);
    assert.match(ours.facts["how it ended"], /counts agree/);
    assert.ok(Number(ours.facts.requests) >= 2);
    assert.equal(old.status, "lost");
    assert.ok(old.text.length < TEXT.length);
  },

  "cancel: the run is stopped, and its end says so": async () => {
    await press("start");
    await until("events", hasBegun);
    await press("cancel");
    const { ours: [ours] } = await until("the end", ({ ours: [one] }) => one.status === "cancelled");
    assert.deepEqual([ours.outcome, ours.complete, ours.facts.error], ["cancelled", "false", "-"]);
    assert.ok(eventsOf(ours) < EVENTS);
  },

  "replace: the first view ends without an error and does not come back, the second has all events": async () => {
    await press("start");
    await until("events", hasBegun);
    await press("replace");
    const { ours: [first, second] } = await until("the end", ({ ours: [, one] }) => one?.status === "done");
    assert.deepEqual([first.outcome, first.status, first.facts.error], ["replaced_by_new_stream", "done", "-"]);
    assert.equal(first.facts.requests, "1");
    assert.deepEqual([second.complete, second.text, eventsOf(second)], ["true", TEXT, EVENTS]);
  },

  "replace, after a cut: the view that came back is replaced as one that never left": async () => {
    await press("start");
    await until("events", hasBegun);
    await press("cut");
    await until("the cut", ({ ours: [one] }) => one.status === "reconnecting");
    await press("resume");
    await until("its return", ({ ours: [one] }) => one.status === "streaming");
    await press("replace");
    const { ours: [first, second] } = await until("the end", ({ ours: [, one] }) => one?.status === "done");
    assert.deepEqual([first.outcome, first.status, first.facts.error], ["replaced_by_new_stream", "done", "-"]);
    assert.deepEqual([second.complete, second.text], ["true", TEXT]);
  },
};

/** At the width of a phone nothing stands beside the page, and what it says can be read. */
async function checkPhone() {
  const size = { width: 360, height: 800, deviceScaleFactor: 1, mobile: true };
  await browser.do("POST", "/goog/cdp/execute", { cmd: "Emulation.setDeviceMetricsOverride", params: size });
  await open("pace=20");
  await press("start");
  await until("the end", ({ ours: [one] }) => one?.status === "done");
  const [width, narrowest, overlaps] = await execute(`
    const boxes = (selector) => [...document.querySelectorAll(selector)].map((each) => each.getBoundingClientRect());
    const buttons = boxes("button");
    return [document.documentElement.scrollWidth, Math.min(...boxes("dd").map(({ width }) => width)),
      buttons.some((one) => buttons.some((other) => one !== other && one.left < other.right && other.left < one.right
        && one.top < other.bottom && other.top < one.bottom))];`);
  await browser.do("POST", "/goog/cdp/execute", { cmd: "Emulation.clearDeviceMetricsOverride", params: {} });
  assert.ok(width <= 360, `the page is ${width} wide`);
  assert.ok(narrowest > 120, `a fact is ${narrowest} wide`);
  assert.equal(overlaps, false, "buttons lie on each other");
}

try {
  const isReactHere = existsSync("/usr/share/nodejs/react-dom/umd/react-dom.production.min.js");
  for (const [kind, query] of [["React", "pace=60"], ["no React", "pace=60&plain"]]) {
    if (kind === "React" && !isReactHere) continue;
    const scenes = kind === "React" ? SCENES : { ...SCENES, "at the width of a phone": checkPhone };
    for (const [name, play] of Object.entries(scenes)) {
      let problem = "";
      try {
        await open(query);
        const { made } = await look();
        assert.match(made, kind === "React" ? /by React/ : /without React/);
        await play();
        passed++;
      } catch (error) {
        failed++;
        problem = `\n     ${error.message}`;
      }
      console.log(`${problem ? "FAIL" : "ok  "} with ${kind}: ${name}${problem}`);
    }
  }
} finally {
  await browser.stop();
  demo.stop();
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
