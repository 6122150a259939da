// The operators' page: follows /dashboard/events with the client library. Text goes into the page by textContent only.
import { openStream } from "../../../../Clients/JavaScript/src/index.js";

const LOST_AFTER = 3000;
const HISTORY = 900;

const byId = (id) => document.getElementById(id);
const make = (tag, text, className) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
};

let token = "";
let choice = { sort: "silence", find: "" };
let current;
let heardAt = 0;
let isLive = false;
let history = [];
let known = {};

// Numbers with their units

const grouped = (value) => `${Math.round(value)}`.replace(/\B(?=(\d{3})+$)/g, "\u202f");
const span = (ms) => {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
};
const size = (bytes) => {
  if (bytes < 1000) return `${bytes} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let value = bytes / 1000;
  while (value >= 1000 && units.length > 1) (value /= 1000), units.shift();
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[0]}`;
};
const clock = (text) => new Date(text).toLocaleTimeString("en-GB");

// Tables. A cell is its text, or { t: text, c: class, title }, or { key, node } with a function that makes its node.

function head(table, columns) {
  const row = make("tr");
  for (const column of columns) {
    const cell = make("th", column.sort ? undefined : column.name, column.n ? "n" : "");
    cell.scope = "col";
    if (column.sort) {
      const button = make("button", column.name);
      button.type = "button";
      button.addEventListener("click", () => choose({ sort: column.sort }));
      cell.append(button);
      cell.dataset.sort = column.sort;
    }
    row.append(cell);
  }
  const thead = make("thead");
  thead.append(row);
  table.append(thead, make("tbody"));
  const box = table.parentElement;
  const view = { top: 0, fills: 0, again() {} };
  views.set(table, view);
  box.addEventListener("scroll", () => {
    view.top = box.scrollTop;
    requestAnimationFrame(() => view.again());
  });
}

/** Where each table is scrolled to, and how it was filled last. To ask the page would cost a layout. */
const views = new Map();
// Rows are not lower or higher than that, and a table shows no more of them.
const [LOWEST, HIGHEST, SHOWN] = [20, 70, 420];

/**
 * Rows are kept by their keys, so that the focus and the selection stay. Those that are scrolled out of sight are brought
 * up to date when they come into it, and one in ten each time.
 */
function fill(table, columns, rows, key, cells, empty) {
  const view = views.get(table);
  view.again = () => fill(table, columns, rows, key, cells, empty);
  const turn = view.fills++ % 10;
  const [first, last] = [view.top / HIGHEST - 2, (view.top + SHOWN) / LOWEST + 2];
  const body = table.tBodies[0];
  const old = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  const names = rows.map(key);
  const here = new Set(names);
  // Rows that show nothing any more become others' where they stand.
  const free = [...old.values()].filter((row) => row.dataset.key && !here.has(row.dataset.key));
  let place = body.firstChild;
  for (const [index, item] of rows.entries()) {
    const name = names[index];
    let row = old.get(name);
    let isNew = !row;
    if (isNew) {
      row = free.shift();
      if (row) {
        old.delete(row.dataset.key);
        isNew = false;
      } else row = make("tr");
      row.dataset.key = name;
      for (const column of columns.slice(row.cells.length)) {
        row.append(make("td", "", [column.n && "n", column.c].filter(Boolean).join(" ")));
      }
    }
    old.delete(name);
    if (isNew || index % 10 === turn || (index >= first && index <= last)) {
      cells(item).forEach((value, column) => put(row.cells[column], value, columns[column]));
    }
    if (row === place) place = place.nextSibling;
    else body.insertBefore(row, place);
  }
  for (const row of old.values()) row.remove();
  if (rows.length === 0) {
    const row = make("tr");
    row.dataset.key = "";
    const cell = make("td", empty, "none");
    cell.colSpan = columns.length;
    row.append(cell);
    body.append(row);
  }
}

/** What each cell shows, so that what stays the same costs no look at the page. */
const shownIn = new WeakMap();

