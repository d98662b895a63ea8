// What a gamepad of the browser's Gamepad API is, what is pressed on it, what of that is sent, and how it rumbles. Pure.
//
// https://www.w3.org/TR/gamepad/; what is sent is in docs/http-api.md.

import { GamepadKind } from "./input_message.js";

/** Worn sticks and triggers do not come back all the way, and would hold the turn for ever: below this, they rest. */
const DEAD_ZONE = 0.1;
const TRIGGER_DEAD_ZONE = 0.04;
/** Browsers end an effect after 5 s at the latest. */
const EFFECT_MS = 5_000;
const RENEW_MS = 4_000;

/** By the standard mapping's index: A, B, X, Y, bumpers, (triggers,) back, start, stick clicks, up, down, left, right, guide. */
const BUTTONS = [
  0x1000, 0x2000, 0x4000, 0x8000, 0x100, 0x200, 0, 0, 0x20, 0x10, 0x40, 0x80, 0x1, 0x2, 0x4, 0x8, 0x400,
];
const [LEFT_TRIGGER, RIGHT_TRIGGER] = [6, 7];
/** Behind them: the touchpad's click on a PlayStation gamepad, else share or capture. */
const EXTRA = 17;
const [TOUCHPAD_BUTTON, MISC_BUTTON] = [0x100000, 0x200000];

const Capability = { analogTriggers: 0x01, rumble: 0x02, triggerRumble: 0x04, gyroscope: 0x20, light: 0x80 };

const VENDORS = new Map([
  ["045e", GamepadKind.xbox],
  ["054c", GamepadKind.playStation],
  ["057e", GamepadKind.nintendo],
  ["28de", GamepadKind.steam],
]);
/** Where the id has no vendor: Safari, and Chromium on Windows for whatever speaks XInput. */
const NAMES = [
  [/xbox|xinput/i, GamepadKind.xbox],
  [/dualshock|dualsense|playstation/i, GamepadKind.playStation],
  [/nintendo|joy-con|\bpro controller/i, GamepadKind.nintendo],
  [/steam/i, GamepadKind.steam],
];

/** Chromium: `Name (STANDARD GAMEPAD Vendor: 054c Product: 09cc)`; Firefox: `054c-09cc-Name`. */
export function kindOf(id) {
  const vendor = (id.match(/vendor: ([0-9a-f]{4})/i) ?? id.match(/^([0-9a-f]{1,4})-[0-9a-f]{1,4}-/i))?.[1];
  const kind = VENDORS.get(vendor?.toLowerCase().padStart(4, "0"));
  return kind ?? NAMES.find(([pattern]) => pattern.test(id))?.[1] ?? GamepadKind.unknown;
}

/** Only where the browser knows which button is which: another one's sticks and triggers might be taken for each other. */
export function isUsable(gamepad) {
  return gamepad.connected && gamepad.mapping === "standard" && gamepad.index < 16;
}

/** What the host is told when it is plugged in: `{ index, kind, capabilities, buttons }`. */
export function infoOf(gamepad) {
  const kind = kindOf(gamepad.id);
  const effects = effectsOf(gamepad);
  const capabilities =
    (kind === GamepadKind.nintendo ? 0 : Capability.analogTriggers) |
    (effects.has("dual-rumble") ? Capability.rumble : 0) |
    (effects.has("trigger-rumble") ? Capability.triggerRumble : 0) |
    (angularVelocityOf(gamepad) ? Capability.gyroscope : 0) |
    (lightOf(gamepad) ? Capability.light : 0);
  const buttons = gamepad.buttons.reduce((bits, _, i) => bits | buttonBit(i, kind), 0);
  return { index: gamepad.index, kind, capabilities, buttons };
}

/** All that is pressed: `{ buttons, leftTrigger, rightTrigger, leftStick, rightStick }`. */
export function stateOf(gamepad) {
  const kind = kindOf(gamepad.id);
  const pressed = gamepad.buttons.reduce((bits, button, i) => (button.pressed ? bits | buttonBit(i, kind) : bits), 0);
  return {
    buttons: pressed,
    leftTrigger: trigger(gamepad.buttons[LEFT_TRIGGER]),
    rightTrigger: trigger(gamepad.buttons[RIGHT_TRIGGER]),
    leftStick: stick(gamepad.axes[0], gamepad.axes[1]),
    rightStick: stick(gamepad.axes[2], gamepad.axes[3]),
  };
}

