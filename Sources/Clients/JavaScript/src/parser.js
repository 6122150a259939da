// @ts-self-types="./parser.d.ts"
import { createReader } from "./format.js";

const noop = () => {};

/**
 * A parser that hands out events as soon as their blank line has come.
 * @param {import("./parser.js").ParserOptions} options
 * @returns {import("./parser.js").Parser}
 */
export function createParser({ onEvent, onComment = noop, onRetry = noop, onId, lastEventId = "", maxEventBytes }) {
  const encoder = new TextEncoder();
  const reader = createReader(
    maxEventBytes ?? 1 << 24,
    (type, data, id) => {
      const isIdentified = id !== undefined;
      if (isIdentified) parser.lastEventId = id;
      if (data !== undefined) {
        onEvent({ type: type || "message", data, id: parser.lastEventId }, !!type, isIdentified);
      } else if (isIdentified) onId?.(id);
    },
    onComment,
    onRetry,
  );
  /** @type {import("./parser.js").Parser} */
  const parser = {
    lastEventId,
    feed: (piece) => reader._feed(typeof piece === "string" ? encoder.encode(piece) : piece),
    end: (isWhole) => reader._end(isWhole),
  };
  return parser;
}
