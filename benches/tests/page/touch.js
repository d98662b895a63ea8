const { acceleration, Gestures } = await import("/assets/touch_gestures.js");

const LEFT = [{ button: 1, down: true }, { button: 1, down: false }];
const RIGHT = [{ button: 3, down: true }, { button: 3, down: false }];

const trackpad = () => new Gestures({ direct: false });
const direct = () => new Gestures({ direct: true });

test("a tap on the trackpad is a click, let go as soon as no second one follows", () => {
  const fingers = trackpad();
  equal(fingers.down(1, 50, 50, 0), []);
  equal([fingers.up(1, 80), fingers.deadline], [[LEFT[0]], 280]);
  equal([fingers.tick(279), fingers.tick(280), fingers.deadline], [[], [LEFT[1]], null]);
});

test("two taps are two clicks", () => {
  const fingers = trackpad();
  const done = [fingers.down(1, 50, 50, 0), fingers.up(1, 60), fingers.down(2, 52, 50, 150), fingers.up(2, 200), fingers.tick(400)];
  equal(done.flat(), [...LEFT, ...LEFT]);
});

test("a finger that comes back at once after a tap drags, for as long as it stays", () => {
  const fingers = trackpad();
  fingers.down(1, 50, 50, 0);
  equal(fingers.up(1, 60), [LEFT[0]]);
  fingers.down(2, 50, 50, 150);
  equal([fingers.deadline, fingers.tick(5000)], [null, []]);
  equal(fingers.move(2, 90, 50, 5000), [{ by: { dx: 40, dy: 0 } }]);
  equal([fingers.up(2, 5100), fingers.deadline], [[LEFT[1]], null]);
});

test("a finger that rests or moves is no tap", () => {
  const fingers = trackpad();
  fingers.down(1, 50, 50, 0);
  equal([fingers.tick(251), fingers.up(1, 251)], [[], []]);
  fingers.down(1, 50, 50, 1000);
  fingers.move(1, 61, 50, 1050);
  equal(fingers.up(1, 1060), []);
});

test("the trembling of a tap moves nothing, and what was held back is not lost", () => {
  const fingers = trackpad();
  fingers.down(1, 50, 50, 0);
  equal(fingers.move(1, 55, 50, 100), []);
  equal(fingers.move(1, 62, 50, 1000), [{ by: { dx: 12, dy: 0 } }]);
  equal(fingers.move(1, 62, 47, 1100), [{ by: { dx: 0, dy: -3 } }]);
});

test("a fast finger moves the pointer further than a slow one, up to four times", () => {
  equal([0, 0.1, 0.6, 1.6, 50].map(acceleration), [1, 1, 2, 4, 4]);
  const fingers = trackpad();
  fingers.down(1, 0, 0, 0);
  fingers.move(1, 20, 0, 1000);
  equal(fingers.move(1, 120, 0, 1010), [{ by: { dx: 400, dy: 0 } }]);
});

test("parts of pixels add up", () => {
  const fingers = trackpad();
  fingers.down(1, 0, 0, 0);
  fingers.move(1, 12, 0, 1000);
  const moves = [12.4, 12.8, 13.2].map((x, i) => fingers.move(1, x, 0, 2000 + 1000 * i));
  equal(moves, [[], [], [{ by: { dx: 1, dy: 0 } }]]);
});

test("two fingers tap the right button, three the middle one", () => {
  const fingers = trackpad();
  const tap = (ids, now) => [...ids.map((id) => fingers.down(id, 50 * id, 50, now)), ...ids.map((id) => fingers.up(id, now + 90))].flat();
  equal(tap([1, 2], 0), RIGHT);
  equal(tap([1, 2, 3], 1000), [{ button: 2, down: true }, { button: 2, down: false }]);
  equal(tap([1, 2, 3, 4], 2000), []);
});

test("two fingers scroll, and the picture goes with them", () => {
  const fingers = trackpad();
  fingers.down(1, 50, 100, 0);
  fingers.down(2, 100, 100, 10);
  equal(fingers.move(1, 50, 120, 30), [{ scroll: { dx: 0, dy: 30 } }]);
  equal(fingers.move(2, 100, 120, 30), [{ scroll: { dx: 0, dy: 30 } }]);
  equal(fingers.move(2, 110, 120, 40), [{ scroll: { dx: -15, dy: 0 } }]);
  // The one that stays does not begin to point.
  equal([fingers.up(1, 50), fingers.move(2, 300, 300, 60), fingers.up(2, 70)], [[], [], []]);
});

