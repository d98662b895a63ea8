// Keys of the person's keyboard as keys of the host: places on the keyboard, whatever is printed on them.

import { Lock, Modifier } from "./input_message.js";

/** How long Windows' false Ctrl may be ahead of AltGr. */
const ALT_GRAPH_MS = 50;

/** Hands keys on to the host while the person is in control. */
export class Keyboard {
  #input;
  #translator;
  #field;
  #run;
  #type;
  #timer = null;

  /**
   * `elements` are those that take keys when they have the focus, and `field` the one of them where keys that type become
   * text; `run` gets commands ("release", "paste"); `type` gets text of keyboards whose keys have no place.
   */
  constructor(elements, input, { field, run, type }) {
    this.#input = input;
    this.#field = field;
    this.#run = run;
    this.#type = type;
    this.#translator = new KeyTranslator(platform());
    for (const element of elements) {
      for (const name of ["keydown", "keyup"]) element.addEventListener(name, (event) => this.#handle(event));
    }
    input.addEventListener("release", () => {
      clearTimeout(this.#timer);
      this.#translator.clear();
    });
  }

  #handle(event) {
    if (!this.#input.engaged) return;
    // A key that went down as a key ends as one, whatever is typed or composed meanwhile.
    if (!this.#translator.continues(event)) {
      // What an input method is busy with becomes text (text.js).
      if (event.isComposing || event.keyCode === 229) return;
      if (event.target === this.#field && types(event) && this.#input.may("text")) return;
    }
    // The way out is there, whatever may be done.
    const { keys, text, command } = this.#translator.handle(event);
    if (this.#input.may("keyboard")) {
      event.preventDefault();
      this.#send(keys);
    }
    if (text !== "") {
      event.preventDefault();
      this.#type(text);
    }
    clearTimeout(this.#timer);
    if (this.#translator.waits) this.#timer = setTimeout(() => this.#send(this.#translator.handleTimeout()), ALT_GRAPH_MS);
    if (command !== null) this.#run(command);
  }

  #send(keys) {
    if (this.#input.takes("keyboard")) keys.forEach((key) => this.#input.key(key));
  }
}

/** From KeyboardEvents to keys of the host, with the oddities of systems. Pure. */
export class KeyTranslator {
  #mac;
  #windows;
  /** Virtual-key codes by what the browser calls the key. */
  #down = new Map();
  /** Windows' Ctrl that may belong to AltGr. */
  #waiting = null;
  /** What happens once Ctrl, Alt and Shift are up again: null without them. */
  #command = null;

  constructor({ mac = false, windows = false }) {
    this.#mac = mac;
    this.#windows = windows;
  }

  /**
   * `event`: a keydown or keyup. Gives `{ keys, text, command }`: what to send, in order; what a key without a place types;
   * "release" after Ctrl, Alt and Shift were down together and nothing else, "paste" after V with them, else null.
   */
  handle(event) {
    const keys = this.#resolveWaiting(event);
    const name = nameOf(event);
    const code = VIRTUAL_KEYS.get(event.code) ?? NAMED_KEYS.get(event.key);
    const down = event.type === "keydown";
    if (code === undefined) {
      return { keys, text: down && !event.code && types(event) ? event.key : "", command: null };
    }
    if (event.repeat) return { keys, text: "", command: null };
    if (down && this.#pastes(event)) return { keys, text: "", command: null };
    if (down && this.#windows && event.code === "ControlLeft" && !this.#down.has(name)) {
      this.#waiting = event;
      return { keys, text: "", command: null };
    }
    if (down) this.#press(event, name, code, keys);
    else this.#lift(event, name, code, keys);
    return { keys, text: "", command: this.#finished() };
  }

  /** Whether the event is the repetition or the end of a key that is down. */
  continues(event) {
    const down = this.#down.has(nameOf(event)) || this.#waiting?.code === event.code;
    return down && (event.repeat || event.type === "keyup");
  }

  /** Whether `handleTimeout` is to be called when nothing else comes. */
  get waits() {
    return this.#waiting !== null;
  }

  /** It was a Ctrl of its own. */
  handleTimeout() {
    return this.#resolveWaiting(null);
  }

  /** Nothing is down any more. */
  clear() {
    this.#down.clear();
    this.#waiting = null;
    this.#command = null;
  }

  #press(event, name, code, keys) {
    // Its end was lost.
    if (this.#down.delete(name)) keys.push(this.#key(event, code, false));
    // macOS says only when it goes on (down) and off (up), not how long it is held.
    if (this.#mac && event.code === "CapsLock") return this.#tap(event, code, keys);
    this.#down.set(name, code);
    keys.push(this.#key(event, code, true));
    if (!isModifier(code)) this.#command = null;
    else if (this.#holds(...CTRL) && this.#holds(...ALT) && this.#holds(...SHIFT)) this.#command ??= "release";
  }

  #lift(event, name, code, keys) {
    if (this.#mac && event.code === "CapsLock") return this.#tap(event, code, keys);
    if (!this.#down.delete(name)) return;
    // While it is down, macOS says nothing of other keys' ends.
    if (this.#mac && META.includes(code)) this.#liftOthers(event, keys);
    keys.push(this.#key(event, code, false));
  }

  #liftOthers(event, keys) {
    for (const [name, code] of this.#down) {
      if (isModifier(code)) continue;
      this.#down.delete(name);
      keys.push(this.#key(event, code, false));
    }
  }

  #tap(event, code, keys) {
    keys.push(this.#key(event, code, true), this.#key(event, code, false));
  }

  /** V while Ctrl, Alt and Shift are down, and nothing else was: no key of the host's. */
  #pastes(event) {
    if (event.code !== "KeyV" || this.#command === null) return false;
    this.#command = "paste";
    return true;
  }

  #finished() {
    if (this.#command === null || this.#holds(...CTRL, ...ALT, ...SHIFT)) return null;
    const command = this.#command;
    this.#command = null;
    return command;
  }

  /** AltGr on Windows is a Ctrl and an Alt: the Ctrl is dropped. */
  #resolveWaiting(next) {
    const event = this.#waiting;
    if (event === null) return [];
    this.#waiting = null;
    const keys = [];
    const altGraph = next?.type === "keydown" && next.code === "AltRight" && next.key === "AltGraph";
    if (!altGraph) this.#press(event, event.code, VIRTUAL_KEYS.get(event.code), keys);
    return keys;
  }

  #key(event, code, down) {
    return { code, down, modifiers: this.#modifiers(event, code), locks: LOCK_KEYS.includes(code) ? null : this.#locks(event) };
  }

  /**
   * What the system says, but for the key's own modifier: browsers disagree whether it counts already. While AltGr is down
   * systems call it Ctrl and Alt, Alt, or neither; here it is the right Alt.
   */
  #modifiers(event, code) {
    const altGraph = event.getModifierState("AltGraph") || this.#down.has("AltRight");
    const held = (modifier, says, own) => {
      const counts = own.includes(code) || (altGraph && (own === ALT || own === CTRL)) ? this.#holds(...own) : says;
      return counts ? modifier : 0;
    };
    return (
      held(Modifier.shift, event.shiftKey, SHIFT) |
      held(Modifier.ctrl, event.ctrlKey, CTRL) |
      held(Modifier.alt, event.altKey, ALT) |
      held(Modifier.meta, event.metaKey, META)
    );
  }

  /** Apple's keyboards have no Num Lock: their number pad always types numbers. */
  #locks(event) {
    const on = (name, lock) => (event.getModifierState(name) ? lock : 0);
    return on("CapsLock", Lock.caps) | (this.#mac ? Lock.num : on("NumLock", Lock.num)) | on("ScrollLock", Lock.scroll);
  }

  #holds(...codes) {
    return [...this.#down.values()].some((code) => codes.includes(code));
  }
}

/** What tells a key that is down from others. */
function nameOf({ code, key }) {
  return code || key;
}

/** Whether the key stands for a character, as it is. */
function types({ key, ctrlKey, metaKey }) {
  return [...key].length === 1 && !ctrlKey && !metaKey;
}

/** Presses the keys in order and lifts them again, the last first. Pure. */
export function chord(...codes) {
  const keys = [];
  let modifiers = 0;
  const add = (code, down) => {
    const own = [[SHIFT, Modifier.shift], [CTRL, Modifier.ctrl], [ALT, Modifier.alt], [META, Modifier.meta]];
    const bit = own.find(([codes]) => codes.includes(code))?.[1] ?? 0;
    modifiers = down ? modifiers | bit : modifiers & ~bit;
    keys.push({ code, down, modifiers, locks: null });
  };
  for (const code of codes) add(code, true);
  for (const code of codes.toReversed()) add(code, false);
  return keys;
}

/** Which system's oddities are to be expected: `{ mac, windows }`. */
function platform() {
  const name = navigator.userAgentData?.platform ?? navigator.platform ?? "";
  return { mac: /^(mac|iphone|ipad|ipod)/i.test(name), windows: /^win/i.test(name) };
}

/** The keys that are sent by name. */
export const Key = {
  backspace: 0x08, tab: 0x09, enter: 0x0d, escape: 0x1b, delete: 0x2e,
  leftMeta: 0x5b, leftShift: 0xa0, leftCtrl: 0xa2, leftAlt: 0xa4,
};

const SHIFT = [0xa0, 0xa1];
const CTRL = [0xa2, 0xa3];
const ALT = [0xa4, 0xa5];
const META = [0x5b, 0x5c];
/** Caps, Num and Scroll Lock: whether their own event tells the state before or after it differs by system. */
const LOCK_KEYS = [0x14, 0x90, 0x91];

function isModifier(code) {
  return [SHIFT, CTRL, ALT, META].some((codes) => codes.includes(code));
}

/**
 * KeyboardEvent.code (https://www.w3.org/TR/uievents-code/) to Windows virtual-key codes
 * (https://learn.microsoft.com/windows/win32/inputdev/virtual-key-codes), by their places on a US keyboard.
 */
export const VIRTUAL_KEYS = new Map([
  ...[..."ABCDEFGHIJKLMNOPQRSTUVWXYZ"].map((letter, n) => [`Key${letter}`, 0x41 + n]),
  ...Array.from({ length: 10 }, (_, n) => [`Digit${n}`, 0x30 + n]),
  ...Array.from({ length: 10 }, (_, n) => [`Numpad${n}`, 0x60 + n]),
  ...Array.from({ length: 24 }, (_, n) => [`F${n + 1}`, 0x70 + n]),
  ...Object.entries({
    Backspace: 0x08, Tab: 0x09, Enter: 0x0d, Pause: 0x13, CapsLock: 0x14, Escape: 0x1b, Space: 0x20,
    PageUp: 0x21, PageDown: 0x22, End: 0x23, Home: 0x24, ArrowLeft: 0x25, ArrowUp: 0x26, ArrowRight: 0x27, ArrowDown: 0x28,
    PrintScreen: 0x2c, Insert: 0x2d, Delete: 0x2e, Help: 0x2f, Sleep: 0x5f, ContextMenu: 0x5d,
    MetaLeft: 0x5b, MetaRight: 0x5c, OSLeft: 0x5b, OSRight: 0x5c,
    ShiftLeft: 0xa0, ShiftRight: 0xa1, ControlLeft: 0xa2, ControlRight: 0xa3, AltLeft: 0xa4, AltRight: 0xa5,
    NumLock: 0x90, ScrollLock: 0x91,
    NumpadMultiply: 0x6a, NumpadAdd: 0x6b, NumpadComma: 0xc2, NumpadSubtract: 0x6d, NumpadDecimal: 0x6e, NumpadDivide: 0x6f,
    NumpadEnter: 0x0d, NumpadEqual: 0xbb,
    Semicolon: 0xba, Equal: 0xbb, Comma: 0xbc, Minus: 0xbd, Period: 0xbe, Slash: 0xbf, Backquote: 0xc0,
    BracketLeft: 0xdb, Backslash: 0xdc, BracketRight: 0xdd, Quote: 0xde, IntlBackslash: 0xe2, IntlRo: 0xe2, IntlYen: 0xdc,
    KanaMode: 0x15, Lang1: 0x15, Lang2: 0x19, Convert: 0x1c, NonConvert: 0x1d,
    BrowserBack: 0xa6, BrowserForward: 0xa7, BrowserRefresh: 0xa8, BrowserStop: 0xa9, BrowserSearch: 0xaa,
    BrowserFavorites: 0xab, BrowserHome: 0xac,
    AudioVolumeMute: 0xad, AudioVolumeDown: 0xae, AudioVolumeUp: 0xaf,
    VolumeMute: 0xad, VolumeDown: 0xae, VolumeUp: 0xaf,
    MediaTrackNext: 0xb0, MediaTrackPrevious: 0xb1, MediaStop: 0xb2, MediaPlayPause: 0xb3,
    LaunchMail: 0xb4, MediaSelect: 0xb5, LaunchApp1: 0xb6, LaunchApp2: 0xb7,
  }),
]);

/** Keys of soft keyboards, which have a name and no place. */
const NAMED_KEYS = new Map(
  ["Backspace", "Tab", "Enter", "Escape", "PageUp", "PageDown", "End", "Home", "ArrowLeft", "ArrowUp", "ArrowRight", "ArrowDown", "Insert", "Delete"]
    .map((name) => [name, VIRTUAL_KEYS.get(name)]),
);
