// The page of `fermata demo --keep`. With React where the machine has it, else with the store that the hook is made of.
import { Network, readAsBefore } from "./readers.js";
import { answer, element, oldAnswer } from "./view.js";

const find = (id) => document.getElementById(id);
const network = new Network();
/** `?pace=50` makes it faster, `?plain` leaves React out. */
const wanted = new URLSearchParams(location.search);
const ADDRESS = `/live?pace=${wanted.get("pace") || 300}`;

/** The views that are open, the oldest first. */
let views = [];
/** The stream's name. Views that read under one name replace each other. */
let name = "";
let count = 0;
let old = new AbortController();

const optionsOf = ({ name }) => ({
  fetch: network.fetch,
  // A stream has a name only for clients that the gateway can tell from each other.
  headers: { Authorization: "Bearer demo", "X-Client-Stream-Id": name },
  key: name,
  retry: { base: 500, max: 2000, attempts: 1000 },
});

/** Gives what shows all views: with React. */
async function makeReact() {
  const load = (source) =>
    new Promise((resolve, reject) => {
      const script = element("script", { src: source });
      script.onload = resolve;
      script.onerror = reject;
      document.head.append(script);
    });
  await load("/demo/react.production.min.js");
  await load("/demo/react-dom.production.min.js");
  const { createElement: h, StrictMode } = window.React;
  const { useAgentStream } = await import("fermata-client/react");
  function Answer({ view }) {
    const stream = useAgentStream(ADDRESS, optionsOf(view));
    view.cancel = stream.cancel;
    return answer(h, view.number, stream);
  }
  const root = window.ReactDOM.createRoot(find("ours"));
  return (all) => root.render(h(StrictMode, null, ...all.map((view) => h(Answer, { key: view.number, view }))));
}

/** The same without. */
async function makePlain() {
  const { AgentStreamStore } = await import("fermata-client/store");
  const open = new Map();
  const show = (view) => {
    const store = new AgentStreamStore();
    const place = element("div", {});
    store.subscribe(() => place.replaceChildren(answer(element, view.number, store.getSnapshot())));
    store.show(ADDRESS, optionsOf(view));
    view.cancel = store.cancel;
    open.set(view, { store, place });
  };
  return (all) => {
    for (const [view, { store, place }] of open) {
      if (all.includes(view)) continue;
      store.leave();
      place.remove();
      open.delete(view);
    }
    for (const view of all) {
      if (!open.has(view)) show(view);
      find("ours").append(open.get(view).place);
    }
  };
}

let show;
try {
  if (wanted.has("plain")) throw new Error("not wanted");
  show = await makeReact();
  find("with").textContent = "Rendered by React and useAgentStream.";
} catch {
  show = await makePlain();
  find("with").textContent = "Rendered without React: it is not installed here (Debian: node-react, node-react-dom).";
}

function restore() {
  network.restore();
  find("network").textContent = "up";
  // What a page is told by the browser when the network is back: streams that wait go on at once.
  dispatchEvent(new Event("online"));
}

function openView() {
  views = [...views, { number: ++count, name, cancel() {} }].slice(-2);
  show(views);
}

find("start").onclick = () => {
  restore();
  name = `view-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
  views = [];
  openView();
  old.abort();
  old = new AbortController();
  const tell = (shown) => find("old").replaceChildren(oldAnswer(element, shown));
  readAsBefore(ADDRESS, network.fetch, old.signal, tell);
};
find("cut").onclick = () => {
  network.cut();
  find("network").textContent = "cut";
};
find("resume").onclick = restore;
find("cancel").onclick = () => views.forEach((view) => view.cancel());
find("replace").onclick = openView;
document.documentElement.dataset.ready = "true";
