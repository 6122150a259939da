/**
 * The life of a page: hidden, left, brought back, offline. One set of listeners for all streams, there only while there
 * are streams.
 */

/** @typedef {{ wake(): void, suspend(): void }} Guest */

/** @type {Set<Guest>} */
const guests = new Set();
const EVENTS = ["pagehide", "pageshow", "online", "resume", "visibilitychange"];

/** @param {Event} event */
function look({ type }) {
  if (type === "visibilitychange" && document.hidden) return;
  // An open connection keeps a page out of the back/forward cache, or dies in it unseen.
  guests.forEach((guest) => (type === "pagehide" ? guest.suspend() : guest.wake()));
}

/** @param {"addEventListener" | "removeEventListener"} change */
function listen(change) {
  // The window sees the document's events on their way down.
  if (typeof document === "object") EVENTS.forEach((type) => globalThis[change]?.(type, look, true));
}

/** @param {Guest} guest */
export function enter(guest) {
  if (!guests.size) listen("addEventListener");
  guests.add(guest);
}

/** @param {Guest} guest */
export function leave(guest) {
  if (guests.delete(guest) && !guests.size) listen("removeEventListener");
}
