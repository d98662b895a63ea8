const { Changes, infoOf, isUsable, kindOf, REST, Rumble, stateOf } = await import("/assets/gamepad_state.js");
const { nameOf } = await import("/assets/gamepads.js");

const XBOX_ID = "Xbox 360 Controller (XInput STANDARD GAMEPAD)";
const DUALSENSE_ID = "Wireless Controller (STANDARD GAMEPAD Vendor: 054c Product: 0ce6)";

/** A gamepad of the standard mapping. `pressed` are indices of buttons, `values` those of triggers by index. */
function pad({ id = XBOX_ID, pressed = [], values = {}, axes = [0, 0, 0, 0], count = 17, ...rest } = {}) {
  const buttons = Array.from({ length: count }, (_, i) => {
    const value = values[i] ?? (pressed.includes(i) ? 1 : 0);
    return { pressed: value > 0, value };
  });
  return { id, index: 0, connected: true, mapping: "standard", buttons, axes, vibrationActuator: null, ...rest };
}

test("a gamepad's maker is read from what each browser calls it", () => {
  const ids = [
    [DUALSENSE_ID, 2],
    ["054c-09cc-Sony Interactive Entertainment Wireless Controller", 2],
    ["Pro Controller (STANDARD GAMEPAD Vendor: 057e Product: 2009)", 3],
    ["57e-2009-Gamepad", 3],
    ["Valve Software Steam Deck Controller (Vendor: 28de Product: 1205)", 4],
    ["Xbox Wireless Controller (STANDARD GAMEPAD Vendor: 045e Product: 0b13)", 1],
    [XBOX_ID, 1],
    ["DualSense Wireless Controller Extended Gamepad", 2],
    ["Logitech Dual Action (STANDARD GAMEPAD Vendor: 046d Product: c216)", 0],
    ["", 0],
  ];
  equal(ids.map(([id]) => kindOf(id)), ids.map(([, kind]) => kind));
});

test("a gamepad is called by its name alone", () => {
  equal([DUALSENSE_ID, "054c-09cc-Wireless Controller", XBOX_ID, ""].map(nameOf), ["Wireless Controller", "Wireless Controller", "Xbox 360 Controller (XInput STANDARD GAMEPAD)", "Gamepad"]);
});

test("each button of the standard mapping is its bit of the host's", () => {
  const bits = Array.from({ length: 17 }, (_, i) => stateOf(pad({ pressed: [i] })).buttons);
  equal(bits, [0x1000, 0x2000, 0x4000, 0x8000, 0x100, 0x200, 0, 0, 0x20, 0x10, 0x40, 0x80, 1, 2, 4, 8, 0x400]);
});

test("the button behind them is the touchpad's on a PlayStation gamepad, else share", () => {
  equal(stateOf(pad({ count: 18, pressed: [17] })).buttons, 0x200000);
  equal(stateOf(pad({ id: DUALSENSE_ID, count: 18, pressed: [17] })).buttons, 0x100000);
  equal(stateOf(pad({ count: 30, pressed: [29] })).buttons, 0);
});

test("sticks are positive upwards, and triggers go from 0 to 255", () => {
  const state = stateOf(pad({ axes: [1, -1, -0.5, 0.25], values: { 6: 0.5, 7: 1 } }));
  equal(state, { buttons: 0, leftTrigger: 128, rightTrigger: 255, leftStick: [32767, 32767], rightStick: [-16383, -8192] });
});

test("what is beyond the range, missing or no number is no harm", () => {
  const state = stateOf(pad({ axes: [7, -7, NaN], count: 3 }));
  equal(state, { buttons: 0, leftTrigger: 0, rightTrigger: 0, leftStick: [32767, 32767], rightStick: [0, 0] });
});

test("a worn stick and a worn trigger rest", () => {
  equal(stateOf(pad({ axes: [0.05, -0.06, 0.09, 0], values: { 6: 0.03 } })), REST);
  equal(stateOf(pad({ axes: [0.08, 0.08, 0, 0] })).leftStick, [2621, -2621]);
});

