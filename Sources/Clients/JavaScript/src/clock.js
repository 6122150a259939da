/**
 * Several deadlines on one timer. Moving a deadline further away costs no timer: the timer looks when it fires.
 */

/** A timer that is later than this was asleep, or in a tab that was frozen. */
const LATE = 2000;
/** How long a peer may take to show itself after that. */
const GRACE = 5000;

/** @typedef {{ _at: number, _delay: number, _act: () => void, _hadGrace?: boolean }} Deadline */

/**
 * A timer. Browsers take a delay beyond 2^31 for none.
 * @param {() => void} act
 * @param {number} delay
 */
export const later = (act, delay) => setTimeout(act, Math.min(delay, 0x7fffffff));

export function createClock() {
  /** @type {Map<string, Deadline>} */
  const deadlines = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let firesAt = 0;
  let pausedAt = 0;

  function arm() {
    clearTimeout(timer);
    if (!deadlines.size || pausedAt) return;
    firesAt = Math.min(...[...deadlines.values()].map(({ _at }) => _at));
    timer = later(fire, firesAt - Date.now());
  }

  function fire() {
    const now = Date.now();
    const isLate = now > firesAt + LATE;
    deadlines.forEach((deadline, name) => {
      // A clock that was set back puts nothing off by more than its own time.
      deadline._at = Math.min(deadline._at, now + deadline._delay);
      if (deadline._at > now) return;
      if (isLate && !deadline._hadGrace) {
        deadline._at = now + GRACE;
        deadline._hadGrace = true;
      } else {
        deadlines.delete(name);
        deadline._act();
      }
    });
    arm();
  }

  return {
    /**
     * @param {string} name a deadline of this name is replaced
     * @param {number} delay milliseconds; with infinity there is none
     * @param {() => void} act
     */
    _set(name, delay, act) {
      deadlines.delete(name);
      if (delay < Infinity) deadlines.set(name, { _at: Date.now() + delay, _delay: delay, _act: act });
      arm();
    },

    /** @param {string} name */
    _clear(name) {
      if (deadlines.delete(name)) arm();
    },

    _clearAll() {
      deadlines.clear();
      arm();
    },

    /**
     * Waits for somebody else. Nobody listens meanwhile, so that time does not count.
     * @param {Promise<void>} others
     */
    async _pause(others) {
      pausedAt = Date.now();
      arm();
      await others;
      deadlines.forEach((deadline) => (deadline._at += Date.now() - pausedAt));
      pausedAt = 0;
      arm();
    },

    /**
     * The deadline begins anew. If the machine may have slept, what is overdue, or nearly, has a last chance.
     * @param {string} name
     * @param {boolean} [mayHaveSlept]
     */
    _renew(name, mayHaveSlept) {
      const deadline = deadlines.get(name);
      const now = Date.now();
      if (!deadline || (mayHaveSlept && deadline._at > now + GRACE)) return;
      deadline._at = now + (mayHaveSlept ? Math.min(GRACE, deadline._delay) : deadline._delay);
      deadline._hadGrace = mayHaveSlept;
      if (mayHaveSlept) arm();
    },
  };
}
