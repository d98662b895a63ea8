const { holdOf, leanOf, Phases } = await import("/assets/pen_state.js");

const [HOVER, DOWN, MOVE, UP, CANCEL, LEAVE, BUTTONS] = [0, 1, 2, 3, 4, 5, 6];

function phases(...events) {
  const pen = new Phases();
  return events.map(([type, buttons = 0, pressure = 0]) => pen.next({ type: `pointer${type}`, buttons, pressure }));
}

test("a pen hovers, touches down, moves, lifts and leaves", () => {
  equal(phases(["move"], ["down", 1, 0.3], ["move", 1, 0.4], ["up"], ["move"], ["leave"]), [HOVER, DOWN, MOVE, UP, HOVER, LEAVE]);
});

test("a pen that is away cannot leave again", () => {
  equal(phases(["leave"], ["cancel"], ["down", 1], ["cancel"], ["leave"]), [null, null, DOWN, CANCEL, null]);
});

test("the button on its barrel is a phase of its own while it hovers or touches", () => {
  equal(phases(["move", 0], ["move", 2], ["move", 2], ["move", 0]), [HOVER, BUTTONS, HOVER, BUTTONS]);
  equal(phases(["down", 1, 0.5], ["move", 3, 0.5], ["move", 3, 0.6]), [DOWN, BUTTONS, MOVE]);
});

test("with the button held before, the tip's touch is told by its pressure", () => {
  equal(phases(["move", 2], ["down", 2, 0.2], ["move", 2, 0.3], ["up"]), [BUTTONS, DOWN, MOVE, UP]);
});

test("the eraser touches like the tip", () => {
  equal(phases(["move"], ["down", 32, 0.3], ["move", 32, 0.3], ["up"]), [HOVER, DOWN, MOVE, UP]);
  equal([holdOf(32), holdOf(1), holdOf(3), holdOf(7)], [
    { tool: 2, buttons: 0 }, { tool: 1, buttons: 0 }, { tool: 1, buttons: 1 }, { tool: 1, buttons: 3 },
  ]);
});

test("an upright pen leans nowhere, a lying one by 90 degrees", () => {
  equal([leanOf({ altitudeAngle: Math.PI / 2, azimuthAngle: 0 }).tilt, leanOf({ altitudeAngle: 0, azimuthAngle: 0 }).tilt], [0, 90]);
});

test("its direction is clockwise from the upper edge", () => {
  const directions = [0, 0.5, 1, 1.5].map((halves) => leanOf({ altitudeAngle: 1, azimuthAngle: halves * Math.PI }).rotation);
  equal(directions, [90, 180, 270, 0]);
});

test("tilts along both axes say the same as angles", () => {
  equal(leanOf({ tiltX: 45, tiltY: 0 }), { tilt: 45, rotation: 90 });
  equal(leanOf({ tiltX: 0, tiltY: -30 }), { tilt: 30, rotation: 0 });
  equal(leanOf({ tiltX: 30, tiltY: 30 }), { tilt: 39, rotation: 135 });
  equal(leanOf({}), { tilt: 0xff, rotation: 0xffff });
});