test("the host is told what the gamepad has", () => {
  const actuator = { playEffect() {}, effects: ["dual-rumble", "trigger-rumble"] };
  equal(infoOf(pad({ vibrationActuator: actuator })), { index: 0, kind: 1, capabilities: 0x07, buttons: 0xf7ff });
  const chromiumOfOld = { playEffect() {}, type: "dual-rumble" };
  equal(infoOf(pad({ id: DUALSENSE_ID, count: 18, vibrationActuator: chromiumOfOld })), { index: 0, kind: 2, capabilities: 0x03, buttons: 0x10f7ff });
  const sensors = { lightIndicators: [{}], pose: { angularVelocity: [0, 0, 0] } };
  equal(infoOf(pad({ ...sensors })).capabilities, 0xa1);
  equal(infoOf(pad({ id: "57e-2009-Pro Controller" })).capabilities, 0);
});

test("a gamepad whose buttons the browser does not know is left alone", () => {
  equal([isUsable(pad()), isUsable(pad({ mapping: "" })), isUsable(pad({ index: 16 })), isUsable(pad({ connected: false }))], [true, false, false, false]);
});

test("only changes are sent: buttons and coming to rest so that they are not lost, the way of a stick as it may be", () => {
  const changes = new Changes();
  const held = { ...REST, buttons: 0x1000 };
  const tilted = { ...REST, leftStick: [9000, 0] };
  equal(changes.update(REST), null);
  equal([changes.update(held), changes.update(held)], ["input", null]);
  equal([changes.update(REST), changes.update(REST)], ["input", null]);
  equal([changes.update(tilted), changes.update({ ...REST, leftStick: [9001, 0] })], ["motion", "motion"]);
  equal([changes.atRest, changes.update(REST), changes.atRest, changes.update(REST)], [false, "input", true, null]);
});

test("what was let go for the gamepad is news again while it is held", () => {
  const changes = new Changes();
  changes.update({ ...REST, buttons: 1 });
  changes.forget();
  equal(changes.update({ ...REST, buttons: 1 }), "input");
});

const BOTH = new Set(["dual-rumble"]);
const TRIGGERS = new Set(["dual-rumble", "trigger-rumble"]);

test("a lasting rumble is played anew before the browser ends it, and stops when the host says so", () => {
  const rumble = new Rumble();
  equal(rumble.next(BOTH, 0), null);
  rumble.want({ low: 65535, high: 0 });
  const playing = { type: "dual-rumble", parameters: { duration: 5000, startDelay: 0, strongMagnitude: 1, weakMagnitude: 0 } };
  equal([0, 16, 3999, 4000, 4016, 8000].map((now) => rumble.next(BOTH, now)), [playing, null, null, playing, null, playing]);
  rumble.want({ low: 0, high: 0 });
  equal([8016, 8032, 20000].map((now) => rumble.next(BOTH, now)), ["stop", null, null]);
});

test("many changes within a frame are one effect", () => {
  const rumble = new Rumble();
  for (const low of [1, 2, 65535]) rumble.want({ low, high: 0 });
  equal([rumble.next(BOTH, 0).parameters.strongMagnitude, rumble.next(BOTH, 1)], [1, null]);
});

test("triggers rumble beside the motors where they can", () => {
  const rumble = new Rumble();
  rumble.want({ low: 0, high: 65535 });
  rumble.want({ left: 65535, right: 0 });
  const { type, parameters } = rumble.next(TRIGGERS, 0);
  equal([type, parameters.weakMagnitude, parameters.leftTrigger, parameters.rightTrigger], ["trigger-rumble", 1, 1, 0]);
  rumble.want({ left: 0, right: 0 });
  equal(rumble.next(TRIGGERS, 16).parameters.leftTrigger, 0);
  rumble.want({ low: 0, high: 0 });
  equal(rumble.next(TRIGGERS, 32), "stop");
});

test("a gamepad that cannot rumble is left alone", () => {
  const rumble = new Rumble();
  rumble.want({ low: 1, high: 1, left: 1, right: 1 });
  equal(rumble.next(new Set(), 0), null);
  const motorsAlone = new Rumble();
  motorsAlone.want({ left: 65535, right: 65535 });
  equal(motorsAlone.next(BOTH, 0), null);
});