test("a second finger that comes while the pointer moves scrolls", () => {
  const fingers = trackpad();
  fingers.down(1, 50, 50, 0);
  fingers.move(1, 80, 50, 500);
  fingers.down(2, 120, 50, 600);
  equal(fingers.move(1, 80, 80, 620), [{ scroll: { dx: 0, dy: 45 } }]);
});

test("a second finger instead of a drag lets go of the tap's button, and taps the right one", () => {
  const fingers = trackpad();
  fingers.down(1, 50, 50, 0);
  fingers.up(1, 50);
  fingers.down(1, 50, 50, 100);
  equal(fingers.down(2, 90, 50, 110), [LEFT[1]]);
  fingers.up(1, 150);
  equal([fingers.up(2, 160), fingers.deadline], [RIGHT, null]);
});

test("fingers beside a drag change nothing of it", () => {
  const fingers = trackpad();
  fingers.down(1, 50, 50, 0);
  fingers.up(1, 50);
  fingers.down(1, 50, 50, 100);
  fingers.move(1, 80, 50, 2000);
  equal([fingers.down(2, 9, 9, 2100), fingers.move(2, 60, 60, 2150), fingers.up(2, 2160)], [[], [], []]);
  equal(fingers.up(1, 3000), [LEFT[1]]);
});

test("whatever is held is let go when the fingers are taken away", () => {
  const fingers = trackpad();
  equal(fingers.cancel(), []);
  fingers.down(1, 50, 50, 0);
  fingers.up(1, 50);
  equal([fingers.cancel(), fingers.deadline, fingers.up(1, 60)], [[LEFT[1]], null, []]);
});

test("on the picture a finger moves the pointer to itself, and a tap clicks there", () => {
  const fingers = direct();
  equal(fingers.down(1, 50, 60, 0), [{ to: { x: 50, y: 60 } }]);
  equal([fingers.up(1, 100), fingers.deadline], [LEFT, null]);
});

test("on the picture a finger drags from where it came down", () => {
  const fingers = direct();
  fingers.down(1, 50, 60, 0);
  equal(fingers.move(1, 55, 60, 20), []);
  equal(fingers.move(1, 70, 60, 40), [LEFT[0], { to: { x: 70, y: 60 } }]);
  equal(fingers.move(1, 71, 61, 60), [{ to: { x: 71, y: 61 } }]);
  equal(fingers.up(1, 80), [LEFT[1]]);
});

test("on the picture a finger that rests asks for the right button, once", () => {
  const fingers = direct();
  fingers.down(1, 50, 60, 0);
  equal([fingers.deadline, fingers.tick(499), fingers.tick(500), fingers.tick(501)], [500, [], RIGHT, []]);
  equal([fingers.move(1, 90, 90, 600), fingers.up(1, 700)], [[], []]);
});

test("on the picture two fingers scroll too", () => {
  const fingers = direct();
  fingers.down(1, 50, 100, 0);
  fingers.down(2, 100, 100, 10);
  equal(fingers.deadline, null);
  equal(fingers.move(1, 50, 120, 30), [{ scroll: { dx: 0, dy: 30 } }]);
});

test("whatever fingers do, every button that goes down comes up once", () => {
  // Steps of a small generator with a fixed seed: down, move, up, wait, cancel of three fingers.
  let seed = 1;
  const chance = (n) => (seed = (seed * 48271) % 2147483647) % n;
  for (const fingers of [trackpad(), direct()]) {
    let pressed = new Set();
    let now = 0;
    const judge = (done) => {
      for (const { button, down } of done) {
        if (button === undefined) continue;
        equal(pressed.has(button), !down);
        if (down) pressed.add(button);
        else pressed.delete(button);
      }
    };
    const down = new Set();
    for (let i = 0; i < 20_000; i++) {
      now += chance(120);
      const id = chance(3);
      if (fingers.deadline !== null && fingers.deadline <= now) judge(fingers.tick(now));
      const [x, y] = [chance(400), chance(400)];
      const step = chance(10);
      if (step < 4 && down.has(id)) judge(fingers.move(id, x, y, now));
      else if (step < 4) judge(fingers.down((down.add(id), id), x, y, now));
      else if (step < 9 && down.delete(id)) judge(fingers.up(id, now));
      else if (step === 9) judge((down.clear(), fingers.cancel()));
    }
    judge(fingers.cancel());
    equal([...pressed], []);
  }
});
