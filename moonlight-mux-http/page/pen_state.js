// What a pen does, from the browser's pointer events. Pure.

import { PenTool, Phase, UNKNOWN_ROTATION, UNKNOWN_TILT } from "./input_message.js";

/** Of `buttons` in pointer events: the tip, the button on the barrel, a second one, the eraser's tip. */
const [TIP, BARREL, SECOND, ERASER] = [1, 2, 4, 32];
const [PRIMARY_BUTTON, SECONDARY_BUTTON] = [1, 2];

/** Which phase an event is, after it was one of "near", "touching" or "away"; null when it is none. */
export function phaseOf(type, buttons, was) {
  const touches = (buttons & (TIP | ERASER)) !== 0;
  switch (type) {
    case "pointercancel": return was === "away" ? null : Phase.cancel;
    case "pointerleave": return was === "away" ? null : Phase.leave;
    default:
      if (touches) return was === "touching" ? Phase.move : Phase.down;
      return was === "touching" ? Phase.up : Phase.hover;
  }
}

/** Where it is after that phase. */
export function stateAfter(phase) {
  switch (phase) {
    case Phase.down: case Phase.move: return "touching";
    case Phase.leave: case Phase.cancel: return "away";
    default: return "near";
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
