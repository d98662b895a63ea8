// Whether the picture moves. Pure: time and figures are arguments.
//
// Timers lie in background tabs and in laptops that slept, so a deadline is only believed when samples came all along
// up to it: after a gap, or while nobody looks, it starts over.

/** With no new picture for this long there is something to report. */
const STILL_MS = 5_000;
/** With nothing at all from the other side for this long, the connection is dead. Checks are answered every 2.5 s. */
const SILENT_MS = 6_000;
/** Data count as arriving for this long. */
const ARRIVING_MS = 2_000;
/** Samples come every second; behind a longer gap than this the page was suspended. */
const GAP_MS = 3_000;

/**
 * Is told of samples, about one a second, and answers with a list of what has changed:
 * "first_frame", "black" (no first picture though there should be one), "frozen" (no new one), "playing" (it moves
 * again), "dead" (the other side does not answer at all).
 */
export class Watchdog {
  #phase = "waiting"; // later "black", "playing" or "frozen"
  #dead = false;
  #last = null;
  /** When the picture moved last, or was last not expected to. */
  #movedAt = 0;
  /** When the video's data came last. */
  #arrivedAt = -Infinity;
  /** When anything came last. */
  #heardAt = 0;

  /** "waiting", "black", "playing" or "frozen". */
  get phase() {
    return this.#phase;
  }

  /** Whether the video's data arrive: while black or frozen, data that make no picture. */
  get arriving() {
    return this.#last !== null && this.#last.at - this.#arrivedAt <= ARRIVING_MS;
  }

  /** A picture was shown. */
  handleFrame(now) {
    this.#movedAt = now;
    const before = this.#phase;
    this.#phase = "playing";
    if (before === "playing") return [];
    return before === "frozen" ? ["playing"] : ["first_frame"];
  }

  /**
   * `sample`: `visible`, whether somebody can look; `connected`, whether the media connection stands; `status`, the
   * stream's or null; `framesDecoded` and `bytesReceived` of the video; `heard`, a figure that changes with anything
   * that arrives, or null when the browser has none.
   */
  handleSample(now, sample) {
    const before = this.#last ?? { at: -Infinity, framesDecoded: 0, bytesReceived: 0, heard: null };
    this.#last = { ...sample, at: now };
    const continuous = now - before.at <= GAP_MS;
    if (sample.bytesReceived > before.bytesReceived) this.#arrivedAt = now;
    if (!continuous || !sample.connected || sample.heard !== before.heard) this.#heardAt = now;
    if (sample.framesDecoded > before.framesDecoded) return this.handleFrame(now);

    const due = expectsPictures(sample.status) || this.arriving;
    if (!continuous || !sample.connected || !sample.visible || !due) this.#movedAt = now;
    return [...this.#still(now), ...this.#silent(now)];
  }

  #still(now) {
    if (now - this.#movedAt < STILL_MS) return [];
    if (this.#phase === "waiting") return [(this.#phase = "black")];
    if (this.#phase === "playing") return [(this.#phase = "frozen")];
    return [];
  }

  #silent(now) {
    if (this.#dead || this.#last.heard === null || now - this.#heardAt < SILENT_MS) return [];
    this.#dead = true;
    return ["dead"];
  }
}

/** A stream that is active has a picture at least every two seconds, a still desktop too: the server asks for one. */
function expectsPictures(status) {
  return status === null || status === "active";
}
