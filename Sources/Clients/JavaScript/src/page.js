/** The life of a page: hidden, left, brought back, offline. */

const EVENTS = ["pagehide", "pageshow", "online", "resume", "visibilitychange"];

/**
 * A page that goes gives up the connections that can be made again: open ones keep it out of the back/forward cache, or
 * die in it unseen.
 * @param {any} stream
 */
export function watchPage({ done, wake, _suspend }) {
  if (typeof document !== "object") return;
  const life = new AbortController();
  done.then(() => life.abort());
  for (const type of EVENTS) {
    const look = () => {
      if (type === "pagehide") _suspend();
      else if (type !== "visibilitychange" || !document.hidden) wake();
    };
    // The window sees the document's events on their way down.
    globalThis.addEventListener?.(type, look, { capture: true, signal: life.signal });
  }
}
