const message = await import("/assets/input_message.js");
const { Input } = await import("/assets/input.js");

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const { Phase, UNKNOWN_ROTATION, UNKNOWN_TILT } = message;

/** Builds what a vector says. */
const builders = {
  key: (said) => message.key(said),
  text: ({ text }) => message.text(text)[0],
  button: ({ place, ...said }) => message.button({ ...said, place: placeOf(place) }),
  scroll: ({ place, ...said }) => message.scroll({ ...said, place: placeOf(place) }),
  pointer: ({ place }) => message.pointer(placeOf(place)),
  touch: (said) => message.touch({ ...said, phase: Phase[said.phase], rotation: said.rotation ?? UNKNOWN_ROTATION }),
  pen: (said) =>
    message.pen({
      ...said,
      phase: Phase[said.phase],
      tool: message.PenTool[said.tool],
      rotation: said.rotation ?? UNKNOWN_ROTATION,
      tilt: said.tilt ?? UNKNOWN_TILT,
    }),
  gamepad_connected: ({ gamepad, type, ...said }) =>
    message.gamepadConnected({ index: gamepad, kind: { xbox: 1, playstation: 2 }[type], ...said }),
  gamepad_disconnected: ({ gamepad }) => message.gamepadDisconnected(gamepad),
  gamepad: ({ gamepad, buttons, ...said }) =>
    message.gamepad({
      index: gamepad,
      buttons,
      leftTrigger: said.left_trigger,
      rightTrigger: said.right_trigger,
      leftStick: [said.left_x, said.left_y],
      rightStick: [said.right_x, said.right_y],
    }),
  gamepad_motion: ({ gamepad, sensor, x, y, z }) =>
    message.gamepadMotion({ index: gamepad, sensor: message.Sensor[sensor], value: [x, y, z] }),
  gamepad_touch: ({ gamepad, phase, ...said }) => message.gamepadTouch({ index: gamepad, phase: Phase[phase], ...said }),
  held: ({ keys, buttons }) => message.held({ keys, buttons: [0, 1, 2, 3, 4, 5].filter((n) => buttons & (1 << n)) }),
  release_all: () => message.releaseAll(),
};

function placeOf(place) {
  return place && "total_x" in place ? { totalX: place.total_x, totalY: place.total_y } : place;
}

test("every vector of the layout is built to the same bytes", () => {
  const kinds = new Set();
  for (const { name, hex: bytes, message: { kind, sequence, ...said } } of VECTORS) {
    const built = message.number(builders[kind](said), sequence);
    if (hex(built) !== bytes) throw new Error(`${name}: ${hex(built)} is not ${bytes}`);
    kinds.add(kind);
  }
  equal([...kinds].sort(), Object.keys(builders).sort());
});

test("long text is cut between characters, and loses none", () => {
  const text = `a${"🙂".repeat(1500)}`;
  const messages = message.text(text);
  equal(messages.map(({ length }) => length - 5), [4093, 1908]);
  const decoder = new TextDecoder("utf-8", { fatal: true });
  equal(messages.map((bytes) => decoder.decode(bytes.subarray(5))).join(""), text);
  equal(message.text(""), []);
});

/** A channel that keeps what is sent on it. */
class Channel extends EventTarget {
  readyState = "open";
  bufferedAmount = 0;
  constructor(label, log) {
    super();
    this.label = label;
    this.log = log;
  }
  send(bytes) {
    if (this.readyState !== "open") throw new Error(`${this.label} is ${this.readyState}`);
    this.log.push([this.label, new DataView(bytes.buffer).getUint32(0), hex(bytes.subarray(4))]);
  }
  becomes(state) {
    this.readyState = state;
    this.dispatchEvent(new Event(state === "open" ? "open" : "close"));
  }
  drains() {
    this.bufferedAmount = 0;
    this.dispatchEvent(new Event("bufferedamountlow"));
  }
}

