// The host's pointer, as the mouse works it: by places on the picture, and by movement while it is locked to the picture.
// Touch and pens work it too, where they are no devices of their own.

import * as message from "./input_message.js";
import { boxOf, isInside, placeIn } from "./place.js";

/** Bits of MouseEvent.buttons to the layout's numbers. */
const BUTTONS = [[1, 1], [4, 2], [2, 3], [8, 4], [16, 5]];
const NOTCH = 120;

export class Pointer {
  #picture;
  #video;
  #input;
  /** Buttons that are down at the host, as bits of MouseEvent.buttons. */
  #down = 0;
  /** All relative movement since the connection began. */
  #totals = { totalX: 0, totalY: 0 };
  /** Where the pointer was last said to be, or the totals. */
  #place = null;
  #wheel = new Wheel();

  /** `picture` holds the video and has the focus while the person is in control. */
  constructor(picture, video, input) {
    this.#picture = picture;
    this.#video = video;
    this.#input = input;
    const moves = "onpointerrawupdate" in picture ? "pointerrawupdate" : "pointermove";
    picture.addEventListener(moves, (event) => this.#move(event));
    for (const type of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) {
      picture.addEventListener(type, (event) => this.#press(event));
    }
    picture.addEventListener("wheel", (event) => this.#turn(event), { passive: false });
    // What the browser would make of buttons: menus, drags, back and forward.
    for (const type of ["contextmenu", "mousedown", "mouseup", "auxclick", "dragstart"]) {
      picture.addEventListener(type, (event) => input.takes("pointer") && this.#keep(event));
    }
    input.addEventListener("open", () => {
      this.#totals = { totalX: 0, totalY: 0 };
      this.#place = null;
    });
    document.addEventListener("pointerlockchange", () => {
      // From here on a press comes behind the movement so far: overtaken by the next move, it must not take the pointer
      // back to where it was locked.
      if (this.locked) this.#place = this.#total();
      // A locked pointer is not captured: once it is free, a button may come up anywhere.
      else this.#lift();
    });
    input.addEventListener("drain", () => this.#scroll());
    input.addEventListener("release", () => {
      this.#down = 0;
      this.#wheel = new Wheel();
    });
  }

  /** Whether it is locked to the picture. */
  get locked() {
    return document.pointerLockElement === this.#picture;
  }

  /** Locks it to the picture, or frees it. The system's acceleration is left out where the browser can. */
  async toggleLock() {
    if (this.locked) return document.exitPointerLock();
    try {
      await this.#picture.requestPointerLock?.({ unadjustedMovement: true });
    } catch (error) {
      // Others: the browser allows it only right after a click, and not at once after Esc. The person tries again.
      if (error.name === "NotSupportedError") await this.#picture.requestPointerLock();
    }
  }

  /** Moves by pixels, or parts of them, right and down. */
  moveBy(dx, dy) {
    this.#totals.totalX += dx;
    this.#totals.totalY += dy;
    this.#goTo(this.#total());
  }

  /** Moves to a place on the picture, `{ x, y }`. */
  moveTo(place) {
    this.#goTo(place);
  }

  /** Presses or lifts a button, 1 to 5, where the pointer is. */
  button(button, down) {
    this.#input.button({ button, down, place: this.#place });
  }

  /** Turns the wheel where the pointer is, in 120ths of a notch, right and up. */
  scroll(dx, dy) {
    this.#wheel.turn(dx, dy);
    this.#scroll();
  }

  #total() {
    const { totalX, totalY } = this.#totals;
    return { totalX: Math.round(totalX), totalY: Math.round(totalY) };
  }

  #goTo(place) {
    this.#place = place;
    this.#input.move(message.pointer(place), "pointer");
  }

  #move(event) {
    if (!this.#acts(event)) return;
    if (this.locked) return this.moveBy(event.movementX, event.movementY);
    this.#follow(event);
    if (this.#place) this.moveTo(this.#place);
  }

  /** Takes the place from an event; while it is locked, events have none. */
  #follow(event) {
    const box = this.locked ? null : boxOf(this.#video);
    if (box) this.#place = placeIn(box, ...middle(event));
  }

  /** While one button is down the others go down and up in moves. */
  #press(event) {
    if (!this.#acts(event)) return;
    this.#follow(event);
    const begins = event.type === "pointerdown" && (this.locked || this.#isOnPicture(event));
    const [before, now] = [this.#down, event.type === "pointercancel" ? 0 : event.buttons];
    for (const [bit, button] of BUTTONS) {
      const down = (now & bit) !== 0;
      if (down === ((before & bit) !== 0)) continue;
      // What went down elsewhere stays elsewhere.
      if (down && !begins && before === 0) continue;
      this.#down ^= bit;
      this.button(button, down);
    }
    // A locked pointer is captured as it is, and must not be.
    if (begins && !this.locked) this.#picture.setPointerCapture(event.pointerId);
  }

  #lift() {
    for (const [bit, button] of BUTTONS) {
      if (this.#down & bit) this.button(button, false);
    }
    this.#down = 0;
  }

  #turn(event) {
    if (!this.#input.takes("pointer")) return;
    // Ctrl with the wheel would zoom the page.
    event.preventDefault();
    this.#follow(event);
    this.#wheel.add(event);
    this.#scroll();
  }

  /** On a slow link what the wheel turned adds up meanwhile. */
  #scroll() {
    if (this.#input.congested || !this.#input.takes("pointer")) return;
    const turned = this.#wheel.take();
    if (turned) this.#input.send(message.scroll({ ...turned, place: this.#place }), "pointer");
  }

  #acts({ pointerType }) {
    return pointerType !== "touch" && pointerType !== "pen" && this.#input.takes("pointer");
  }

  #isOnPicture(event) {
    const box = boxOf(this.#video);
    return box !== null && isInside(box, ...middle(event));
  }

  #keep(event) {
    event.preventDefault();
    // A mousedown that is prevented moves no focus either.
    if (event.type === "mousedown") this.#picture.focus({ preventScroll: true });
  }
}

/** What the wheel turned, in 120ths of a notch, with what is less kept. Pure. */
export class Wheel {
  #dx = 0;
  #dy = 0;

  /** A WheelEvent, whose positive is right and down. */
  add({ deltaX, deltaY, deltaMode, wheelDeltaX, wheelDeltaY, shiftKey }) {
    let dx = notches(deltaX, deltaMode, wheelDeltaX);
    let dy = -notches(deltaY, deltaMode, wheelDeltaY);
    // Browsers turn the wheel by Shift. The host knows of Shift, and does so itself.
    if (shiftKey && dy === 0) [dx, dy] = [0, -dx];
    this.turn(dx, dy);
  }

  /** In 120ths of a notch, right and up. */
  turn(dx, dy) {
    this.#dx = clamp(this.#dx + dx);
    this.#dy = clamp(this.#dy + dy);
  }

  /** Whole steps so far: `{ dx, dy }`, positive is right and up; null for none. */
  take() {
    const [dx, dy] = [Math.trunc(this.#dx), Math.trunc(this.#dy)];
    if (dx === 0 && dy === 0) return null;
    this.#dx -= dx;
    this.#dy -= dy;
    return { dx, dy };
  }
}

/**
 * `wheelDelta` is 120 a notch in Chromium and Safari, and something else for touchpads. Firefox counts lines, three a notch;
 * a page is what some systems scroll by in one notch. About a hundred pixels are one.
 */
function notches(delta, mode, wheelDelta) {
  if (delta === 0) return 0;
  if (mode === 0 && wheelDelta && wheelDelta % NOTCH === 0) return Math.abs(wheelDelta) * Math.sign(delta);
  const unit = [NOTCH / 100, NOTCH / 3, NOTCH][mode] ?? 0;
  return delta * unit;
}

/** As much as one message can say. */
function clamp(value) {
  return Math.min(Math.max(value, -32_767), 32_767);
}

/** The middle of the screen's pixel that the pointer's tip is on: places of a mouse name its upper left corner. */
function middle({ clientX, clientY }) {
  const half = 0.5 / devicePixelRatio;
  return [clientX + half, clientY + half];
}
