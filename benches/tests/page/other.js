const { handleEvent } = await import("/assets/events.js");
const { backoff } = await import("/assets/reconnect.js");
const { points } = await import("/assets/overlay.js");
const { hue, since, watching } = await import("/assets/people.js");
const { remember, remembered } = await import("/assets/settings.js");

test("each event goes to the handler of its name", () => {
  const seen = [];
  const handlers = {
    viewers: (viewers) => seen.push(viewers.count),
    stream: (stream) => seen.push(stream.status),
    quality: (quality) => seen.push(quality.video),
  };
  handleEvent({ Viewers: { you: "a", count: 1, viewers: [] } }, handlers);
  handleEvent({ Stream: { status: "stalled" } }, handlers);
  handleEvent({ Quality: { video: "held" } }, handlers);
  equal(seen, [1, "stalled", "held"]);
});

test("events that are not known, or not as they should be, are ignored", () => {
  const fail = () => { throw new Error("it was handled"); };
  const handlers = { viewers: fail, stream: fail, quality: fail };
  const strange = [null, undefined, 7, "Viewers", [], {}, { Rumble: {} }, { Viewers: null }, { Viewers: { viewers: 3 } }, { Stream: {} }, { Quality: { video: 1 } }];
  for (const message of strange) handleEvent(message, handlers);
  handleEvent({ Stream: { status: "active" } }, {});
});

test("the back-off doubles up to half a minute, and chance takes up to a fifth", () => {
  equal([0, 1, 2, 3, 4, 5, 6, 60].map((failures) => backoff(failures, 0)), [1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
  equal(backoff(0, 1), 800);
});

test("people are counted, and their time is rounded down", () => {
  equal([watching(1), watching(3)], ["Only you are watching", "3 are watching"]);
  equal([0, 59_999, 60_000, 3_599_999, 9_154_000].map(since), ["just now", "just now", "1 min", "59 min", "2 h 32 min"]);
});

test("a colour belongs to an id", () => {
  equal(hue("a") === hue("a"), true);
  equal(["", "a", "0e1c", "ü"].every((id) => hue(id) >= 0 && hue(id) < 360), true);
});

test("the line ends at the right edge with the highest rate at the top", () => {
  equal(points([]), "");
  equal(points([30, 60]), "58,10.5 59,1.0");
  equal(points([0]), "59,20.0");
});

test("settings are remembered, and a browser that forbids storage breaks nothing", () => {
  remember("test", "on");
  equal(remembered("test"), "on");
  localStorage.removeItem("moonlight-mux.test");
  equal(remembered("test"), null);
  const { getItem, setItem } = Storage.prototype;
  Storage.prototype.getItem = Storage.prototype.setItem = () => { throw new DOMException("denied", "SecurityError"); };
  try {
    remember("test", "on");
    equal(remembered("test"), null);
  } finally {
    Object.assign(Storage.prototype, { getItem, setItem });
  }
});
