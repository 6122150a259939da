/** How long a stream may be silent before it counts as dead. */

const ASSUMED = 45000;
const SHORTEST = 30000;
const LONGEST = 120000;

export class Keepalive {
  /**
   * @param {import("./clock.js").Clock} clock
   * @param {number | "auto" | "off"} limit
   * @param {boolean} isGraceful the gateway sends comments; others may, and are believed once they do
   * @param {() => void} dead
   */
  constructor(clock, limit, isGraceful, dead) {
    this._clock = clock;
    this._dead = dead;
    this._isAuto = limit === "auto";
    this._lastComment = 0;
    this._longestGap = 0;
    const first = limit === "auto" ? (isGraceful ? ASSUMED : Infinity) : limit === "off" ? Infinity : limit;
    clock.set("dead", first, dead);
  }

  /** A comment came. One alone says nothing of how often they come. */
  comment() {
    if (!this._isAuto) return;
    const now = Date.now();
    if (this._lastComment) {
      this._longestGap = Math.max(this._longestGap, now - this._lastComment);
      const limit = Math.min(Math.max(SHORTEST, 2.5 * this._longestGap), LONGEST);
      this._clock.set("dead", limit, this._dead);
    }
    this._lastComment = now;
  }
}
