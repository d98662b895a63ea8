const { isInside, pictureBox, placeIn } = await import("/assets/place.js");
const { Wheel } = await import("/assets/pointer.js");

test("the picture's box leaves out the bars, whichever side they are on", () => {
  const box = (left, top, width, height) => pictureBox({ left, top, width, height }, 1280, 720);
  equal(box(0, 56, 1280, 720), { left: 0, top: 56, width: 1280, height: 720 });
  equal(box(0, 56, 1400, 720), { left: 60, top: 56, width: 1280, height: 720 });
  equal(box(-100.5, -20, 640, 400), { left: -100.5, top: 0, width: 640, height: 360 });
  equal([pictureBox({ left: 0, top: 0, width: 10, height: 10 }, 0, 0), box(0, 0, 0, 0)], [null, null]);
});

test("corners and edges are places, and what is beside them is at the nearest", () => {
  const box = { left: 10, top: 20, width: 100, height: 50 };
  equal(placeIn(box, 10, 20), { x: 0, y: 0 });
  equal(placeIn(box, 110, 70), { x: 65535, y: 65535 });
  equal(placeIn(box, 60, 45), { x: 32768, y: 32768 });
  equal(placeIn(box, -500, 1e9), { x: 0, y: 65535 });
  equal([isInside(box, 10, 20), isInside(box, 110, 45), isInside(box, 9.9, 45)], [true, false, false]);
});

test("a place lands on the pixel that is seen there, at every size, zoom and scroll", () => {
  // The host's plane is 32768 wide (streams 3.3.5): what it makes of a share.
  const pixel = (share, pixels) => Math.floor(((share >> 1) * pixels) / 32768);
  for (const [width, height] of [[640, 360], [1920, 1080], [3840, 2160], [2560, 1600], [1366, 768]]) {
    for (const scale of [0.25, 1 / 3, 0.8, 1, 1.1, 1.25, 2, 3.7]) {
      const [left, top] = [-17.25 * scale, 56.5];
      const rect = { left: left - 31, top, width: width * scale + 62, height: height * scale };
      const box = pictureBox(rect, width, height);
      for (const [x, y] of [[0, 0], [1, 1], [width - 1, height - 1], [width >> 1, height >> 1], [width - 2, 7], [333, 222]]) {
        const place = placeIn(box, left + (x + 0.5) * scale, top + (y + 0.5) * scale);
        equal([width, scale, pixel(place.x, width), pixel(place.y, height)], [width, scale, x, y]);
      }
    }
  }
});

const turn = (changes) => ({ deltaX: 0, deltaY: 0, deltaMode: 0, wheelDeltaX: 0, wheelDeltaY: 0, shiftKey: false, ...changes });

function turned(...events) {
  const wheel = new Wheel();
  events.forEach((event) => wheel.add(turn(event)));
  return wheel.take();
}

test("a notch is 120, however the browser counts", () => {
  equal(turned({ deltaY: 100, wheelDeltaY: -120 }), { dx: 0, dy: -120 });
  equal(turned({ deltaY: -53, wheelDeltaY: 240 }), { dx: 0, dy: 240 });
  equal(turned({ deltaY: 100 }), { dx: 0, dy: -120 });
  equal(turned({ deltaY: 3, deltaMode: 1 }), { dx: 0, dy: -120 });
  equal(turned({ deltaY: -1, deltaMode: 2 }), { dx: 0, dy: 120 });
  equal(turned({ deltaX: 100, wheelDeltaX: -120 }), { dx: 120, dy: 0 });
});

test("a touchpad's small steps add up, and what is less than one is kept", () => {
  equal(turned({ deltaY: 0.25, wheelDeltaY: -0.75 }), null);
  equal(turned(...Array(4).fill({ deltaY: 0.25 })), { dx: 0, dy: -1 });
  const wheel = new Wheel();
  let sum = 0;
  for (let step = 0; step < 1000; step += 1) {
    wheel.add(turn({ deltaY: 0.625 }));
    sum += wheel.take()?.dy ?? 0;
  }
  equal(sum, -750);
});

test("a wheel that Shift has turned sideways is turned back: the host knows of Shift", () => {
  equal(turned({ deltaX: 100, wheelDeltaX: -120, shiftKey: true }), { dx: 0, dy: -120 });
});

test("what adds up stays within what a message can say", () => {
  equal(turned({ deltaY: 1e6, deltaX: -1e6 }), { dx: -32767, dy: -32767 });
});
