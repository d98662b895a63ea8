// The devices with a stand-in for their channels, and with the browser's own events.

const { Cursors } = await import("/assets/cursors.js");
const { Gamepads } = await import("/assets/gamepads.js");
const { Input } = await import("/assets/input.js");
const { Pen } = await import("/assets/pen.js");
const { Pointer } = await import("/assets/pointer.js");
const { Touch } = await import("/assets/touch.js");

const EVERYTHING = { keyboard: true, pointer: true, touch: true, pen: true, gamepad: true, text: true };
const MESSAGE = { 3: "button", 4: "scroll", 5: "pointer", 6: "touch", 7: "pen", 8: "connected", 9: "disconnected", 10: "gamepad", 11: "sensor", 13: "held", 14: "release" };

/** Where the browser has both, the page takes the finer one. */
const MOVES = "onpointerrawupdate" in document.body ? "pointerrawupdate" : "pointermove";

/** An `Input` whose channels write down what is sent on them: `[channel, message, bytes behind the kind]`. */
function sender(status = {}) {
  const sent = [];
  const channel = (name) => Object.assign(new EventTarget(), {
    readyState: "open",
    bufferedAmount: 0,
    send: (bytes) => sent.push([name, MESSAGE[bytes[4]], [...bytes.slice(5)]]),
  });
  const input = new Input({ setInterval: () => 1, clearInterval() {}, setTimeout: () => 1, clearTimeout() {} });
  input.open({ input: channel("input"), motion: channel("motion") });
  input.handleStatus({ mode: "shared", takes: true, touch: true, gamepad_sensors: true, rights: EVERYTHING, ...status });
  return { input, sent, take: () => sent.splice(0), names: () => sent.splice(0).map(([channel, message]) => `${channel}: ${message}`) };
}

/** A picture of 200 by 100 at 10, 20 with bars of 50 above and below. */
function stage() {
  const picture = document.createElement("div");
  const video = document.createElement("video");
  picture.style.cssText = "position: fixed; left: 10px; top: 20px; width: 200px; height: 200px";
  video.style.cssText = "width: 200px; height: 200px; object-fit: contain; display: block";
  Object.defineProperties(video, { videoWidth: { value: 1000 }, videoHeight: { value: 500 } });
  picture.append(video);
  document.body.append(picture);
  const fire = (pointerType) => (type, clientX, clientY, more = {}) => {
    const event = new PointerEvent(type, { bubbles: true, cancelable: true, pointerId: 7, pointerType, clientX, clientY, ...more });
    video.dispatchEvent(event);
    return event;
  };
  return { picture, video, finger: fire("touch"), tip: fire("pen"), mouse: fire("mouse") };
}

// Touch.

test("fingers are contacts of the host's own touch while the person is in control, and the page's else", () => {
  const { input, take } = sender();
  const { picture, video, finger } = stage();
  new Touch(input, new Pointer(picture, video, input), video.parentNode, video);
  equal([finger("pointerdown", 110, 120).defaultPrevented, take()], [false, []]);
  input.engaged = true;
  equal(finger("pointerdown", 110, 120, { pressure: 1, width: 20, height: 10 }).defaultPrevented, true);
  const [contact, middle] = [[0, 0, 0, 7], [0x80, 0, 0x80, 0]];
  equal(take(), [["input", "touch", [1, ...contact, ...middle, 0xff, 0xff, 0xff, 0xff, 0x19, 0x9a, 0x0c, 0xcd]]]);
  finger("pointermove", 60, 95);
  finger("pointerup", 10, 70);
  equal(take().map(([channel, , bytes]) => [channel, ...bytes.slice(0, 9)]), [
    ["motion", 2, ...contact, 0x40, 0, 0x40, 0],
    ["input", 3, ...contact, 0, 0, 0, 0],
  ]);
  equal(input.held.others, []);
});

test("a finger that comes down beside the picture touches nothing", () => {
  const { input, take } = sender();
  const { picture, video, finger } = stage();
  new Touch(input, new Pointer(picture, video, input), picture, video);
  input.engaged = true;
  finger("pointerdown", 110, 30);
  finger("pointermove", 110, 120);
  finger("pointerup", 110, 120);
  equal(take(), []);
});

test("contacts are cancelled when the person gives control back", () => {
  const { input, names } = sender();
  const { picture, video, finger } = stage();
  new Touch(input, new Pointer(picture, video, input), picture, video);
  input.engaged = true;
  finger("pointerdown", 110, 120);
  equal(input.held.others, ["touch"]);
  input.engaged = false;
  equal(names(), ["input: touch", "input: release"]);
  input.engaged = true;
  finger("pointermove", 110, 121);
  equal(names(), []);
});

