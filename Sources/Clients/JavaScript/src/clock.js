/**
 * Several deadlines on one timer. Moving a deadline further away costs no timer: the timer looks when it fires.
 */

/** A timer that is later than this was asleep, or in a tab that was frozen. */
const LATE = 2000;
/** How long a peer may take to show itself after that. */
const GRACE = 5000;

/** @typedef {{ at: number, delay: number, act: () => void, hadGrace?: boolean }} Deadline */

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
    firesAt = Math.min(...Array.from(deadlines.values(), ({ at }) => at));
    // Browsers take a delay beyond 2^31 for none.
    timer = setTimeout(fire, Math.min(Math.max(firesAt - Date.now(), 0), 0x7fffffff));
  }

  function fire() {
    const now = Date.now();
    const isLate = now > firesAt + LATE;
    for (const [name, deadline] of [...deadlines]) {
      if (deadline.at > now || deadlines.get(name) !== deadline) continue;
      if (isLate && !deadline.hadGrace) {
        deadline.at = now + GRACE;
        deadline.hadGrace = true;
      } else {
        deadlines.delete(name);
        deadline.act();
      }
    }
    arm();
  }

  return {
    /**
     * @param {string} name a deadline of this name is replaced
     * @param {number} delay milliseconds; with infinity there is none
     * @param {() => void} act
     */
    set(name, delay, act) {
      deadlines.delete(name);
      if (delay < Infinity) deadlines.set(name, { at: Date.now() + delay, delay, act });
      arm();
    },

    /** @param {string[]} names */
    clear(...names) {
      if (names.filter((name) => deadlines.delete(name)).length) arm();
    },

    /**
     * The deadline begins anew.
     * @param {string} name
     */
    touch(name) {
      const deadline = deadlines.get(name);
      if (!deadline) return;
      deadline.at = Date.now() + deadline.delay;
      deadline.hadGrace = false;
    },

    /**
     * Waits for somebody else. Nobody listens meanwhile, so that time does not count.
     * @param {Promise<void>} others
     */
    async pause(others) {
      pausedAt = Date.now();
      arm();
      await others;
      for (const deadline of deadlines.values()) deadline.at += Date.now() - pausedAt;
      pausedAt = 0;
      arm();
    },

    /**
     * The machine may have slept: what is overdue, or nearly, has a last chance.
     * @param {string} name
     */
    wake(name) {
      const deadline = deadlines.get(name);
      const last = Date.now() + GRACE;
      if (!deadline || deadline.at > last) return;
      deadline.at = Math.min(last, Date.now() + deadline.delay);
      deadline.hadGrace = true;
      arm();
    },
  };
}
