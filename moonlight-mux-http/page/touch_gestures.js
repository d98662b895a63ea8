// Fingers that work a mouse: on the picture itself, or as on a laptop's trackpad. Pure.
//
// Places are pixels of the page, times milliseconds. What is done, in order, as objects with one of
// - `by: { dx, dy }`: the pointer moves by whole pixels;
// - `to: { x, y }`: the pointer moves to this place of the page;
// - `button`, `down`: a mouse button, 1 left, 2 middle, 3 right;
// - `scroll: { dx, dy }`: in 120ths of a notch, positive is right and up.

/** A finger that goes no further than this has not moved. */
const SLOP = 10;
/** A touch that is longer is no tap. */
const TAP_MS = 250;
/** After a tap, a finger that comes back within this drags; only then the tap's button is let go. */
const TAP_DRAG_MS = 200;
/** On the picture, a finger that rests for this long asks for the right button. */
const LONG_PRESS_MS = 500;
/** Text follows the fingers about as far as they go: a notch is about 40 pixels of the page. */
const SCROLL_PER_PIXEL = 3;
/** By how many fingers tap: left, right, middle. */
const TAP_BUTTONS = [1, 3, 2];
const [LEFT, RIGHT] = [1, 3];

export class Gestures {
  /** Whether the pointer is where the finger is, or moves as the finger does. */
  #direct;
  #fingers = new Map();
  /** Of this touch, from the first finger down to the last one up: null, "moving", "scrolling" or "done" (nothing more). */
  #doing = null;
  #began = 0;
  #mostFingers = 0;
  /** The left button is down: by a drag, or by a tap that may become one. */
  #pressed = false;
  /** When a tap's button is let go, or a finger has rested for long enough. */
  #deadline = null;
  #carry = { x: 0, y: 0 };

  constructor({ direct }) {
    this.#direct = direct;
  }

  /** When `tick` wants to be called next; null is never. */
  get deadline() {
    return this.#deadline;
  }

  down(id, x, y, now) {
    const done = [];
    if (this.#fingers.size === 0) {
      this.#doing = null;
      this.#began = now;
      this.#mostFingers = 0;
      this.#carry = { x: 0, y: 0 };
      this.#deadline = this.#direct ? now + LONG_PRESS_MS : null;
      if (this.#direct) done.push({ to: { x, y } });
    } else if (this.#pressed && this.#doing === "moving") {
      return []; // A drag goes on as it was.
    } else {
      this.#deadline = null;
      if (this.#pressed) done.push(this.#press(LEFT, false));
      if (this.#doing === "moving") this.#doing = null;
      for (const finger of this.#fingers.values()) Object.assign(finger, { startX: finger.x, startY: finger.y });
    }
    this.#fingers.set(id, { x, y, startX: x, startY: y, movedAt: now });
    this.#mostFingers = Math.max(this.#mostFingers, this.#fingers.size);
    return done;
  }

  move(id, x, y, now) {
    const finger = this.#fingers.get(id);
    if (!finger || this.#doing === "done") return [];
    const [dx, dy, elapsed] = [x - finger.x, y - finger.y, now - finger.movedAt];
    const far = Math.hypot(x - finger.startX, y - finger.startY) > SLOP;
    if (this.#doing === null && !far) return [];
    Object.assign(finger, { x, y, movedAt: now });
    const begins = this.#doing === null;
    if (begins) {
      this.#deadline = null;
      this.#doing = this.#fingers.size > 1 ? "scrolling" : "moving";
    }
    if (this.#doing === "scrolling") return this.#scroll(dx, dy);
    if (!this.#direct) return this.#moveBy(dx, dy, elapsed);
    return begins && !this.#pressed ? [this.#press(LEFT, true), { to: { x, y } }] : [{ to: { x, y } }];
  }

  up(id, now) {
    if (!this.#fingers.delete(id)) return [];
    if (this.#fingers.size > 0) {
      // What is left of several fingers does not begin to point.
      if (this.#doing === "scrolling") this.#doing = "done";
      return [];
    }
    this.#deadline = null;
    const button = TAP_BUTTONS[this.#mostFingers - 1];
    const tapped = this.#doing === null && button !== undefined && now - this.#began <= TAP_MS;
    const done = this.#pressed ? [this.#press(LEFT, false)] : [];
    if (!tapped) return done;
    if (button === LEFT && !this.#direct) {
      this.#deadline = now + TAP_DRAG_MS;
      return [...done, this.#press(LEFT, true)];
    }
    return [...done, { button, down: true }, { button, down: false }];
  }

  /** The browser takes the fingers away, or the page is no longer in control: everything is let go. */
  cancel() {
    this.#fingers.clear();
    this.#deadline = null;
    return this.#pressed ? [this.#press(LEFT, false)] : [];
  }

  /** To be called at `deadline`. */
  tick(now) {
    if (this.#deadline === null || now < this.#deadline) return [];
    this.#deadline = null;
    if (this.#fingers.size === 0) return this.#pressed ? [this.#press(LEFT, false)] : [];
    this.#doing = "done";
    return [{ button: RIGHT, down: true }, { button: RIGHT, down: false }];
  }

  #press(button, down) {
    this.#pressed = down;
    return { button, down };
  }

  #moveBy(dx, dy, elapsed) {
    const gain = acceleration(Math.hypot(dx, dy) / Math.max(elapsed, 1));
    const moved = this.#whole(dx * gain, dy * gain);
    return moved.dx || moved.dy ? [{ by: moved }] : [];
  }

  /** Each finger moves the text by its share: two that move alike move it as far as they go. */
  #scroll(dx, dy) {
    const factor = SCROLL_PER_PIXEL / this.#fingers.size;
    const moved = this.#whole(-dx * factor, dy * factor);
    return moved.dx || moved.dy ? [{ scroll: moved }] : [];
  }

  /** Whole numbers; what is left counts the next time. */
  #whole(x, y) {
    const [sumX, sumY] = [this.#carry.x + x, this.#carry.y + y];
    const [dx, dy] = [Math.trunc(sumX), Math.trunc(sumY)];
    this.#carry = { x: sumX - dx, y: sumY - dy };
    return { dx, dy };
  }
}

/** By how much more the pointer moves than the finger, at a speed in pixels per millisecond: exact when slow, far when fast. */
export function acceleration(speed) {
  return Math.min(1 + Math.max(speed - 0.1, 0) * 2, 4);
}
