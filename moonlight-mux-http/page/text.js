// Text for the host that is no keys: pasted, from a phone's keyboard, from an input method.

import * as message from "./input_message.js";
import { chord, Key } from "./keyboard.js";

/** The host types a character at a time. */
export const MAX_PASTE = 10_000;
/** The field holds something for Backspace to delete, and is emptied before it grows. */
const BLANK = "\u00a0".repeat(8);
const LONG = 256;

/** A field that nobody sees: while it has the focus, phones show their keyboard and input methods work. */
export class TextField {
  #field;
  #input;
  #before = BLANK;
  /** Whether what an input method is composing goes out letter by letter, as phones compose every word. */
  #live = matchMedia("(pointer: coarse)");

  constructor(field, input) {
    this.#field = field;
    this.#input = input;
    field.addEventListener("input", (event) => this.#edited(event));
    field.addEventListener("compositionend", () => this.#edited({ isComposing: false }));
    field.addEventListener("focus", () => this.#empty());
    field.addEventListener("blur", () => this.#empty());
    // The caret stays behind what is there.
    field.addEventListener("select", () => field.selectionStart !== field.value.length && this.#toEnd());
    this.#empty();
  }

  /** Sends text as the host can take it: lines and tabs by their keys. */
  type(text) {
    type(this.#input, piecesOf(text));
  }

  #edited({ isComposing }) {
    if (isComposing && !this.#live.matches) return;
    const { backspaces, text } = edit(this.#before, this.#field.value);
    this.#before = this.#field.value;
    type(this.#input, [...Array(backspaces).fill(Key.backspace), ...piecesOf(text)]);
    if (!isComposing && (this.#before.length > LONG || this.#before.length < BLANK.length)) this.#empty();
  }

  #empty() {
    this.#field.value = this.#before = BLANK;
    this.#toEnd();
  }

  #toEnd() {
    this.#field.setSelectionRange(this.#field.value.length, this.#field.value.length);
  }
}

function type(input, pieces) {
  for (const piece of pieces) {
    if (typeof piece === "number" && input.takes("keyboard")) chord(piece).forEach((key) => input.key(key));
    else if (input.takes("text")) message.text(AS_TEXT.get(piece) ?? piece).forEach((bytes) => input.send(bytes));
  }
}

/** Of keys, for those who may send text alone; nothing of Backspace. */
const AS_TEXT = new Map([[Key.enter, "\n"], [Key.tab, "\t"], [Key.backspace, ""]]);

/** Text in pieces: strings, and the keys that stand for line ends and tabs. Other control characters are left out. Pure. */
export function piecesOf(text) {
  const parts = text.replace(/\r\n?/g, "\n").split(/([\n\t])/);
  return parts.map(pieceOf).filter((piece) => piece !== "");
}

function pieceOf(part) {
  if (part === "\n") return Key.enter;
  if (part === "\t") return Key.tab;
  return part.replace(/\p{Cc}/gu, "");
}

/** How the one text becomes the other by deleting from its end and typing. Pure. */
export function edit(before, after) {
  const [old, now] = [[...before], [...after]];
  let same = 0;
  while (same < old.length && same < now.length && old[same] === now[same]) same += 1;
  return { backspaces: old.length - same, text: now.slice(same).join("") };
}
