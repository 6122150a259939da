/**
 * Several deadlines on one timer. Moving a deadline further away costs no timer: the timer looks when it fires.
 */

/** A timer that is later than this was asleep, or in a tab that was frozen. */
const LATE = 2000;
/** How long a peer may take to show itself after that. */
export const GRACE = 5000;

/** @typedef {{ at: number, delay: number, act: () => void, hadGrace: boolean }} Deadline */

export class Clock {
  constructor() {
    /** @type {Map<string, Deadline>} */
    this._deadlines = new Map();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._timer = undefined;
    this._firesAt = Infinity;
    this._pausedAt = 0;
  }

  /**
   * @param {string} name a deadline of this name is replaced
   * @param {number} delay milliseconds; with infinity there is none
   * @param {() => void} act
   */
  set(name, delay, act) {
    if (!(delay < Infinity)) return this.clear(name);
    const at = Date.now() + delay;
    this._deadlines.set(name, { at, delay, act, hadGrace: false });
    this._arm(at);
  }

  /** @param {string[]} names */
  clear(...names) {
    for (const name of names) this._deadlines.delete(name);
    if (!this._deadlines.size) this._disarm();
  }

  /**
   * The deadline begins anew.
   * @param {string} name
   */
  touch(name) {
    const deadline = this._deadlines.get(name);
    if (!deadline) return;
    deadline.at = Date.now() + deadline.delay;
    deadline.hadGrace = false;
  }

  /**
   * The wait was somebody else's: nobody listened meanwhile.
   * @param {boolean} isPaused
   */
  pause(isPaused) {
    if (isPaused) {
      this._pausedAt = Date.now();
      return this._disarm();
    }
    const time = Date.now() - this._pausedAt;
    this._pausedAt = 0;
    for (const deadline of this._deadlines.values()) deadline.at += time;
    this._arm(Date.now());
  }

  /**
   * The machine may have slept: what is overdue, or nearly, has a last chance.
   * @param {string} name
   */
  wake(name) {
    const deadline = this._deadlines.get(name);
    if (!deadline || deadline.at > Date.now() + GRACE) return;
    deadline.at = Date.now() + Math.min(GRACE, deadline.delay);
    deadline.hadGrace = true;
    this._arm(deadline.at);
  }

  _disarm() {
    clearTimeout(this._timer);
    this._firesAt = Infinity;
  }

  /** @param {number} at */
  _arm(at) {
    if (this._pausedAt || at >= this._firesAt) return;
    clearTimeout(this._timer);
    this._firesAt = at;
    // Browsers take a delay beyond 2^31 for none.
    this._timer = setTimeout(() => this._fire(), Math.min(Math.max(at - Date.now(), 0), 0x7fffffff));
  }

  _fire() {
    const now = Date.now();
    const isLate = now > this._firesAt + LATE;
    this._firesAt = Infinity;
    for (const [name, deadline] of [...this._deadlines]) {
      if (deadline.at > now || this._deadlines.get(name) !== deadline) continue;
      if (isLate && !deadline.hadGrace) {
        deadline.at = now + GRACE;
        deadline.hadGrace = true;
      } else {
        this._deadlines.delete(name);
        deadline.act();
      }
    }
    for (const deadline of this._deadlines.values()) this._arm(deadline.at);
  }
}
