const { chord, KeyTranslator, VIRTUAL_KEYS } = await import("/assets/keyboard.js");

/** As the browser tells it; `states` are the modifiers and locks that are on. */
function event(type, code, { key = code.at(-1).toLowerCase(), repeat = false, states = [] } = {}) {
  return {
    type, code, key, repeat,
    shiftKey: states.includes("Shift"), ctrlKey: states.includes("Control"), altKey: states.includes("Alt"), metaKey: states.includes("Meta"),
    getModifierState: (name) => states.includes(name),
  };
}

/** What comes of events, in short: `+41`, `-41`, with modifiers and locks where they are asked for. */
function typist(platform = {}) {
  const translator = new KeyTranslator(platform);
  const short = ({ code, down }) => `${down ? "+" : "-"}${code.toString(16)}`;
  const handle = (type) => (code, more) => translator.handle(event(type, code, more));
  const [down, up] = [handle("keydown"), handle("keyup")];
  const keys = (result) => result.keys.map(short).join(" ");
  return { translator, down, up, keys, short, d: (...of) => keys(down(...of)), u: (...of) => keys(up(...of)) };
}

test("keys are told by their place", () => {
  const expected = {
    KeyA: 0x41, KeyZ: 0x5a, Digit0: 0x30, Numpad9: 0x69, F1: 0x70, F24: 0x87, ShiftRight: 0xa1, MetaLeft: 0x5b,
    Enter: 0x0d, NumpadEnter: 0x0d, IntlBackslash: 0xe2, Backquote: 0xc0, ArrowDown: 0x28, Delete: 0x2e,
  };
  equal(Object.keys(expected).map((code) => VIRTUAL_KEYS.get(code)), Object.values(expected));
  equal([...VIRTUAL_KEYS.values()].every((code) => Number.isInteger(code) && code > 0 && code < 0xff), true);
  const { d, u } = typist();
  // A German Z is on the place of the Y.
  equal([d("KeyY", { key: "z" }), u("KeyY", { key: "z" })], ["+59", "-59"]);
});

test("repeats are left out, and what was not pressed here is not lifted", () => {
  const { d, u } = typist();
  equal([d("KeyA"), d("KeyA", { repeat: true }), u("KeyA"), u("KeyA"), u("Enter")], ["+41", "", "-41", "", ""]);
});

test("a key that goes down twice was lifted in between", () => {
  const { d } = typist();
  equal([d("KeyA"), d("KeyA")], ["+41", "-41 +41"]);
});

test("the modifiers that are told include the key's own, whatever the browser says", () => {
  const { down, up } = typist();
  const modifiers = (result) => result.keys.map(({ modifiers }) => modifiers);
  equal(modifiers(down("ShiftLeft")), [1]);
  equal(modifiers(down("ControlRight", { states: ["Shift"] })), [3]);
  equal(modifiers(down("KeyA", { states: ["Shift", "Control"] })), [3]);
  equal(modifiers(up("ShiftLeft", { states: ["Shift", "Control"] })), [2]);
  // Of others the browser knows more: their ends may be lost.
  equal(modifiers(down("KeyB", { states: ["Meta"] })), [8]);
});

test("lock keys that are on are told, but not by themselves", () => {
  const { down } = typist();
  const locks = (...of) => down(...of).keys[0].locks;
  equal(locks("KeyA", { states: ["CapsLock", "ScrollLock"] }), 5);
  equal(locks("KeyB", { states: ["NumLock"] }), 2);
  equal(["CapsLock", "NumLock", "ScrollLock"].map((code) => locks(code, { states: ["CapsLock"] })), [null, null, null]);
});

test("macOS: keys that were down with Command end with it", () => {
  const { d, u } = typist({ mac: true });
  equal([d("MetaLeft"), d("ShiftLeft"), d("KeyC"), d("KeyV")], ["+5b", "+a0", "+43", "+56"]);
  equal([u("MetaLeft"), u("ShiftLeft"), u("KeyC")], ["-43 -56 -5b", "-a0", ""]);
  const windows = typist({ windows: true });
  windows.d("MetaLeft");
  windows.d("KeyC");
  equal(windows.u("MetaLeft"), "-5b");
});

test("macOS: Caps Lock is tapped when it goes on and when it goes off, and Num Lock is on", () => {
  const { d, u, down } = typist({ mac: true });
  equal([d("CapsLock"), u("CapsLock")], ["+14 -14", "+14 -14"]);
  equal(down("Numpad1").keys[0].locks, 2);
});

