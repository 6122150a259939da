// @ts-self-types="./react.d.ts"
import { useEffect, useMemo, useState, useSyncExternalStore } from "react";
import { AgentStreamStore, identityOf, IDLE, isSame } from "./store.js";

export { AgentStreamStore };

/** A stream that is not shown yet, while the one before it still is. */
const CONNECTING = Object.freeze({ ...IDLE, status: /** @type {const} */ ("connecting") });
const serverSnapshot = () => IDLE;

/**
 * Follows an event stream.
 * @param {string | null} url
 * @param {import("./react.js").UseAgentStreamOptions<any>} [options]
 * @returns {import("./react.js").AgentStream<any>}
 */
export function useAgentStream(url, options = {}) {
  const [store] = useState(() => new AgentStreamStore());
  const snapshot = useSyncExternalStore(store.subscribe, store.getSnapshot, serverSnapshot);
  const identity = identityOf(url, options);
  useEffect(() => {
    // Handlers may differ with each render: the latest are called.
    store.options = options;
  });
  // The identity has always the same length.
  useEffect(() => {
    store.show(url, options);
    return () => store.leave();
  }, [store, ...(identity || [null, null, null, null])]);
  const isShown = snapshot === IDLE || isSame(identity, store.identity);
  const shown = isShown ? snapshot : identity ? CONNECTING : IDLE;
  return useMemo(
    () => ({ ...shown, cancel: store.cancel, restart: store.restart, close: store.close }),
    [shown, store],
  );
}