function put(cell, value, column) {
  const { t, c = "", title = "", key, node } = typeof value === "object" && value ? value : { t: value };
  const old = shownIn.get(cell);
  if (old?.key === key && old?.t === t && old?.c === c && old?.title === title) return;
  shownIn.set(cell, { t, c, title, key });
  if (node) return void (old?.key === key || cell.replaceChildren(node()));
  if (old?.t !== t || old?.key !== key) {
    if (cell.firstChild?.nodeType === Node.TEXT_NODE) cell.firstChild.data = t;
    else cell.textContent = t;
  }
  if ((old?.c ?? "") !== c) cell.className = [column.n && "n", column.c, c].filter(Boolean).join(" ");
  if ((old?.title ?? "") !== title) cell.title = title;
}

const ROUTES = [
  { name: "Route" },
  { name: "Open", n: true },
  { name: "Waiting", n: true },
  { name: "Good", n: true },
  { name: "Bad", n: true },
  { name: "First event p95", n: true },
  { name: "Since start", n: true },
  { name: "Answers" },
];
const BACKENDS = [
  { name: "Backend" },
  { name: "State" },
  { name: "Back in", n: true },
  { name: "Busy", n: true },
  { name: "Passed on", n: true },
  { name: "Failed", n: true },
  { name: "Cut", n: true },
  { name: "Ejected", n: true },
  { name: "Answers" },
  { name: "Last fault", c: "text" },
];
const STREAMS = [
  { name: "Stream", c: "id" },
  { name: "Route" },
  { name: "Backend" },
  { name: "Mode" },
  { name: "Client" },
  { name: "Age", n: true, sort: "age" },
  { name: "Last event", n: true, sort: "silence" },
  { name: "Events", n: true },
  { name: "Bytes", n: true, sort: "bytes" },
  { name: "Unsent", n: true, sort: "queue" },
  { name: "State" },
  { name: "Worker", n: true },
  { name: "Trace", c: "id" },
  { name: "Action" },
];
const ENDED = [
  { name: "At" },
  { name: "Outcome", c: "bad" },
  { name: "Route" },
  { name: "Backend" },
  { name: "Mode" },
  { name: "After", n: true },
  { name: "Events", n: true },
  { name: "Bytes", n: true },
  { name: "Reason", c: "text" },
  { name: "Limit" },
  { name: "Stream", c: "id" },
  { name: "Trace", c: "id" },
];
const RUNS = [
  { name: "Run", c: "id" },
  { name: "Route" },
  { name: "State" },
  { name: "Age", n: true },
  { name: "Events", n: true },
  { name: "Kept", n: true },
  { name: "Readers", n: true },
];
const GUARD = [{ name: "What" }, { name: "Verdict" }, { name: "Found", c: "text" }, { name: "Difference, low to high", n: true }];
head(byId("guard-table"), GUARD);
head(byId("routes-table"), ROUTES);
head(byId("backends-table"), BACKENDS);
head(byId("streams-table"), STREAMS);
head(byId("ended-table"), ENDED);
head(byId("runs-table"), RUNS);

// The four numbers