test("contacts are cancelled when they become a mouse's", () => {
  const { input, take } = sender();
  const { picture, video, finger } = stage();
  new Touch(input, new Pointer(picture, video, input), picture, video);
  input.engaged = true;
  finger("pointerdown", 110, 120);
  take();
  input.handleStatus({ ...input.status, touch: false });
  equal([take().map(([channel, message, [phase]]) => [channel, message, phase]), input.held.others], [[["input", "touch", 4]], []]);
});

test("a host without touch has its pointer moved and clicked", () => {
  const { input, take } = sender({ touch: false });
  const { picture, video, finger } = stage();
  new Touch(input, new Pointer(picture, video, input), picture, video);
  input.engaged = true;
  finger("pointerdown", 110, 120);
  finger("pointerup", 110, 120);
  const middle = [1, 0x80, 0, 0x80, 0];
  equal(take(), [["motion", "pointer", middle], ["input", "button", [1, 1, ...middle]], ["input", "button", [1, 0, ...middle]]]);
});

test("the choice of a trackpad is remembered, and moves the pointer by what the fingers do", () => {
  const { input, take } = sender();
  const { picture, video, finger } = stage();
  const touch = new Touch(input, new Pointer(picture, video, input), picture, video);
  input.engaged = true;
  equal(touch.mode, "direct");
  touch.mode = "trackpad";
  finger("pointerdown", 110, 30);
  finger("pointermove", 130, 30);
  const [[channel, message, [place]]] = take();
  equal([channel, message, place], ["motion", "pointer", 2]);
  finger("pointercancel", 130, 30);
  equal(new Touch(input, new Pointer(picture, video, input), picture, video).mode, "trackpad");
  touch.mode = "direct";
});

test("a viewer that may use neither touch nor the mouse touches nothing", () => {
  const { input, take } = sender({ rights: { ...EVERYTHING, touch: false, pointer: false } });
  const { picture, video, finger } = stage();
  new Touch(input, new Pointer(picture, video, input), picture, video);
  input.engaged = true;
  finger("pointerdown", 110, 120);
  equal(take(), []);
});

// The mouse, locked.

// So a press may overtake moves on the other channel, or be overtaken: it never takes the pointer back to where it was locked.
test("a press in a locked pointer carries the movement so far, also before the first move", () => {
  const { input, take } = sender();
  const { picture, video, mouse } = stage();
  let locked = null;
  Object.defineProperty(document, "pointerLockElement", { get: () => locked, configurable: true });
  const lock = (element) => {
    locked = element;
    document.dispatchEvent(new Event("pointerlockchange"));
  };
  new Pointer(picture, video, input);
  input.engaged = true;
  const totalsOf = ([, , bytes]) => {
    const view = new DataView(new Uint8Array(bytes.slice(-8)).buffer);
    equal(bytes.at(-9), 2);
    return [view.getInt32(0), view.getInt32(4)];
  };
  mouse(MOVES, 60, 95);
  equal(take().map(([channel, message, [kind]]) => [channel, message, kind]), [["motion", "pointer", 1]]);

  lock(picture);
  mouse("pointerdown", 60, 95, { button: 0, buttons: 1 });
  mouse(MOVES, 60, 95, { buttons: 1, movementX: 7, movementY: -3 });
  mouse("pointerup", 60, 95, { button: 0, buttons: 0 });
  const said = take();
  equal(said.map(([channel, message, bytes]) => [channel, message, ...(message === "button" ? bytes.slice(0, 2) : [])]), [["input", "button", 1, 1], ["motion", "pointer"], ["input", "button", 1, 0]]);
  equal(said.map(totalsOf), [[0, 0], [7, -3], [7, -3]]);

  // Locked again, it is where the movement ended, not where it was locked at first.
  lock(null);
  mouse(MOVES, 110, 120);
  lock(picture);
  take();
  mouse("pointerdown", 110, 120, { button: 0, buttons: 1 });
  mouse(MOVES, 110, 120, { buttons: 1, movementX: 1, movementY: 1 });
  equal(take().map(totalsOf), [[7, -3], [8, -2]]);
  lock(null);
  delete document.pointerLockElement;
});

// Pens.