test("Windows: the Ctrl that comes with AltGr is left out", () => {
  const { translator, d, u, down } = typist({ windows: true });
  equal([d("ControlLeft", { key: "Control" }), translator.waits], ["", true]);
  const altGraph = down("AltRight", { key: "AltGraph", states: ["AltGraph", "Control", "Alt"] });
  equal(altGraph.keys, [{ code: 0xa5, down: true, modifiers: 4, locks: 0 }]);
  const at = down("KeyQ", { key: "@", states: ["AltGraph", "Control", "Alt"] });
  equal(at.keys.map(({ modifiers }) => modifiers), [4]);
  equal([u("ControlLeft"), u("AltRight", { key: "AltGraph" })], ["", "-a5"]);
});

test("Windows: a Ctrl of its own goes out after a moment, or before the next key", () => {
  const { translator, d, u, short } = typist({ windows: true });
  d("ControlLeft");
  equal(translator.handleTimeout().map(short), ["+a2"]);
  equal([translator.waits, u("ControlLeft")], [false, "-a2"]);
  d("ControlLeft");
  equal(d("KeyC", { states: ["Control"] }), "+a2 +43");
  u("ControlLeft");
  d("ControlLeft");
  equal(u("ControlLeft"), "+a2 -a2");
  d("ControlLeft");
  // Not AltGr, but Alt: another layout.
  equal(d("AltRight", { key: "Alt", states: ["Control", "Alt"] }), "+a2 +a5");
});

test("elsewhere AltGr is the right Alt too, though the system says no Alt", () => {
  const { down } = typist();
  equal(down("AltRight", { key: "AltGraph" }).keys[0].modifiers, 4);
  equal(down("KeyQ", { key: "@", states: ["AltGraph"] }).keys[0].modifiers, 4);
});

test("Ctrl, Alt and Shift together, and nothing else, give the keyboard back once they are up", () => {
  const { down, up } = typist();
  const all = ["ControlLeft", "AltLeft", "ShiftLeft"];
  equal(all.map((code) => down(code).command), [null, null, null]);
  equal(all.map((code) => up(code).command), [null, null, "release"]);
  all.forEach((code) => down(code));
  down("Delete");
  up("Delete");
  equal(all.map((code) => up(code).command), [null, null, null]);
  ["ControlLeft", "AltLeft"].forEach((code) => down(code));
  equal([up("AltLeft").command, up("ControlLeft").command], [null, null]);
});

test("V with them pastes, and is no key of the host's", () => {
  const { down, up, keys } = typist();
  const all = ["ControlLeft", "AltLeft", "ShiftLeft"];
  all.forEach((code) => down(code));
  equal([keys(down("KeyV")), keys(down("KeyV", { repeat: true })), keys(up("KeyV"))], ["", "", ""]);
  equal(all.map((code) => up(code).command), [null, null, "paste"]);
  equal(keys(down("KeyV")), "+56");
});

test("a key that is down goes on until its end", () => {
  const { translator, down, up } = typist();
  const continues = (type, code, more) => translator.continues(event(type, code, more));
  equal([continues("keydown", "KeyC"), continues("keyup", "KeyC")], [false, false]);
  down("KeyC", { states: ["Control"] });
  equal([continues("keydown", "KeyC"), continues("keydown", "KeyC", { repeat: true }), continues("keyup", "KeyC")], [false, true, true]);
  up("KeyC");
  equal(continues("keyup", "KeyC"), false);
  const windows = typist({ windows: true });
  windows.down("ControlLeft");
  equal(windows.translator.continues(event("keyup", "ControlLeft")), true);
});

test("after everything was let go, nothing of before counts", () => {
  const { translator, down, up, keys } = typist();
  ["ControlLeft", "AltLeft", "ShiftLeft", "KeyA"].forEach((code) => down(code));
  translator.clear();
  equal([keys(up("KeyA")), up("ShiftLeft").command, keys(down("KeyA", { repeat: true }))], ["", null, ""]);
});

test("keys without a place are told by name, or type their text", () => {
  const { translator } = typist();
  const handle = (type, key, states) => translator.handle({ ...event(type, "", { key, states }) });
  equal(handle("keydown", "Enter").keys.map(({ code }) => code), [0x0d]);
  equal(handle("keyup", "Enter").keys.map(({ code, down }) => [code, down]), [[0x0d, false]]);
  equal([handle("keydown", "ü").text, handle("keyup", "ü").text, handle("keydown", "Unidentified").text], ["ü", "", ""]);
  equal(handle("keydown", "c", ["Control"]).text, "");
});

test("a chord is pressed in order and lifted the other way round, with its modifiers", () => {
  equal(
    chord(0xa2, 0xa4, 0x2e).map(({ code, down, modifiers }) => [code, down, modifiers]),
    [[0xa2, true, 2], [0xa4, true, 6], [0x2e, true, 6], [0x2e, false, 6], [0xa4, false, 2], [0xa2, false, 0]],
  );
});
