// Being in control: how the person takes it and gives it back, what it looks like, and the devices that act meanwhile.

import { Gamepads } from "./gamepads.js";
import { chord, Key, Keyboard } from "./keyboard.js";
import { Pen } from "./pen.js";
import { Pointer } from "./pointer.js";
import { MAX_PASTE, TextField } from "./text.js";
import { Touch } from "./touch.js";

const element = (id) => document.getElementById(id);

const WAY_OUT = "Ctrl, Alt and Shift together give the keyboard back.";
/** Phones and tablets: neither mouse nor keyboard is to be expected. */
const FINGERS_ALONE = matchMedia("(any-pointer: coarse) and (not (any-pointer: fine))");
/** Long enough to read it, and short enough not to be in the way. */
const TOLD_MS = 4_000;

export class Control {
  #input;
  #view;
  #panels;
  #announce;
  #picture = element("picture");
  #field = element("text-field");
  #pointer;
  #touch;
  #gamepads;
  #text;
  #viewers = null;
  #toldTimer = null;

  /** `announce` says something to screen readers. */
  constructor(input, view, video, panels, announce) {
    this.#input = input;
    this.#view = view;
    this.#panels = panels;
    this.#announce = announce;
    this.#pointer = new Pointer(this.#picture, video, input);
    this.#touch = new Touch(input, this.#pointer, this.#picture, video);
    new Pen(input, this.#pointer, this.#picture, video);
    this.#gamepads = new Gamepads(input, (gamepads) => showGamepads(gamepads));
    this.#text = new TextField(this.#field, input);
    new Keyboard([this.#picture, this.#field], input, {
      field: this.#field,
      run: (command) => (command === "paste" ? this.#paste() : this.release()),
      type: (text) => this.#text.type(text),
    });
    this.#listen();
    this.#listenToButtons();
    this.#show();
  }

  /** Whether what the person does goes to the host. */
  get active() {
    return this.#input.engaged && this.#mayAct;
  }

  /** Takes control, if there is any to take: the picture has the focus from here on. */
  take() {
    if (!this.#mayAct) return this.#tell(this.#saying.hint);
    if (!this.#input.engaged) this.#tell(`You are in control. ${FINGERS_ALONE.matches ? "Press “In control” to give it back." : WAY_OUT}`);
    this.#input.engaged = true;
    if (document.activeElement !== this.#field) this.#picture.focus({ preventScroll: true });
  }

  /** Gives it back; the keyboard is at the page's controls then. */
  release() {
    if (!this.#input.engaged) return;
    this.#leave();
    element("control").focus({ preventScroll: true });
  }

  /** Who is here: the body of `Viewers` on `events`. */
  handleViewers(viewers) {
    this.#viewers = viewers;
    this.#show();
  }

  /** What the host wants of one of this viewer's gamepads, as on `events`. */
  handleFeedback(feedback) {
    this.#gamepads.handleFeedback(feedback);
  }

  get #mayAct() {
    return ["keyboard", "pointer", "touch", "pen", "gamepad", "text"].some((name) => this.#input.may(name));
  }

  get #saying() {
    return sayingOf(this.#input.status, this.#input.engaged, this.#viewers, FINGERS_ALONE.matches);
  }

  #leave() {
    this.#input.engaged = false;
    if (this.#pointer.locked) document.exitPointerLock();
    this.#tell("You are no longer in control.");
  }

  /** Says it, and shows it over the picture for a moment. */
  #tell(text) {
    this.#announce(text);
    element("told").textContent = text;
    element("told").hidden = false;
    clearTimeout(this.#toldTimer);
    this.#toldTimer = setTimeout(() => (element("told").hidden = true), TOLD_MS);
  }

  #listen() {
    this.#picture.addEventListener("click", () => !this.#mayAct || this.#input.engaged || this.#view.panned || this.take());
    for (const holder of [this.#picture, this.#field]) {
      holder.addEventListener("focusout", (event) => this.#focusLeft(event));
    }
    // A click beside the picture leaves the focus, and so control, where it is.
    for (const part of document.querySelectorAll(".bar, .controls, .panel, .banner, .notice, #reveal")) {
      part.addEventListener("mousedown", (event) => this.#input.engaged && event.preventDefault());
    }
    addEventListener("blur", () => this.#input.releaseAll());
    addEventListener("pagehide", () => this.#input.releaseAll());
    document.addEventListener("visibilitychange", () => document.hidden && this.#input.releaseAll());
    document.addEventListener("fullscreenchange", () => this.#lockKeys());
    document.addEventListener("pointerlockchange", () => this.#show());
    document.addEventListener("paste", (event) => this.#pasted(event));
    this.#input.addEventListener("change", () => {
      this.#show();
      this.#lockKeys();
    });
  }

  #listenToButtons() {
    element("control").onclick = () => (this.#input.engaged ? this.release() : this.take());
    const screen = matchMedia("(any-pointer: coarse)");
    screen.onchange = () => (element("touch-mode").hidden = !screen.matches);
    screen.onchange();
    element("touch-mode").onclick = () => {
      this.#touch.mode = this.#touch.mode === "direct" ? "trackpad" : "direct";
      this.#show();
    };
    element("lock-pointer").hidden = !this.#picture.requestPointerLock || FINGERS_ALONE.matches;
    element("lock-pointer").onclick = () => this.#act(() => this.#pointer.toggleLock());
    element("soft-keyboard").onclick = () => this.#act(() => this.#toggleField());
    element("paste").onclick = () => this.#act(() => this.#paste());
    for (const [id, ...codes] of SPECIAL_KEYS) {
      element(id).onclick = () => this.#act(() => chord(...codes).forEach((key) => this.#input.key(key)));
    }
    element("paste-dialog").addEventListener("close", ({ target }) => {
      const { value } = element("paste-text");
      element("paste-text").value = "";
      this.#act(() => target.returnValue === "send" && this.#type(value));
    });
  }

  /** What a button does to the host; it is also a way to take control. */
  #act(then) {
    this.take();
    if (this.active) then();
    this.#show();
  }

  /** Another window's focus is none of this page's. */
  #focusLeft({ relatedTarget }) {
    if (!this.#input.engaged || relatedTarget === this.#picture || relatedTarget === this.#field) return;
    if (relatedTarget === null && !document.hasFocus()) return;
    this.#leave();
  }

  #toggleField() {
    const target = document.activeElement === this.#field ? this.#picture : this.#field;
    target.focus({ preventScroll: true });
    this.#panels.close();
  }

  /** In full screen Esc, Alt+Tab and the like are the host's too, where the browser lets go of them. */
  #lockKeys() {
    if (this.active && this.#view.fullscreen) navigator.keyboard?.lock?.().catch(() => {});
    else navigator.keyboard?.unlock?.();
  }

  /** Browsers that do not hand the clipboard out have it pasted into a field. */
  async #paste() {
    try {
      this.#type(await navigator.clipboard.readText());
    } catch {
      element("paste-dialog").returnValue = "";
      element("paste-dialog").showModal();
    }
  }

  #pasted(event) {
    if (!this.active || event.target.closest?.("dialog")) return;
    event.preventDefault();
    this.#type(event.clipboardData.getData("text/plain"));
  }

  #type(text) {
    const length = [...text].length;
    if (!this.#input.may("text")) this.#tell("You may not paste text.");
    else if (length > MAX_PASTE) this.#tell(`This is too long to paste: ${length} characters, ${MAX_PASTE} at most.`);
    else this.#text.type(text);
  }

  #show() {
    const { state, label, short, hint } = this.#saying;
    const button = element("control");
    button.hidden = state === "unknown";
    button.dataset.state = state;
    button.querySelector(".long").textContent = label;
    button.querySelector(".short").textContent = short;
    button.setAttribute("aria-label", label);
    button.setAttribute("aria-pressed", this.active);
    button.setAttribute("aria-disabled", !this.#mayAct);
    button.title = hint;
    element("keys").hidden = !this.#mayAct;
    element("soft-keyboard").hidden = !this.#input.may("text");
    if (!this.#mayAct && !element("input-panel").hidden) this.#panels.close();
    element("touch-mode").setAttribute("aria-pressed", this.#touch.mode === "trackpad");
    element("lock-pointer").setAttribute("aria-pressed", this.#pointer.locked);
    element("soft-keyboard").setAttribute("aria-pressed", document.activeElement === this.#field);
    for (const [name, ids] of Object.entries(NEEDS)) {
      for (const id of ids) element(id).disabled = !this.#input.may(name);
    }
    this.#view.controlled = this.active;
    if (this.active) this.#picture.setAttribute("role", "application");
    else this.#picture.removeAttribute("role");
  }
}

/**
 * What the pill says: `{ state, label, short, hint }`. Of `Input` and `Viewers`, each null when it is not known, and of
 * whether the person has fingers alone. Pure.
 */
export function sayingOf(status, engaged, viewers, fingers = false) {
  if (status === null) return { state: "unknown", label: "", short: "", hint: "" };
  const viewOnly = (hint) => ({ state: "view-only", label: "View only", short: "View only", hint });
  if (status.mode === "view_only") return viewOnly("Everybody only watches this stream.");
  if (!Object.values(status.rights).some((allowed) => allowed === true)) return viewOnly("You may watch, and not control.");
  if (!status.takes) return viewOnly("The host takes no input at the moment.");
  const turn = status.mode === "one_at_a_time" ? status.turn ?? null : null;
  if (turn !== null && turn !== viewers?.you) {
    const name = viewers?.viewers.find(({ id }) => id === turn)?.name || "Somebody else";
    return { state: "other", label: `${name} has the turn`, short: name, hint: `It is free again when ${name} pauses.` };
  }
  if (engaged) return { state: "control", label: "You are in control", short: "In control", hint: fingers ? "Give control back." : `Give control back. ${WAY_OUT}` };
  return { state: "free", label: "Control", short: "Control", hint: `Use this host's keyboard and mouse: press here, or ${fingers ? "tap" : "click into"} the picture.` };
}

function showGamepads(gamepads) {
  const names = gamepads.map(({ name, usable }) => (usable ? name : `${name} (this browser does not know its buttons)`));
  element("gamepads").textContent = names.length > 0 ? `Gamepads: ${names.join(", ")}` : "";
}

/** What the system keeps for itself when it is pressed. */
const SPECIAL_KEYS = [
  ["send-ctrl-alt-del", Key.leftCtrl, Key.leftAlt, Key.delete],
  ["send-alt-tab", Key.leftAlt, Key.tab],
  ["send-meta", Key.leftMeta],
  ["send-escape", Key.escape],
];

/** Buttons by the class of devices that they stand for. */
const NEEDS = {
  keyboard: SPECIAL_KEYS.map(([id]) => id),
  pointer: ["lock-pointer"],
  text: ["paste"],
};