test("a pen hovers, presses, leans and leaves", () => {
  const { input, take } = sender();
  const { picture, video, tip } = stage();
  new Pen(input, new Pointer(picture, video, input), picture, video);
  input.engaged = true;
  tip("pointermove", 110, 120);
  tip("pointerdown", 110, 120, { buttons: 1, pressure: 0.5, tiltX: 45 });
  tip("pointerup", 110, 120);
  tip("pointerleave", 110, 120);
  const middle = [0x80, 0, 0x80, 0];
  const said = take();
  equal(said.map(([channel, message, [phase]]) => [channel, message, phase]), [["motion", "pen", 0], ["input", "pen", 1], ["input", "pen", 3], ["input", "pen", 5]]);
  equal(said[1][2], [1, 1, 0, ...middle, 0x80, 0, 0, 90, 45]);
  equal(input.held.others, []);
});

test("where the host knows no pens, the tip is the left mouse button and with the barrel's the right one", () => {
  const { input, take } = sender({ touch: false });
  const { picture, video, tip } = stage();
  new Pen(input, new Pointer(picture, video, input), picture, video);
  input.engaged = true;
  tip("pointerdown", 110, 120, { buttons: 1, pressure: 0.5 });
  tip("pointerup", 110, 120);
  tip("pointerdown", 110, 120, { buttons: 2, pressure: 0.5 });
  tip("pointerup", 110, 120);
  const buttons = take().filter(([, message]) => message === "button").map(([, , [button, down]]) => [button, down]);
  equal(buttons, [[1, 1], [1, 0], [3, 1], [3, 0]]);
});

// Gamepads.

const played = [];
const actuator = { effects: ["dual-rumble"], playEffect: async (type, { strongMagnitude }) => played.push([type, strongMagnitude]), reset: async () => played.push("stop") };
const light = { setColor: async (colour) => played.push(colour) };
let there = [];

function pad(index, pressed = [], more = {}) {
  const buttons = Array.from({ length: 17 }, (_, i) => ({ pressed: pressed.includes(i), value: pressed.includes(i) ? 1 : 0 }));
  return { id: "Xbox Wireless Controller", index, connected: true, mapping: "standard", buttons, axes: [0, 0, 0, 0], vibrationActuator: actuator, ...more };
}

/** What the browser has from now on; the page looks at once. */
function has(...gamepads) {
  there = gamepads;
  dispatchEvent(new Event("gamepadconnected"));
}

const { getGamepads } = navigator;
const { hasFocus } = document;
navigator.getGamepads = () => there;
document.hasFocus = () => true;

test("a gamepad is plugged in, pressed, let go and unplugged at the host", () => {
  const { input, take, names } = sender();
  let shown = null;
  new Gamepads(input, (gamepads) => (shown = gamepads));
  has(null, pad(1));
  equal([take(), shown], [[["input", "connected", [1, 1, 0, 3, 0, 0, 0xf7, 0xff]]], [{ name: "Xbox Wireless Controller", usable: true }]]);
  has(null, pad(1, [0, 7]));
  equal(take(), [["input", "gamepad", [1, 0, 0, 0x10, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0, 0]]]);
  equal(input.held.others, ["gamepad 1"]);
  has(null, pad(1, [0, 7], { axes: [1, 0, 0, 0] }));
  equal(names(), ["motion: gamepad"]);
  has(null, pad(1));
  equal([names(), input.held.others], [["input: gamepad"], []]);
  has();
  equal([take(), shown], [[["input", "disconnected", [1]]], []]);
});

test("a gamepad that is unplugged while it is pressed is no longer held", () => {
  const { input } = sender();
  new Gamepads(input, () => {});
  has(pad(2, [3]));
  equal(input.held.others, ["gamepad 2"]);
  has();
  equal(input.held.others, []);
});

test("what is still pressed after everything was let go is sent again", () => {
  const { input, names } = sender();
  new Gamepads(input, () => {});
  has(pad(0, [0]));
  names();
  input.releaseAll();
  has(pad(0, [0]));
  equal([names(), input.held.others], [["input: release", "input: gamepad"], ["gamepad 0"]]);
  has();
});

test("a gamepad rests while another window has the focus, and goes on when this one has it", () => {
  const { input, names, take } = sender();
  new Gamepads(input, () => {});
  has(pad(0, [0]));
  names();
  document.hasFocus = () => false;
  dispatchEvent(new Event("blur"));
  equal(take(), [["input", "gamepad", Array(15).fill(0)]]);
  document.hasFocus = () => true;
  dispatchEvent(new Event("focus"));
  equal(names(), ["input: gamepad"]);
  has();
});

