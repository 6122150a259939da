// What is shown of a stream. `h` makes an element: React's createElement, or `element` below.

const facts = (h, rows) =>
  h("dl", {}, ...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, `${value}`)]));

/** A stream of fermata-client, by its snapshot. */
export function answer(h, number, { status, partials, isComplete, lastEventId, bytesReceived, result, error }) {
  const text = partials.filter(({ type }) => type === "token").map(({ data }) => data).join(" ");
  const others = partials.filter(({ type }) => type !== "token").map(({ type, data }) => `${type}: ${data}`);
  const end = result && `${result.outcome}${result.verified ? ", and the gateway's counts agree" : ""}`;
  return h(
    "article",
    { "data-status": status, "data-complete": String(isComplete), "data-outcome": result ? result.outcome : "" },
    h("h3", {}, `View ${number}: ${status}`),
    h("p", { className: "text" }, text),
    facts(h, [
      ["events", partials.length],
      ["behind the text", others.join("; ") || "-"],
      ["how it ended", end || "-"],
      ["error", error ? error.message : "-"],
      ["requests", result ? result.attempts : "-"],
      ["last event id", lastEventId || "-"],
      ["bytes", bytesReceived],
    ]),
  );
}

const OLD = {
  streaming: "reads",
  "hung up": "hung up at the completion event; what came behind it is lost",
  lost: "the connection was lost; it can't tell what is missing, nor go on",
};

/** An old client's stream. */
export function oldAnswer(h, { status, text, events }) {
  return h(
    "article",
    { "data-status": status },
    h("h3", {}, `${status}`),
    h("p", { className: "text" }, text),
    facts(h, [["events", events], ["how it ended", OLD[status] || "-"]]),
  );
}

/** An element of the page, without React. */
export function element(name, { className, ...attributes }, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...children);
  return made;
}
