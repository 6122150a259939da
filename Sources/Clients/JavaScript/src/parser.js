// @ts-self-types="./parser.d.ts"
/**
 * Reads the event stream format (WHATWG HTML, section 9.2.5 and 9.2.6) piece by piece. Every byte is looked at once,
 * however the pieces are cut.
 *
 * @typedef {import("./parser.js").Parser} Parser
 * @typedef {import("./parser.js").ParserOptions} ParserOptions
 */

/**
 * How many bytes the text has in UTF-8.
 * @param {string} text
 */
function byteLength(text) {
  let bytes = text.length;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    // A surrogate pair is two units and four bytes.
    if (code > 0x7ff) bytes += code >= 0xd800 && code < 0xe000 ? 1 : 2;
    else if (code > 0x7f) bytes++;
  }
  return bytes;
}

/** @implements {Parser} */
class EventParser {
  /** @param {ParserOptions} options */
  constructor(options) {
    this.lastEventId = options.lastEventId || "";
    this._options = options;
    this._limit = options.maxEventBytes || 16 * 1024 * 1024;
    // The mark at the beginning is taken off here: a decoder forgets that it saw nothing yet when a piece is empty.
    this._decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    this._atStart = true;
    this._skipsLineFeed = false;
    /** The beginning of a line whose end has not come. It is never searched again. */
    this._pending = "";
    this._pendingBytes = 0;
    this._tooLarge = false;
    this._isWide = false;
    // The block that is being read.
    this._type = "";
    /** @type {string | null} */
    this._data = null;
    /** @type {string | null} */
    this._id = null;
    this._blockBytes = 0;
  }

  _clear() {
    this._type = "";
    this._data = this._id = null;
    this._blockBytes = 0;
  }

  /** @param {Uint8Array | string} piece */
  feed(piece) {
    if (this._tooLarge) return false;
    const isText = typeof piece === "string";
    const text = this._withoutMark(isText ? piece : this._decoder.decode(piece, { stream: true }));
    // As many characters as bytes: ASCII, nothing to be counted.
    this._isWide = isText || text.length !== piece.length;
    let at = 0;
    if (this._skipsLineFeed && text) {
      if (text[0] === "\n") at = 1;
      this._skipsLineFeed = false;
    }
    at = this._lines(text, at);
    if (at < text.length && !this._tooLarge) this._keep(text.slice(at));
    return !this._tooLarge;
  }

  /** @param {boolean} [whole] */
  end(whole) {
    this._keep(this._decoder.decode());
    if (whole && !this._tooLarge) {
      if (this._pending) this._line("");
      this._endBlock();
    }
    this._pending = "";
    this._clear();
  }

  /** @param {string} text */
  _withoutMark(text) {
    if (!this._atStart || !text) return text;
    this._atStart = false;
    return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
  }

  /**
   * Takes all whole lines from `at` on and says where the rest begins.
   * @param {string} text
   * @param {number} at
   */
  _lines(text, at) {
    let feed = text.indexOf("\n", at);
    let carriage = text.indexOf("\r", at);
    while ((feed >= 0 || carriage >= 0) && !this._tooLarge) {
      const end = carriage < 0 || (feed >= 0 && feed < carriage) ? feed : carriage;
      this._line(text.slice(at, end));
      at = end + 1;
      if (end === carriage) {
        if (at === text.length) this._skipsLineFeed = true;
        else if (text[at] === "\n") at++;
      }
      if (feed >= 0 && feed < at) feed = text.indexOf("\n", at);
      if (carriage >= 0 && carriage < at) carriage = text.indexOf("\r", at);
    }
    return at;
  }

  /** @param {string} text */
  _keep(text) {
    this._pending += text;
    this._pendingBytes += this._isWide ? byteLength(text) : text.length;
    if (this._blockBytes + this._pendingBytes > this._limit) this._tooLarge = true;
  }

  /** @param {string} rest what stands before the line's end in this piece */
  _line(rest) {
    this._keep(rest);
    const line = this._pending;
    const bytes = this._pendingBytes;
    this._pending = "";
    this._pendingBytes = 0;
    if (this._tooLarge) return;
    if (!line) return this._endBlock();
    const colon = line.indexOf(":");
    if (colon === 0) return this._options.onComment && this._options.onComment(line.slice(1));
    this._blockBytes += bytes;
    if (colon < 0) return this._field(line, "");
    this._field(line.slice(0, colon), line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1));
  }

  /**
   * @param {string} name
   * @param {string} value
   */
  _field(name, value) {
    if (name === "data") this._data = this._data === null ? value : this._data + "\n" + value;
    else if (name === "event") this._type = value;
    else if (name === "id") this._id = value.includes("\0") ? this._id : value;
    else if (name === "retry" && /^\d+$/.test(value) && this._options.onRetry) this._options.onRetry(Number(value));
  }

  _endBlock() {
    const id = this._id;
    const type = this._type;
    const data = this._data;
    this._clear();
    if (id !== null) this.lastEventId = id;
    if (data !== null) {
      this._options.onEvent({ type: type || "message", data, id: this.lastEventId }, !!type, id !== null);
    } else if (id !== null && this._options.onId) this._options.onId(id);
  }
}

/**
 * A parser that hands out events as soon as their blank line has come.
 * @param {ParserOptions} options
 * @returns {Parser}
 */
export function createParser(options) {
  return new EventParser(options);
}