const TILES = [
  { name: "Open streams", unit: "", place: 1, show: grouped },
  { name: "Waiting for a backend", unit: "", place: 2, show: grouped },
  { name: "First event, p95 of a minute", unit: "", place: 3, show: (ms) => (ms === null ? "\u2013" : span(ms)) },
  { name: "Ended badly, last minute", unit: "", place: 4, show: grouped },
];
const SVG = "http://www.w3.org/2000/svg";
for (const tile of TILES) {
  const box = make("div", undefined, "tile");
  tile.value = make("strong", "\u2013");
  tile.most = make("p", "");
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${HISTORY} 100`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const base = document.createElementNS(SVG, "line");
  for (const [name, value] of Object.entries({ x1: 0, x2: HISTORY, y1: 99, y2: 99 })) base.setAttribute(name, value);
  tile.path = document.createElementNS(SVG, "path");
  svg.append(base, tile.path);
  box.append(make("p", tile.name), tile.value, svg, tile.most);
  byId("tiles").append(box);
}

function draw() {
  const last = history.at(-1);
  if (!last) return;
  for (const tile of TILES) {
    const text = tile.show(last[tile.place]);
    if (tile.value.textContent !== text) tile.value.textContent = text;
    const values = history.map((point) => point[tile.place]);
    const most = Math.max(...values.map((value) => value ?? 0));
    const scale = most || 1;
    let path = "";
    let isOn = false;
    values.forEach((value, index) => {
      if (value === null) return void (isOn = false);
      const x = HISTORY - values.length + index;
      path += `${isOn ? "L" : "M"}${x} ${(97 - (value / scale) * 92).toFixed(1)}`;
      if (!isOn) path += "h0.5";
      isOn = true;
    });
    tile.path.setAttribute("d", path);
    tile.most.textContent = `most ${tile.show(most)}`;
  }
}

// Sections

const share = (good, all) => (all ? `${((100 * good) / all).toFixed(good === all ? 0 : 1)} %` : "\u2013");

/** Statuses and their counts, the most frequent first; all of them in the title. */
function answers(counts) {
  const all = Object.entries(counts).sort((one, other) => other[1] - one[1]);
  const text = all.map(([code, count]) => `${code}: ${grouped(count)}`);
  return { t: text.slice(0, 3).join(", ") || "\u2013", title: text.join(", ") };
}

const SECTIONS = {
  state(state) {
    const parts = [`${state.version}`, `up ${span(new Date(state.now) - new Date(state.startedAt))}`];
    parts.push(
      state.silent.length ? "worker silent" : state.draining ? `draining, ${state.drainLeftSeconds ?? "?"} s left` : "ready",
    );
    parts.push(`${state.workers} worker${state.workers === 1 ? "" : "s"}`, `${grouped(state.clients)} connections`);
    parts.push(`flags ${state.flags}`);
    if (state.killed) parts.push(`killed ${state.killed}`);
    if (state.guard !== "none") parts.push(`guard: ${state.guard}`);
    byId("state").textContent = parts.join(" \u00b7 ");
  },
  wrong(list) {
    const items = list.map(({ text, place }) => {
      const item = make("li", undefined, "bad");
      item.append(make("span", `${text} `));
      if (byId(place)?.tagName === "SECTION") {
        const link = make("a", "Show");
        link.href = `#${place}`;
        link.setAttribute("aria-label", `Show: ${text}`);
        item.append(link);
      }
      return item;
    });
    byId("wrong").replaceChildren(...(items.length ? items : [make("li", "Nothing is wrong.", "good")]));
  },
  routes(list) {
    fill(byId("routes-table"), ROUTES, list, ({ route }) => `r${route}`, (route) => [
      route.route || "(default)",
      grouped(route.open),
      grouped(route.waiting),
      share(route.judged - route.bad, route.judged),
      { t: grouped(route.bad), c: route.bad ? "bad" : "" },
      route.firstEventP95 === null ? "\u2013" : span(route.firstEventP95),
      { t: grouped(route.opened), title: `${route.badTotal} ended badly since the start` },
      answers(route.answers),
    ], "No routes.");
  },
  backends(list) {
    fill(byId("backends-table"), BACKENDS, list, ({ name }) => `b${name}`, (backend) => {
      const isWell = backend.state === "available";
      const fault = backend.lastFault;
      const word = backend.state.replaceAll("_", " ");
      const part = isWell || backend.out === backend.workers ? "" : ` (${backend.out} of ${backend.workers} workers)`;
      return [
        { t: backend.name, title: backend.url },
        {
          t: `${isWell ? "\u25cf" : "\u25b2"} ${word}${part}`,
          c: isWell ? "good" : "bad",
          title: isWell || !backend.since ? "" : `since ${backend.since}`,
        },
        backend.backInSeconds === null ? "\u2013" : `${backend.backInSeconds} s`,
        grouped(backend.busy),
        grouped(backend.successes),
        { t: grouped(backend.failures), c: backend.failures ? "warn" : "" },
        { t: grouped(backend.truncations), c: backend.truncations ? "warn" : "" },
        grouped(backend.ejections),
        answers(backend.answers),
        fault ? { t: `${clock(fault.at)} ${fault.reason.replaceAll("_", " ")} ${fault.detail ?? ""}`, title: fault.at } : "\u2013",
      ];
    }, "No backends.");
  },
  streams({ open, matching, list, sort }) {
    const some = list.length < matching ? `${list.length} of ${grouped(matching)}` : grouped(matching);
    byId("shown").textContent = `${some} shown, ${grouped(open)} open`;
    for (const cell of byId("streams-table").tHead.rows[0].cells) {
      if (cell.dataset.sort === sort) cell.setAttribute("aria-sort", "descending");
      else cell.removeAttribute("aria-sort");
    }
    fill(byId("streams-table"), STREAMS, list, ({ id, worker }) => `${id}/${worker}`, (stream) => [
      { key: stream.id, node: () => openButton(`${stream.id}/${stream.worker}`, stream.id) },
      stream.route,
      stream.upstream || "\u2013",
      stream.mode,
      stream.client || "\u2013",
      span(stream.age),
      { t: span(stream.silence), c: stream.silence > 30000 ? "warn" : "" },
      grouped(stream.events),
      size(stream.bytes),
      { t: size(stream.queued), c: stream.queued > 65536 ? "warn" : "" },
      { t: stream.paused ? "\u25b2 waits for its client" : "open", c: stream.paused ? "warn" : "" },
      stream.worker,
      stream.trace ?? "\u2013",
      known.state?.operate ? { key: stream.id, node: () => stopButton(stream.id) } : "\u2013",
    ], "No open streams.");
  },
  ended(list) {
    fill(byId("ended-table"), ENDED, list, ({ id, at, worker }) => `${id}/${at}/${worker}`, (end) => [
      { t: clock(end.at), title: end.at },
      `\u25b2 ${end.outcome}`,
      end.route,
      end.upstream || "\u2013",
      end.mode,
      span(end.ms),
      grouped(end.events),
      size(end.bytes),
      end.reason,
      end.limit ?? "\u2013",
      { t: end.id, title: `request ${end.request}` },
      end.trace ?? "\u2013",
    ], "None since the start.");
  },
  runs({ count, isCut, runs }) {
    byId("runs-caption").textContent = isCut ? `${count} listed; there are more` : `${count} known`;
    fill(byId("runs-table"), RUNS, runs, ({ streamId }) => `u${streamId}`, (run) => [
      run.streamId,
      run.route,
      run.outcome ?? run.state,
      span(run.ageMilliseconds),
      grouped(run.sequence),
      size(run.bytesKept),
      grouped(run.readers),
    ], "No runs.");
  },
  rollout({ version, loadedAt, fault, kill, guard, shadow }) {
    const facts = {
      "Flag file": version,
      "Loaded": `${clock(loadedAt)} (${loadedAt})`,
      "Fault": fault ?? "none",
      "Kill": kill.operator ? "by an operator" : kill.file === "none" ? "none" : `by the file (${kill.file})`,
      "Guard": guard.effect ?? "none",
      "Verdict": guard.verdict ?? "\u2013",
      "This phase": `${guard.phase.verdict.replaceAll("_", " ")}, ${grouped(guard.phase.streams)} streams of ${grouped(guard.phase.identities)} clients`,
      "Legacy streams since the start":
        `${grouped(shadow.streams)}; the new closing would have saved ${grouped(shadow.trailingEvents)} events in ` +
        `${grouped(shadow.streamsWithTrailingEvents)}, and shown ${grouped(shadow.truncationsToldAsCut)} cuts`,
    };
    list(byId("rollout-list"), facts);
    fill(byId("guard-table"), GUARD, guard.phase.metrics, ({ metric }) => `g${metric}`, (one) => [
      one.metric.replaceAll("_", " "),
      { t: one.verdict.replaceAll("_", " "), c: one.verdict === "worse" ? "bad" : "" },
      one.summary,
      one.noticeable === null ? "\u2013" : `${one.differenceLow} to ${one.differenceHigh}`,
    ], "Nothing is compared.");
    byId("guard").textContent = JSON.stringify(guard, null, 2);
  },
  config({ restartNeeded, ...rest }) {
    byId("restart").textContent = restartNeeded.length
      ? `Wait for a restart: ${restartNeeded.map(({ path }) => path).join(", ")}`
      : "Nothing waits for a restart.";
    byId("configuration").textContent = JSON.stringify(rest, null, 2);
  },
};

