const { handleEvent } = await import("/assets/events.js");
const { backoff } = await import("/assets/reconnect.js");
const { points } = await import("/assets/overlay.js");
const { remember, remembered } = await import("/assets/settings.js");

test("each event goes to the handler of its name", () => {
  const seen = [];
  const handlers = {
    viewers: (viewers) => seen.push(viewers.count),
    stream: (stream) => seen.push(stream.status),
    quality: (quality) => seen.push(quality.video),
    input: (input) => seen.push(input.mode),
    pointers: (pointers) => seen.push(pointers.length),
    feedback: (message) => seen.push(Object.keys(message)[0]),
  };
  handleEvent({ Viewers: { you: "a", count: 1, viewers: [] } }, handlers);
  handleEvent({ Stream: { status: "stalled" } }, handlers);
  handleEvent({ Quality: { video: "held" } }, handlers);
  handleEvent({ Input: { mode: "shared", takes: true, rights: {} } }, handlers);
  handleEvent({ Pointers: [{ id: "a", x: 0, y: 65535 }] }, handlers);
  for (const name of ["Rumble", "TriggerRumble", "Led", "Motion"]) handleEvent({ [name]: { gamepad: 0 } }, handlers);
  equal(seen, [1, "stalled", "held", "shared", 1, "Rumble", "TriggerRumble", "Led", "Motion"]);
});

test("events that are not known, or not as they should be, are ignored", () => {
  const fail = () => { throw new Error("it was handled"); };
  const handlers = { viewers: fail, stream: fail, quality: fail, input: fail, pointers: fail, feedback: fail };
  const strange = [null, undefined, 7, "Viewers", [], {}, { Rumble: {} }, { Led: null }, { Input: { rights: null } }, { Pointers: {} }, { Viewers: null }, { Viewers: { viewers: 3 } }, { Stream: {} }, { Quality: { video: 1 } }];
  for (const message of strange) handleEvent(message, handlers);
  handleEvent({ Stream: { status: "active" } }, {});
});

test("the back-off doubles up to half a minute, and chance takes up to a fifth", () => {
  equal([0, 1, 2, 3, 4, 5, 6, 60].map((failures) => backoff(failures, 0)), [1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
  equal(backoff(0, 1), 800);
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
