(() => {
  const pads = [null, null, null, null];
  const played = [];
  const say = (type, gamepad) => dispatchEvent(Object.assign(new Event(type), { gamepad }));
  navigator.getGamepads = () => pads;
  window.gamepads = {
    played,
    plug(index) {
      const playEffect = async (type, parameters) => { played.push({ type, ...parameters }); return "complete"; };
      const reset = async () => "complete";
      pads[index] = {
        id: "Stub (STANDARD GAMEPAD Vendor: 045e Product: 02ea)", index, connected: true, mapping: "standard",
        timestamp: performance.now(), axes: [0, 0, 0, 0],
        buttons: Array.from({ length: 17 }, () => ({ pressed: false, touched: false, value: 0 })),
        vibrationActuator: { type: "dual-rumble", effects: ["dual-rumble"], playEffect, reset },
      };
      say("gamepadconnected", pads[index]);
    },
    press(index, button, pressed) {
      pads[index].buttons[button] = { pressed, touched: pressed, value: pressed ? 1 : 0 };
      pads[index].timestamp = performance.now();
    },
    tilt(index, axis, value) {
      pads[index].axes[axis] = value;
      pads[index].timestamp = performance.now();
    },
    unplug(index) {
      const [gamepad] = pads.splice(index, 1, null);
      gamepad.connected = false;
      say("gamepaddisconnected", gamepad);
    },
  };
})()
