// What a pen does, from the browser's pointer events. Pure.

import { PenTool, Phase, UNKNOWN_ROTATION, UNKNOWN_TILT } from "./input_message.js";

/** Of `buttons` in pointer events: the tip, the button on the barrel, a second one, the eraser's tip. */
const [TIP, BARREL, SECOND, ERASER] = [1, 2, 4, 32];
const [PRIMARY_BUTTON, SECONDARY_BUTTON] = [1, 2];

/** What becomes of the pen, event by event. */
export class Phases {
  /** "near", "touching" or "away". */
  #where = "away";
  #buttons = 0;

  get away() {
    return this.#where === "away";
  }

  get touching() {
    return this.#where === "touching";
  }

  /** Which phase a pointer event is; null when it says nothing new. */
  next({ type, buttons, pressure }) {
    const was = this.#where;
    if (type === "pointerleave" || type === "pointercancel") {
      this.forget();
      if (was === "away") return null;
      return type === "pointerleave" ? Phase.leave : Phase.cancel;
    }
    const [held, before] = [holdOf(buttons).buttons, this.#buttons];
    this.#buttons = held;
    // With its barrel button held, a tip that touches is that button alone (Pointer Events 5.1.1.3): only pressure tells.
    const touches = (buttons & (TIP | ERASER)) !== 0 || (buttons !== 0 && pressure > 0);
    this.#where = touches ? "touching" : "near";
    if (this.#where === "touching" && was !== "touching") return Phase.down;
    if (this.#where !== "touching" && was === "touching") return Phase.up;
    if (held !== before) return Phase.buttons;
    return this.#where === "touching" ? Phase.move : Phase.hover;
  }

  /** The host has been told that it is away. */
  forget() {
    this.#where = "away";
    this.#buttons = 0;
  }
}

/** The end and the buttons: `{ tool, buttons }`. */
export function holdOf(buttons) {
  return {
    tool: buttons & ERASER ? PenTool.eraser : PenTool.pen,
    buttons: (buttons & BARREL ? PRIMARY_BUTTON : 0) | (buttons & SECOND ? SECONDARY_BUTTON : 0),
  };
}

/**
 * How it leans, in degrees: `tilt` 0 to 90 from the vertical, `rotation` the direction in which its upper end points, 0 to
 * 359 clockwise from the picture's upper edge. From `altitudeAngle` and `azimuthAngle` (radians, the latter clockwise from
 * the right) where the browser has them, else from `tiltX` and `tiltY` (degrees).
 */
export function leanOf({ altitudeAngle, azimuthAngle, tiltX, tiltY }) {
  if (altitudeAngle === undefined || azimuthAngle === undefined) {
    if (tiltX === undefined || tiltY === undefined) return { tilt: UNKNOWN_TILT, rotation: UNKNOWN_ROTATION };
    const [x, y] = [Math.tan(radians(tiltX)), Math.tan(radians(tiltY))];
    return lean(Math.atan(Math.hypot(x, y)), Math.atan2(y, x));
  }
  return lean(Math.PI / 2 - altitudeAngle, azimuthAngle);
}

function lean(tilt, azimuth) {
  const rotation = Math.round(degrees(azimuth) + 90);
  return { tilt: Math.min(Math.max(Math.round(degrees(tilt)), 0), 90), rotation: ((rotation % 360) + 360) % 360 };
}

function radians(degrees) {
  return (degrees / 180) * Math.PI;
}

function degrees(radians) {
  return (radians / Math.PI) * 180;
}
