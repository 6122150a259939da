/**
 * The life of a page: hidden, left, brought back, offline. One set of listeners for all streams, there only while there
 * are streams.
 */

/** @typedef {{ wake(): void, suspend(): void }} Guest */

/** @type {Set<Guest>} */
const guests = new Set();

const wakeAll = () => guests.forEach((guest) => guest.wake());
const suspendAll = () => guests.forEach((guest) => guest.suspend());
const looked = () => {
  if (document.visibilityState === "visible") wakeAll();
};

/** @param {"addEventListener" | "removeEventListener"} change */
function listen(change) {
  if (typeof document === "undefined" || typeof window === "undefined") return;
  // An open connection keeps a page out of the back/forward cache, or dies in it unseen.
  window[change]("pagehide", suspendAll);
  window[change]("pageshow", wakeAll);
  window[change]("online", wakeAll);
  document[change]("resume", wakeAll);
  document[change]("visibilitychange", looked);
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