function take({ points, ...sections }) {
  heardAt = performance.now();
  history = history.concat(points).slice(-HISTORY);
  Object.assign(known, sections);
  byId("main").hidden = false;
  draw();
  for (const [name, value] of Object.entries(sections)) SECTIONS[name]?.(value);
}

// One stream

function openButton(name, id) {
  const button = make("button", id, "plain");
  button.type = "button";
  button.addEventListener("click", () => {
    const stream = known.streams.list.find((other) => `${other.id}/${other.worker}` === name);
    if (!stream) return void (byId("told").textContent = `${id} is over, or not in the list any more.`);
    const since = (time) => (time === null ? "not yet" : `after ${span(time)}`);
    const facts = {
      "Id": id,
      "Request": stream.request,
      "Path": stream.path,
      "Head of the answer": since(stream.head),
      "First event": since(stream.first),
      "Age": span(stream.age),
    };
    stream.attempts.forEach((attempt, index) => {
      facts[`Attempt ${index + 1}`] = `${attempt.upstream}: ${attempt.reason.replaceAll("_", " ")} after ${span(attempt.milliseconds)}`;
    });
    facts[`Attempt ${stream.attempts.length + 1}`] = `${stream.upstream || "\u2013"}: answered`;
    list(byId("one-list"), facts);
    byId("one").showModal();
  });
  return button;
}

