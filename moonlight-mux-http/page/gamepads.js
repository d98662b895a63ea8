// This viewer's gamepads: what is pressed goes to the host; rumble and light come back.
//
// The Gamepad API has no events for buttons: while a gamepad is there, it is asked once a frame. It acts while the page is
// looked at and has the focus, so that a game in another window does not play here too; else it rests.

import { angularVelocityOf, Changes, effectsOf, infoOf, isUsable, lightOf, REST, Rumble, stateOf } from "./gamepad_state.js";
import * as message from "./input_message.js";

export class Gamepads {
  #input;
  #changed;
  /** By index. */
  #plugged = new Map();
  #polling = false;
  #names = [];

  /**
   * `changed(names)` is called when gamepads come or go: `{ name, usable }` of each. Browsers show a gamepad to a page only
   * after a button was pressed on it.
   */
  constructor(input, changed) {
    this.#input = input;
    this.#changed = changed;
    input.addEventListener("release", () => this.#plugged.forEach(({ changes }) => changes.forget()));
    input.addEventListener("change", () => this.#check());
    for (const type of ["gamepadconnected", "gamepaddisconnected", "blur", "focus"]) addEventListener(type, () => this.#check());
    document.addEventListener("visibilitychange", () => this.#check());
    this.#check();
  }

  /** What the host wants of a gamepad: `{ Rumble }`, `{ TriggerRumble }`, `{ Led }` or `{ Motion }`, as on `events`. */
  handleFeedback({ Rumble: rumble, TriggerRumble: triggers, Led: led, Motion: motion }) {
    const plugged = this.#plugged.get((rumble ?? triggers ?? led ?? motion).gamepad);
    if (!plugged) return;
    if (rumble) plugged.rumble.want({ low: rumble.low, high: rumble.high });
    if (triggers) plugged.rumble.want({ left: triggers.left, right: triggers.right });
    if (led) setLight(plugged.gamepad, led.rgb);
    if (motion?.sensor === "gyroscope") plugged.gyroscope = { rate: motion.rate, sentAt: -Infinity };
    this.#check();
  }

  /** Looks at once, and again each frame while there are gamepads. Frames do not come to a page that nobody looks at. */
  #check() {
    const there = this.#look(performance.now());
    if (!there || this.#polling || document.hidden) return;
    this.#polling = true;
    requestAnimationFrame(() => {
      this.#polling = false;
      this.#check();
    });
  }

  /** Whether there are any. */
  #look(now) {
    const there = connected();
    this.#tell(there);
    const usable = this.#input.may("gamepad") ? there.filter(isUsable) : [];
    for (const [index, { gamepad }] of this.#plugged) {
      if (usable.some((one) => one.index === index && one.id === gamepad.id)) continue;
      this.#unplug(index);
    }
    for (const gamepad of usable) this.#one(gamepad, now);
    return there.length > 0;
  }

  #one(gamepad, now) {
    const { index } = gamepad;
    const plugged = this.#plugged.get(index) ?? this.#plug(gamepad);
    plugged.gamepad = gamepad; // Chromium makes a new object each time.
    const acts = !document.hidden && document.hasFocus();
    const state = acts ? stateOf(gamepad) : REST;
    const channel = plugged.changes.update(state);
    if (channel) {
      const bytes = message.gamepad({ index, ...state });
      if (channel === "input") this.#input.send(bytes, slot(index));
      else this.#input.move(bytes, slot(index));
      this.#input.hold(slot(index), !plugged.changes.atRest);
    }
    if (acts) this.#sense(plugged, now);
    rumble(plugged, now);
  }

  #plug(gamepad) {
    const plugged = { gamepad, changes: new Changes(), rumble: new Rumble(), gyroscope: { rate: 0, sentAt: 0 } };
    this.#plugged.set(gamepad.index, plugged);
    this.#input.send(message.gamepadConnected(infoOf(gamepad)), slot(gamepad.index));
    return plugged;
  }

  #unplug(index) {
    const { gamepad } = this.#plugged.get(index);
    this.#plugged.delete(index);
    stop(gamepad);
    this.#input.send(message.gamepadDisconnected(index), slot(index));
    this.#input.hold(slot(index), false);
  }

  /** The gyroscope at the rate that the host wants, at most that of the frames. */
  #sense({ gamepad, gyroscope }, now) {
    const velocity = angularVelocityOf(gamepad);
    if (!velocity || gyroscope.rate === 0 || now - gyroscope.sentAt < 1_000 / gyroscope.rate) return;
    gyroscope.sentAt = now;
    const value = Array.from(velocity, (radians) => (radians / Math.PI) * 180);
    const { index } = gamepad;
    this.#input.move(message.gamepadMotion({ index, sensor: message.Sensor.gyroscope, value }), `gyroscope ${index}`);
  }

  #tell(there) {
    const names = there.map((gamepad) => ({ name: nameOf(gamepad.id), usable: isUsable(gamepad) }));
    if (JSON.stringify(names) === JSON.stringify(this.#names)) return;
    this.#names = names;
    this.#changed(names);
  }
}

/** Without what browsers add: `Name (STANDARD GAMEPAD Vendor: 054c Product: 09cc)`, `054c-09cc-Name`. */
export function nameOf(id) {
  return id.replace(/\s*\((standard gamepad|vendor:).*\)\s*$/i, "").replace(/^[0-9a-f]{1,4}-[0-9a-f]{1,4}-/i, "").trim() || "Gamepad";
}

/** None where the page comes from an insecure address, or is in a frame that may not ask. */
function connected() {
  try {
    return [...(navigator.getGamepads?.() ?? [])].filter((gamepad) => gamepad?.connected);
  } catch {
    return [];
  }
}

function slot(index) {
  return `gamepad ${index}`;
}

function rumble({ gamepad, rumble }, now) {
  const next = rumble.next(effectsOf(gamepad), now);
  if (next === "stop") stop(gamepad);
  // Refused, for example, where the page is not in front: it is played again before long.
  else if (next) gamepad.vibrationActuator.playEffect(next.type, next.parameters).catch(() => {});
}

function stop({ vibrationActuator: actuator }) {
  actuator?.reset?.().catch(() => {});
}

function setLight(gamepad, [red, green, blue]) {
  lightOf(gamepad)?.setColor({ red, green, blue }).catch(() => {});
}
