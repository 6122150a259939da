/**
 * Reads the event stream format (WHATWG HTML, section 9.2.5 and 9.2.6) piece by piece. Every byte is looked at once,
 * however the pieces are cut.
 */

/** Of a comment that is longer than this only the beginning is told: it may be as long as it likes. */
const LONGEST_COMMENT = 1024;

/** A line's name and, behind a colon and perhaps a space, its value. */
const FIELD = /([^:]*):? ?([^]*)/;

/**
 * How many bytes the text has in UTF-8.
 * @param {string} text
 */
const byteLength = (text) => new TextEncoder().encode(text).length;

/**
 * Reads one body, block by block: an empty type, no data, no id if a block has none.
 * @param {number} maxEventBytes
 * @param {(type: string, data: string | undefined, id: string | undefined) => void} onBlock
 * @param {(text: string) => void} onComment
 * @param {(milliseconds: number) => void} onRetry
 */
export function createReader(maxEventBytes, onBlock, onComment, onRetry) {
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
    const give = onBlock.bind(undefined, type, data, id);
    clear();
    give();
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
    const [, name, value] = /** @type {RegExpExecArray} */ (FIELD.exec(line));
    if (!name) return onComment(line.slice(1));
    blockBytes += bytes;
    if (name === "data") data = data === undefined ? value : data + "\n" + value;
    if (name === "event") type = value;
    if (name === "id" && !value.includes("\0")) id = value;
    if (name === "retry" && /^\d+$/.test(value)) onRetry(+value);
  }

  return {
    /**
     * @param {Uint8Array} piece
     * @returns {boolean} false: an event is too large
     */
    _feed(piece) {
      let text = decoder.decode(piece, { stream: true });
      if (text && !isTooLarge) {
        // As many characters as bytes: ASCII, nothing to be counted.
        isWide = text.length !== piece.length;
        if (text[0] === first) text = text.slice(1);
        first = text.endsWith("\r") ? "\n" : "";
        const lines = text.split(/\r\n?|\n/);
        const rest = lines.pop();
        lines.forEach(endLine);
        keep(/** @type {string} */ (rest));
      }
      return !isTooLarge;
    },

    /** @param {boolean | undefined} isWhole whether an event without its blank line is one */
    _end(isWhole) {
      keep(decoder.decode());
      if (isWhole && pending) endLine("");
      if (isWhole && !isTooLarge) endBlock();
      clear();
    },
  };
}
