// What the viewer does, on its way to the server: one sequence over both channels, what is held, and what may be sent.
//
// Devices (keyboard.js, pointer.js, touch.js, …) build messages (input_message.js) and give them to `Input`, which outlives
// connections. They listen to its events:
// - `open`: a connection can carry input; it knows of nothing yet (gamepads, totals);
// - `release`: everything is let go, here and at the server: devices forget what is down;
// - `change`: `takes` and `may` may answer otherwise now;
// - `drain`: after `congested`, there is room again.

import * as message from "./input_message.js";

/** The server lets go of everything after a second without a sign. */
const HEARTBEAT_MS = 250;
/** A dozen moves that have not left yet: a slow link. Newer ones wait here, and replace each other. */
const MOTION_LIMIT = 256;
/** The last of a movement may have been lost: it is said once more after this long. */
const SETTLE_MS = 100;
/** The same of what is never dropped: whoever can merge (the wheel) does. */
const INPUT_LIMIT = 1024;

export class Input extends EventTarget {
  #timers;
  #channels = null;
  #sequence = 0;
  /** Of each slot the newest message that waits for room on `motion`. */
  #waiting = new Map();
  /** Timers of slots whose last message on `motion` is to be said again. */
  #settling = new Map();
  #keys = new Set();
  #buttons = new Set();
  /** What other devices hold, by names of their own. */
  #others = new Set();
  #heartbeat = null;
  #status = null;
  #engaged = false;

  constructor(timers = globalThis) {
    super();
    this.#timers = timers;
  }

