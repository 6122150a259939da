// What the two sides read with: a network that can be cut, and an old client.

/** A `fetch` whose connections break when the network is cut, and fail until it is back. */
export class Network {
  isUp = true;
  #connections = new Set();

  fetch = async (url, init = {}) => {
    if (!this.isUp) throw new TypeError("the network is down");
    const connection = new AbortController();
    const { signal } = init;
    if (signal?.aborted) connection.abort();
    signal?.addEventListener("abort", () => connection.abort());
    this.#connections.add(connection);
    return fetch(url, { ...init, signal: connection.signal });
  };

  cut() {
    this.isUp = false;
    for (const connection of this.#connections) connection.abort();
    this.#connections.clear();
  }

  restore() {
    this.isUp = true;
  }
}

/**
 * Reads as many clients do: hangs up at the completion event, and takes any other end for an error.
 * @param tell called with `{ status, text, events }` when something has changed
 */
export async function readAsBefore(url, fetch, signal, tell) {
  const shown = { status: "streaming", text: "", events: 0 };
  const become = (changes) => tell(Object.assign(shown, changes));
  try {
    const response = await fetch(url, { signal });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return become({ status: "lost" });
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const [, type] = /^event: (.*)$/m.exec(block) || [];
        const [, data] = /^data: (.*)$/m.exec(block) || [];
        become({ events: shown.events + 1, text: type === "token" ? `${shown.text} ${data}` : shown.text });
        if (type !== "complete") continue;
        reader.cancel();
        return become({ status: "hung up" });
      }
    }
  } catch {
    if (!signal.aborted) become({ status: "lost" });
  }
}