/** The effects that it can play: "dual-rumble", "trigger-rumble". */
export function effectsOf({ vibrationActuator: actuator }) {
  if (!actuator?.playEffect) return new Set();
  return new Set(actuator.effects ?? [actuator.type ?? "dual-rumble"]);
}

/** Radians per second about x, y, z, where the browser has a sensor for it; else null. */
export function angularVelocityOf({ pose }) {
  return pose?.angularVelocity ?? null;
}

/** The light, where the browser lets it be set; else null. */
export function lightOf({ lightIndicators }) {
  return lightIndicators?.[0] ?? null;
}

/** What of one gamepad's states is sent, on which channel. */
export class Changes {
  #last = REST;

  get atRest() {
    return isAtRest(this.#last);
  }

  /**
   * The state at this moment. Gives the channel to send it on, or null: buttons, and coming to rest, must not be lost; the
   * way of a stick may be, and input.js says its end again.
   */
  update(state) {
    const last = this.#last;
    if (isSame(state, last)) return null;
    this.#last = state;
    return state.buttons !== last.buttons || isAtRest(state) ? "input" : "motion";
  }

  /** The host has been told that it rests: whatever is still held is news again. */
  forget() {
    this.#last = REST;
  }
}

export const REST = Object.freeze({ buttons: 0, leftTrigger: 0, rightTrigger: 0, leftStick: [0, 0], rightStick: [0, 0] });

/** How one gamepad rumbles. Effects end by themselves, so a lasting one is played again and again. */
export class Rumble {
  /** All 0 to 65535. */
  #wanted = { low: 0, high: 0, left: 0, right: 0 };
  #changed = false;
  #playedAt = null;

  /** `{ low, high }` of its motors or `{ left, right }` of its triggers, or all of them. */
  want(strengths) {
    Object.assign(this.#wanted, strengths);
    this.#changed = true;
  }

  /**
   * What to do now, with the effects that the gamepad can play: null (nothing), "stop", or `{ type, parameters }` to play.
   * To be asked again and again.
   */
  next(effects, now) {
    const effect = effectFor(this.#wanted, effects);
    const due = this.#playedAt !== null && now - this.#playedAt >= RENEW_MS;
    if (!this.#changed && !due) return null;
    this.#changed = false;
    if (effect) {
      this.#playedAt = now;
      return effect;
    }
    const stops = this.#playedAt !== null;
    this.#playedAt = null;
    return stops ? "stop" : null;
  }
}

/** Null when there is nothing to be felt. */
function effectFor({ low, high, left, right }, effects) {
  const motors = { duration: EFFECT_MS, startDelay: 0, strongMagnitude: low / 65535, weakMagnitude: high / 65535 };
  if (effects.has("trigger-rumble")) {
    // It has the motors too, and one effect ends the other: always this one.
    const parameters = { ...motors, leftTrigger: left / 65535, rightTrigger: right / 65535 };
    return low || high || left || right ? { type: "trigger-rumble", parameters } : null;
  }
  return effects.has("dual-rumble") && (low || high) ? { type: "dual-rumble", parameters: motors } : null;
}

function buttonBit(index, kind) {
  if (index === EXTRA) return kind === GamepadKind.playStation ? TOUCHPAD_BUTTON : MISC_BUTTON;
  return BUTTONS[index] ?? 0;
}

function trigger(button) {
  const value = button?.value ?? 0;
  return value >= TRIGGER_DEAD_ZONE ? Math.round(Math.min(value, 1) * 255) : 0;
}

/** The browser's y is positive downwards. */
function stick(x = 0, y = 0) {
  if (!(Math.hypot(x, y) >= DEAD_ZONE)) return [0, 0];
  return [axis(x), axis(-y)];
}

function axis(value) {
  return Math.round(Math.min(Math.max(value, -1), 1) * 32767);
}

function isSame(a, b) {
  return (
    a.buttons === b.buttons &&
    a.leftTrigger === b.leftTrigger &&
    a.rightTrigger === b.rightTrigger &&
    a.leftStick[0] === b.leftStick[0] &&
    a.leftStick[1] === b.leftStick[1] &&
    a.rightStick[0] === b.rightStick[0] &&
    a.rightStick[1] === b.rightStick[1]
  );
}

function isAtRest(state) {
  return isSame(state, REST);
}
