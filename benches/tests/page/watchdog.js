const { Watchdog } = await import("/assets/watchdog.js");

/** A watchdog with samples: each call of `second` is one, with what differs from the one before. */
function watched() {
  const watchdog = new Watchdog();
  const sample = { visible: true, connected: true, status: "active", framesDecoded: 0, bytesReceived: 0, heard: 0 };
  let now = 1_000_000;
  const second = (changes = {}, ms = 1000) => {
    now += ms;
    sample.heard += 1;
    Object.assign(sample, changes);
    return watchdog.handleSample(now, sample);
  };
  const seconds = (count, changes) => Array.from({ length: count }, () => second(changes)).flat();
  const playing = () => {
    second();
    second({ framesDecoded: 1, bytesReceived: 1000 });
  };
  return { watchdog, sample, second, seconds, playing, frame: () => watchdog.handleFrame(now) };
}

test("the first frame is said once, whoever sees it first", () => {
  const { second, frame } = watched();
  equal(second(), []);
  equal(frame(), ["first_frame"]);
  equal(second({ framesDecoded: 1 }), []);
  const hidden = watched();
  equal(hidden.second({ visible: false, framesDecoded: 3 }), ["first_frame"]);
  equal(hidden.frame(), []);
});

test("no first frame within 5 s of the media connection is black, said once", () => {
  const { seconds, second, frame } = watched();
  equal(seconds(20, { connected: false }), []);
  equal(seconds(4, { connected: true }), []);
  equal(second(), ["black"]);
  equal(seconds(20), []);
  equal(frame(), ["first_frame"]);
});

test("a stream that is only starting is not black", () => {
  const { seconds } = watched();
  equal(seconds(20, { status: "starting" }), []);
  equal(seconds(4, { status: "active" }), []);
  equal(seconds(1), ["black"]);
});

test("an active stream without a new picture for 5 s is frozen, until it moves", () => {
  const { watchdog, playing, seconds, second } = watched();
  playing();
  equal(seconds(4), []);
  equal(second(), ["frozen"]);
  equal([watchdog.phase, watchdog.arriving], ["frozen", false]);
  equal(seconds(20), []);
  equal(second({ framesDecoded: 2 }), ["playing"]);
  equal(seconds(5), ["frozen"]);
});

test("a stream of which nothing is known should move", () => {
  const { playing, seconds } = watched();
  playing();
  equal(seconds(5, { status: null }), ["frozen"]);
});

test("a host that sends nothing is no fault of the picture", () => {
  const { playing, seconds } = watched();
  playing();
  for (const status of ["stalled", "reconnecting", "starting"]) equal(seconds(20, { status }), []);
});

test("data that make no picture are frozen whatever the stream says", () => {
  const { watchdog, sample, playing, second } = watched();
  playing();
  const changes = [1, 2, 3, 4, 5].flatMap(() => second({ status: "stalled", bytesReceived: sample.bytesReceived + 500 }));
  equal(changes, ["frozen"]);
  equal(watchdog.arriving, true);
});

test("nobody looks, nothing is missed, and the 5 s start over when somebody does", () => {
  const { playing, seconds, second } = watched();
  playing();
  equal(seconds(4), []);
  equal(seconds(60, { visible: false }), []);
  equal(seconds(4, { visible: true }), []);
  equal(second(), ["frozen"]);
});

test("a gap between samples is no time that passed", () => {
  const { playing, seconds, second } = watched();
  playing();
  seconds(4);
  equal(second({}, 3_600_000), []);
  equal(seconds(4), []);
  equal(second(), ["frozen"]);
});

test("a slow picture is not frozen", () => {
  const { sample, playing, seconds, second } = watched();
  playing();
  for (let i = 0; i < 10; i++) {
    equal(seconds(4), []);
    equal(second({ framesDecoded: sample.framesDecoded + 1 }), []);
  }
});

test("a connection of which nothing is heard for 6 s is dead, said once", () => {
  const { watchdog } = watched();
  const sample = { visible: true, connected: true, status: "stalled", framesDecoded: 0, bytesReceived: 0, heard: 5 };
  const at = (now) => watchdog.handleSample(now, sample);
  equal([0, 1000, 2000, 3000, 4000, 5000, 5900].flatMap(at), []);
  equal(at(6000), ["dead"]);
  equal(at(7000), []);
});

test("a laptop that slept gets its 6 s anew", () => {
  const { watchdog } = watched();
  const sample = { visible: true, connected: true, status: "stalled", framesDecoded: 0, bytesReceived: 0, heard: 5 };
  const at = (now) => watchdog.handleSample(now, sample);
  equal([0, 1000, 900_000, 902_000, 904_000].flatMap(at), []);
  equal(at(906_000), ["dead"]);
});

test("a browser that does not count what it hears is never dead", () => {
  const { seconds } = watched();
  equal(seconds(20, { status: "stalled", heard: null }), []);
});