/** Timers that go off when the test says so. */
class Timers {
  intervals = new Map();
  timeouts = new Map();
  #next = 1;
  setInterval = (then, ms) => (this.intervals.set(this.#next, { then, ms }), this.#next++);
  clearInterval = (id) => this.intervals.delete(id);
  setTimeout = (then, ms) => (this.timeouts.set(this.#next, { then, ms }), this.#next++);
  clearTimeout = (id) => this.timeouts.delete(id);
  beat() {
    for (const { then } of [...this.intervals.values()]) then();
  }
  settle() {
    const due = [...this.timeouts.values()];
    this.timeouts.clear();
    for (const { then } of due) then();
  }
}

const ALL = { keyboard: true, pointer: true, touch: true, pen: true, gamepad: true, text: true };
const status = (changes = {}) => ({ mode: "shared", takes: true, touch: true, gamepad_sensors: true, rights: ALL, ...changes });

function opened() {
  const [timers, log, said] = [new Timers(), [], []];
  const channels = { input: new Channel("input", log), motion: new Channel("motion", log) };
  const input = new Input(timers);
  for (const type of ["open", "release", "drain"]) input.addEventListener(type, () => said.push(type));
  input.open(channels);
  input.handleStatus(status());
  input.engaged = true;
  const sent = () => log.splice(0).map(([label, , bytes]) => `${label} ${bytes}`);
  return { input, timers, log, said, channels, sent };
}

const press = (code, down = true) => ({ code, down, modifiers: 0, locks: null });
const at = (x) => message.pointer({ x, y: 0 });

test("one sequence counts the messages of both channels, anew in each connection", () => {
  const { input, log } = opened();
  input.key(press(0x41));
  input.move(at(1), "pointer");
  input.key(press(0x41, false));
  equal(log.map(([label, sequence]) => [label, sequence]), [["input", 0], ["motion", 1], ["input", 2]]);
  log.length = 0;
  input.open({ input: new Channel("input", log), motion: new Channel("motion", log) });
  input.key(press(0x42));
  equal(log, [["input", 0, "0101420000"]]);
});

test("nothing is sent before both channels are open, nor after one has closed", () => {
  const log = [];
  const channels = { input: new Channel("input", log), motion: new Channel("motion", log) };
  channels.input.readyState = channels.motion.readyState = "connecting";
  const input = new Input(new Timers());
  let opens = 0;
  input.addEventListener("open", () => (opens += 1));
  input.open(channels);
  input.handleStatus(status());
  input.engaged = true;
  channels.input.becomes("open");
  input.key(press(0x41));
  equal([input.takes("keyboard"), opens, log.length], [false, 0, 0]);
  channels.motion.becomes("open");
  equal([input.takes("keyboard"), opens], [true, 1]);
  input.key(press(0x41));
  channels.motion.becomes("closed");
  input.key(press(0x42));
  equal([input.takes("keyboard"), log.length, input.held.keys], [false, 1, []]);
});

test("an older connection's channels have no say any more", () => {
  const { input, channels, log, said } = opened();
  const newer = { input: new Channel("input", log), motion: new Channel("motion", log) };
  input.open(newer);
  input.handleStatus(status());
  said.length = 0;
  channels.motion.becomes("open");
  channels.input.drains();
  channels.input.becomes("closed");
  equal([input.takes("keyboard"), said], [true, []]);
});

test("while anything is held, a heartbeat says what", () => {
  const { input, timers, sent } = opened();
  equal(timers.intervals.size, 0);
  input.key(press(0x41));
  input.button({ button: 3, down: true });
  input.hold("touch", true);
  equal([...timers.intervals.values()].map(({ ms }) => ms), [250]);
  sent();
  timers.beat();
  equal(sent(), ["motion 0d0841"]);
  input.key(press(0x41, false));
  input.button({ button: 3, down: false });
  sent();
  timers.beat();
  equal(sent(), ["motion 0d00"]);
  input.hold("touch", false);
  equal(timers.intervals.size, 0);
});

test("letting go is said once, and only when something was held", () => {
  const { input, timers, said, sent } = opened();
  input.releaseAll();
  equal([sent(), said.splice(0)], [[], ["open", "release"]]);
  input.key(press(0x41));
  sent();
  input.releaseAll();
  input.releaseAll();
  equal([sent(), said, timers.intervals.size], [["input 0e"], ["release", "release"], 0]);
});

test("who gives control back, or loses the right, lets go", () => {
  const { input, sent } = opened();
  input.key(press(0x41));
  sent();
  input.engaged = false;
  equal([sent(), input.takes("keyboard"), input.may("keyboard")], [["input 0e"], false, true]);
  input.engaged = true;
  input.key(press(0x41));
  sent();
  input.handleStatus(status({ rights: { ...ALL, touch: false } }));
  equal([sent(), input.takes("touch"), input.takes("keyboard")], [["input 0e"], false, true]);
  input.key(press(0x41));
  sent();
  input.handleStatus(status({ mode: "view_only" }));
  equal([sent(), input.takes("keyboard")], [["input 0e"], false]);
});

test("nobody may act who was not told so, nor while the source takes nothing", () => {
  const { input } = opened();
  input.close();
  equal([input.may("keyboard"), input.status], [false, null]);
  const { input: other } = opened();
  other.handleStatus(status({ takes: false }));
  equal(other.may("keyboard"), false);
});

test("on a slow link only the newest move of each device waits", () => {
  const { input, channels, sent } = opened();
  channels.motion.bufferedAmount = 1000;
  for (let x = 1; x <= 1000; x += 1) input.move(at(x), "pointer");
  input.move(message.gamepadDisconnected(0), "gamepad 0");
  equal(sent(), []);
  channels.motion.drains();
  equal(sent(), ["motion 050103e80000", "motion 0900"]);
  channels.motion.drains();
  equal(sent(), []);
});

test("a move that finds room leaves no older one behind to follow it", () => {
  const { input, channels, timers, sent } = opened();
  channels.motion.bufferedAmount = 1000;
  input.move(at(1), "pointer");
  channels.motion.bufferedAmount = 100;
  input.move(at(2), "pointer");
  channels.motion.drains();
  timers.settle();
  equal(sent(), ["motion 050100020000", "motion 050100020000"]);
});

test("a click drops the older move that waits, and carries its own place", () => {
  const { input, channels, sent } = opened();
  channels.motion.bufferedAmount = 1000;
  input.move(at(1), "pointer");
  input.button({ button: 1, down: true, place: { x: 2, y: 0 } });
  channels.motion.drains();
  equal(sent(), ["input 0301010100020000"]);
});

test("the last of a movement is said once more, unless something newer was said", () => {
  const { input, timers, sent } = opened();
  input.move(at(1), "pointer");
  input.move(at(2), "pointer");
  equal([...timers.timeouts.values()].map(({ ms }) => ms), [100]);
  sent();
  timers.settle();
  equal([sent(), timers.timeouts.size], [["motion 050100020000"], 0]);
  const move = message.touch({ phase: Phase.move, contact: 0, x: 0, y: 0 });
  input.move(move, "touch 0");
  sent();
  timers.settle();
  equal(sent(), [`input ${hex(move.subarray(4))}`]);
  input.move(at(3), "pointer");
  input.button({ button: 1, down: true });
  equal(timers.timeouts.size, 0);
  input.move(at(4), "pointer");
  equal(timers.timeouts.size, 1);
  input.releaseAll();
  equal(timers.timeouts.size, 0);
});

test("there is room again once what must not be lost has left", () => {
  const { input, channels, said } = opened();
  channels.input.bufferedAmount = 5000;
  equal(input.congested, true);
  said.length = 0;
  channels.input.drains();
  equal([input.congested, said], [false, ["drain"]]);
});
