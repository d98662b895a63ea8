// When to join again.

const BACKOFF_MS = { first: 1_000, longest: 30_000 };

/** 1, 2, 4, … 30 s, each up to a fifth less by chance (0 to 1), so that many pages do not come back all at once. */
export function backoff(failures, chance) {
  const full = Math.min(BACKOFF_MS.first * 2 ** failures, BACKOFF_MS.longest);
  return full * (1 - 0.2 * chance);
}

/** Waits for longer after each failure in a row, counting down. */
export class Reconnect {
  #join;
  #countdown;
  #failures = 0;
  #due = null;
  #timer = null;

  /** `join` is called when it is time; `countdown` with the seconds until then, while waiting. */
  constructor(join, countdown) {
    this.#join = join;
    this.#countdown = countdown;
  }

  get waiting() {
    return this.#due !== null;
  }

  /** How many attempts failed since the last success. */
  get failures() {
    return this.#failures;
  }

  /** The next failure is a first one. */
  succeeded() {
    this.#failures = 0;
  }

  /** An attempt failed: there will be another. */
  later() {
    this.#due = performance.now() + backoff(this.#failures++, Math.random());
    this.#tick();
  }

  /** Joins without further waiting. */
  now() {
    this.stop();
    this.#join();
  }

  /** There will be no further attempt. */
  stop() {
    clearTimeout(this.#timer);
    this.#due = null;
  }

  #tick() {
    const left = this.#due - performance.now();
    if (left <= 0) return this.now();
    this.#countdown(Math.ceil(left / 1000));
    this.#timer = setTimeout(() => this.#tick(), Math.min(left, 1000));
  }
}