  /** Takes the channels of a new connection; they may open later. */
  open({ input, motion }) {
    this.close();
    const channels = { input, motion };
    this.#channels = channels;
    this.#sequence = 0;
    const opened = () => {
      if (this.#channels !== channels || !this.#isOpen) return;
      this.#emit("open");
      this.#emit("change");
    };
    const closed = () => this.#channels === channels && this.close();
    for (const channel of [input, motion]) {
      channel.bufferedAmountLowThreshold = 0;
      channel.addEventListener("open", opened);
      channel.addEventListener("close", closed);
    }
    motion.addEventListener("bufferedamountlow", () => this.#channels === channels && this.#flush());
    input.addEventListener("bufferedamountlow", () => this.#channels === channels && this.#emit("drain"));
    opened();
  }

  /** The connection is gone; the server lets go of what was held by itself. */
  close() {
    if (this.#channels === null) return;
    this.#channels = null;
    this.#status = null;
    this.#forget();
    this.#emit("change");
  }

  /** What the server says that this viewer may do: the body of `Input` on `events`. */
  handleStatus(status) {
    const before = CLASSES.filter((name) => this.may(name));
    this.#status = status;
    if (before.some((name) => !this.may(name))) this.releaseAll();
    this.#emit("change");
  }

  /** The newest of these; null when nothing is known. */
  get status() {
    return this.#status;
  }

  /** Whether this class of devices ("keyboard", "pointer", "touch", "pen", "gamepad", "text") may act on the host. */
  may(name) {
    const { mode, takes, rights } = this.#status ?? {};
    return this.#isOpen && takes === true && mode !== "view_only" && rights?.[name] === true;
  }

  /** Whether it does: it may, and the person has taken control of the picture. */
  takes(name) {
    return this.#engaged && this.may(name);
  }

  /** Whether the person has taken control, which stays so through reconnects and lost rights. */
  get engaged() {
    return this.#engaged;
  }

  set engaged(engaged) {
    if (this.#engaged === engaged) return;
    if (!engaged) this.releaseAll();
    this.#engaged = engaged;
    this.#emit("change");
  }

  /** Sends what must not be lost, in order. What waits in the same slot is older, and is dropped. */
  send(bytes, slot = null) {
    if (!this.#isOpen) return;
    this.#waiting.delete(slot);
    this.#settled(slot);
    this.#put(this.#channels.input, bytes);
  }

  /** Whether so much waits on `input` that what can be merged should be. */
  get congested() {
    return this.#isOpen && this.#channels.input.bufferedAmount > INPUT_LIMIT;
  }

  /**
   * Sends what may be lost, since the next says it again: a move, a stick, a sensor. On a slow link only the newest of
   * each slot waits. A slot is one device's: "pointer", "touch 3", "gamepad 0", ….
   */
  move(bytes, slot) {
    if (!this.#isOpen) return;
    this.#settled(slot);
    if (this.#channels.motion.bufferedAmount > MOTION_LIMIT) {
      this.#waiting.set(slot, bytes);
      return;
    }
    // There is room before all has left: what waits is older by now.
    this.#waiting.delete(slot);
    this.#put(this.#channels.motion, bytes);
    const again = SAID_AGAIN[bytes[4]];
    if (again) this.#settling.set(slot, this.#timers.setTimeout(() => this.#sayAgain(slot, bytes, again), SETTLE_MS));
  }

  /** A key went down or up. */
  key(key) {
    if (!this.#isOpen) return;
    toggle(this.#keys, key.code, key.down);
    this.send(message.key(key));
    this.#keepTime();
  }

  /** A mouse button went down or up. */
  button(button) {
    if (!this.#isOpen) return;
    toggle(this.#buttons, button.button, button.down);
    this.send(message.button(button), "pointer");
    this.#keepTime();
  }

  /** Another device holds something (a contact, a gamepad not at rest), or no longer. `name` is its own. */
  hold(name, held) {
    if (!this.#isOpen) return;
    toggle(this.#others, name, held);
    this.#keepTime();
  }

  get held() {
    return { keys: [...this.#keys], buttons: [...this.#buttons], others: [...this.#others] };
  }

  /** Lets go of everything, as the window is left or control is given up. */
  releaseAll() {
    const held = this.#holdsSomething;
    this.#forget();
    if (held) this.send(message.releaseAll());
  }

  get #isOpen() {
    return this.#channels !== null && Object.values(this.#channels).every(({ readyState }) => readyState === "open");
  }

  get #holdsSomething() {
    return this.#keys.size + this.#buttons.size + this.#others.size > 0;
  }

  #forget() {
    this.#keys.clear();
    this.#buttons.clear();
    this.#others.clear();
    this.#waiting.clear();
    for (const slot of [...this.#settling.keys()]) this.#settled(slot);
    this.#keepTime();
    this.#emit("release");
  }

  /** The heartbeat goes while anything is held. */
  #keepTime() {
    if (this.#holdsSomething && this.#heartbeat === null) {
      this.#heartbeat = this.#timers.setInterval(() => this.#beat(), HEARTBEAT_MS);
    } else if (!this.#holdsSomething && this.#heartbeat !== null) {
      this.#timers.clearInterval(this.#heartbeat);
      this.#heartbeat = null;
    }
  }

  #beat() {
    this.move(message.held({ keys: [...this.#keys], buttons: [...this.#buttons] }), "held");
  }

  #flush() {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const [slot, bytes] of waiting) this.move(bytes, slot);
  }

  #sayAgain(slot, bytes, channel) {
    this.#settling.delete(slot);
    if (this.#isOpen) this.#put(this.#channels[channel], bytes);
  }

  #settled(slot) {
    this.#timers.clearTimeout(this.#settling.get(slot));
    this.#settling.delete(slot);
  }

  #put(channel, bytes) {
    channel.send(message.number(bytes, this.#sequence));
    this.#sequence = (this.#sequence + 1) >>> 0;
  }

  #emit(type) {
    this.dispatchEvent(new Event(type));
  }
}

/** By kind: where the last of a movement is said again. Sensors and `held` say something new soon. */
const SAID_AGAIN = { 0x05: "motion", 0x06: "input", 0x07: "input", 0x0a: "input", 0x0c: "input" };

const CLASSES = ["keyboard", "pointer", "touch", "pen", "gamepad", "text"];

function toggle(set, value, on) {
  if (on) set.add(value);
  else set.delete(value);
}