test("gamepads are plugged in anew on another connection and when the right comes back", () => {
  const { input, names } = sender();
  new Gamepads(input, () => {});
  has(pad(0));
  names();
  const status = input.status;
  input.handleStatus({ ...status, rights: { ...EVERYTHING, gamepad: false } });
  equal(names(), ["input: disconnected"]);
  input.handleStatus(status);
  equal(names(), ["input: connected"]);
  input.close();
  const again = Object.assign(new EventTarget(), { readyState: "open", bufferedAmount: 0, sent: 0, send() { this.sent += 1; } });
  input.open({ input: again, motion: again });
  input.handleStatus(status);
  equal(again.sent, 1);
  has();
});

test("rumble and light reach the gamepad that they are for, and it stops when it is gone", () => {
  const { input } = sender();
  const gamepads = new Gamepads(input, () => {});
  has(pad(0, [], { vibrationActuator: null }), pad(1, [], { lightIndicators: [light] }));
  played.length = 0;
  gamepads.handleFeedback({ Rumble: { gamepad: 1, low: 65535, high: 0 } });
  gamepads.handleFeedback({ Rumble: { gamepad: 0, low: 65535, high: 0 } });
  gamepads.handleFeedback({ Rumble: { gamepad: 5, low: 65535, high: 0 } });
  gamepads.handleFeedback({ Led: { gamepad: 1, rgb: [1, 2, 3] } });
  equal(played, [["dual-rumble", 1], { red: 1, green: 2, blue: 3 }]);
  has();
  equal(played.at(-1), "stop");
});

test("a gyroscope is read when the host asks for it, in degrees", () => {
  const { input, take } = sender();
  const gamepads = new Gamepads(input, () => {});
  const moving = pad(0, [], { pose: { angularVelocity: [Math.PI, 0, 0] } });
  has(moving);
  take();
  gamepads.handleFeedback({ Motion: { gamepad: 0, sensor: "gyroscope", rate: 1 } });
  has(moving);
  const view = new DataView(new Uint8Array(take()[0][2]).buffer);
  equal([view.getUint8(1), view.getFloat32(2), view.getFloat32(6)], [2, 180, 0]);
  gamepads.handleFeedback({ Motion: { gamepad: 0, sensor: "gyroscope", rate: 0 } });
  equal(take(), []);
  has();
});

test("a gamepad that the browser does not understand is named, and left alone", () => {
  const { input, take } = sender();
  let shown = null;
  new Gamepads(input, (gamepads) => (shown = gamepads));
  has(pad(0, [1], { mapping: "" }));
  equal([take(), shown], [[], [{ name: "Xbox Wireless Controller", usable: false }]]);
  has();
});

test("a frame that may not ask for gamepads has none", () => {
  navigator.getGamepads = () => { throw new DOMException("denied", "SecurityError"); };
  let shown = null;
  new Gamepads(sender().input, (gamepads) => (shown = gamepads));
  equal(shown, null);
});

delete navigator.getGamepads;
delete document.hasFocus;
equal([navigator.getGamepads, document.hasFocus], [getGamepads, hasFocus]);

// Other people's pointers.

test("other people's pointers stand on the picture, whatever is beside it, with their names", () => {
  const { picture, video } = stage();
  const layer = document.createElement("div");
  layer.style.position = "absolute";
  picture.append(layer);
  const cursors = new Cursors(layer, picture, video);
  cursors.handleViewers([{ id: "a", name: "Ann" }, { id: "b", name: null }]);
  cursors.handlePointers([{ id: "a", x: 65535, y: 0 }, { id: "b", x: 32768, y: 65535 }]);
  equal([...layer.children].map((cursor) => cursor.textContent), ["Ann", "Guest"]);
  const style = document.createElement("style");
  style.textContent = ".cursor { position: absolute; width: 100%; height: 100%; }";
  layer.append(style);
  const corners = [...layer.querySelectorAll(".cursor")].map((cursor) => cursor.getBoundingClientRect()).map(({ x, y }) => [Math.round(x), Math.round(y)]);
  equal(corners, [[210, 70], [110, 170]]);
  cursors.handlePointers([{ id: "b", x: 0, y: 0 }]);
  equal([...layer.querySelectorAll(".cursor")].map((cursor) => cursor.textContent), ["Guest"]);
  cursors.clear();
  equal(layer.querySelectorAll(".cursor").length, 0);
});