const list = (place, facts) =>
  place.replaceChildren(...Object.entries(facts).flatMap(([name, value]) => [make("dt", name), make("dd", `${value}`)]));

// Stop

function stopButton(id) {
  const button = make("button", "Stop", "danger");
  button.type = "button";
  button.setAttribute("aria-label", `Stop ${id}`);
  button.addEventListener("click", () => {
    byId("stop-id").textContent = id;
    byId("stop").returnValue = "no";
    byId("stop").showModal();
  });
  return button;
}

byId("stop").addEventListener("close", async () => {
  if (byId("stop").returnValue !== "stop") return;
  const id = byId("stop-id").textContent;
  const headers = authorized();
  // A field's value is ASCII.
  const name = byId("operator").value.replace(/[^ -~]/g, "?");
  if (name) headers["X-Operator"] = name;
  const answer = await fetch(`/streams/${encodeURIComponent(id)}/stop`, { method: "POST", headers }).catch(() => null);
  const text = answer ? (await answer.json().catch(() => ({}))).error : "the gateway does not answer";
  byId("told").textContent = answer?.ok ? `Stopped ${id}.` : `Not stopped: ${text}.`;
});

// Live

const authorized = () => (token ? { Authorization: `Bearer ${token}` } : {});
const sleep = (time) => new Promise((resolve) => setTimeout(resolve, time));
const shown = () =>
  new Promise((resolve) => {
    const look = () => {
      if (document.hidden) return;
      document.removeEventListener("visibilitychange", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    look();
  });

function showLink() {
  const age = performance.now() - heardAt;
  const link = byId("link");
  const state = heardAt === 0 ? "wait" : !isLive ? "lost" : age > LOST_AFTER ? "stale" : "live";
  const since = `${Math.round(age / 1000)} s`;
  const text = { wait: "connecting", lost: `lost, last heard ${since} ago`, stale: `stale for ${since}`, live: "live" }[state];
  if (link.textContent !== text) link.textContent = text;
  link.dataset.link = state;
}
setInterval(showLink, 500);

function choose(change) {
  choice = { ...choice, ...change };
  current?.close();
}

let findTimer;
byId("find").addEventListener("input", (event) => {
  clearTimeout(findTimer);
  findTimer = setTimeout(() => choose({ find: event.target.value.trim() }), 300);
});
document.addEventListener("visibilitychange", () => document.hidden && current?.close());

function askForToken(why) {
  byId("ask").hidden = false;
  byId("main").hidden = true;
  byId("refused").textContent = why;
  byId("token").focus();
  return new Promise((resolve) => {
    byId("ask").addEventListener(
      "submit",
      (event) => {
        event.preventDefault();
        token = byId("token").value;
        byId("token").value = "";
        byId("ask").hidden = true;
        resolve();
      },
      { once: true },
    );
  });
}

for (;;) {
  await shown();
  const asked = choice;
  // The gateway that answers may be another one: its first event brings its whole history.
  const query = new URLSearchParams({ sort: asked.sort, find: asked.find });
  const stream = openStream(`/dashboard/events?${query}`, { headers: authorized(), resume: "off", retry: { attempts: 1 } });
  current = stream;
  let status;
  try {
    for await (const event of stream.events()) {
      isLive = true;
      if (event.type === "snapshot") history = [];
      take(event.json());
      showLink();
    }
  } catch (error) {
    status = error.status;
  }
  current = undefined;
  if (asked !== choice || document.hidden) continue;
  isLive = false;
  showLink();
  if (status === 401 || status === 403) await askForToken(token ? "This token does not let you in." : "");
  else await sleep(1000);
}
