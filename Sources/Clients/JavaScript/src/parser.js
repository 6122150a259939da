// @ts-self-types="./parser.d.ts"
/**
 * Reads the event stream format (WHATWG HTML, section 9.2.5 and 9.2.6) piece by piece. Every byte is looked at once,
 * however the pieces are cut.
 */

/** Of a comment that is longer than this only the beginning is told: it may be as long as it likes. */
const LONGEST_COMMENT = 1024;

/**
 * How many bytes the text has in UTF-8.
 * @param {string} text
 */
const byteLength = (text) => new TextEncoder().encode(text).length;

/**
 * A parser that hands out events as soon as their blank line has come.
 * @param {import("./parser.js").ParserOptions} options
 * @returns {import("./parser.js").Parser}
 */
export function createParser({ onEvent, onComment, onRetry, onId, lastEventId = "", maxEventBytes = 1 << 24 }) {
  // The mark at the beginning is taken off here: a decoder forgets that it saw nothing yet when a piece is empty.
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  // What is left out if the next text begins with it: this mark, then the second half of a line end.
  let first = "\ufeff";
  let isTooLarge = false;
  let isWide = false;
  // The beginning of a line whose end has not come. It is never searched again.
  let pending = "";
  let pendingBytes = 0;
  let isComment = false;
  // The block that is being read.
  let blockBytes = 0;
  let type = "";
  /** @type {string | undefined} */
  let data;
  /** @type {string | undefined} */
  let id;

  /** @param {string} text */
  function keep(text) {
    // Not by what is pending: looking into a text that is being put together would copy it.
    if (!pending) isComment = text[0] === ":";
    pending += text;
    if (isComment) {
      pending = pending.slice(0, LONGEST_COMMENT + 1);
      return;
    }
    pendingBytes += isWide ? byteLength(text) : text.length;
    isTooLarge ||= blockBytes + pendingBytes > maxEventBytes;
  }

  function clear() {
    pending = type = "";
    pendingBytes = blockBytes = 0;
    data = id = undefined;
  }

  function endBlock() {
    const [name, text, own] = [type, data, id];
    clear();
    if (own !== undefined) parser.lastEventId = own;
    if (text !== undefined) {
      onEvent({ type: name || "message", data: text, id: parser.lastEventId }, !!name, own !== undefined);
    } else if (own !== undefined) onId?.(own);
  }

  /** @param {string} rest what stands before the line's end in this piece */
  function endLine(rest) {
    keep(rest);
    if (isTooLarge) return;
    const line = pending;
    const bytes = pendingBytes;
    pending = "";
    pendingBytes = 0;
    if (!line) return endBlock();
    const colon = line.includes(":") ? line.indexOf(":") : line.length;
    if (!colon) return onComment?.(line.slice(1));
    blockBytes += bytes;
    const name = line.slice(0, colon);
    const value = line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (name === "data") data = data === undefined ? value : data + "\n" + value;
    if (name === "event") type = value;
    if (name === "id" && !value.includes("\0")) id = value;
    if (name === "retry" && /^\d+$/.test(value)) onRetry?.(+value);
  }

  /** @type {import("./parser.js").Parser} */
  const parser = {
    lastEventId,
    feed(piece) {
      let text = typeof piece === "string" ? piece : decoder.decode(piece, { stream: true });
      if (text && !isTooLarge) {
        // As many characters as bytes: ASCII, nothing to be counted.
        isWide = text === piece || text.length !== piece.length;
        if (text[0] === first) text = text.slice(1);
        first = text.endsWith("\r") ? "\n" : "";
        const lines = text.split(/\r\n?|\n/);
        const rest = lines.pop();
        lines.forEach(endLine);
        keep(/** @type {string} */ (rest));
      }
      return !isTooLarge;
    },
    end(isWhole) {
      keep(decoder.decode());
      if (isWhole && pending) endLine("");
      if (isWhole && !isTooLarge) endBlock();
      clear();
    },
  };
  return parser;
}
