const words = await import("/assets/streamer_words.js");
const { placeOf, requestOf, suggestName } = await import("/assets/new_stream_request.js");
const { labelOf } = await import("/assets/host_choice.js");
const { consequence } = await import("/assets/stop_dialog.js");
const { Cards } = await import("/assets/streamer_cards.js");

const CREATED = Date.parse("2026-01-31T12:00:00Z");
const streamer = (more) => ({
  streamer_id: "desk", status: "active", moonlight_connected: true, connected_peers: 0, width: 1920, height: 1080, fps: 60,
  created_at: "2026-01-31T12:00:00Z", peers: [], bitrate_kbps: 8040, codec: "H.264", restarts: 0, ...more,
});

test("a start has its stage and its time, by the server's clock", () => {
  const start = (more, seconds) => words.stateText(streamer({ status: "starting", moonlight_connected: false, ...more }), CREATED + seconds * 1000);
  equal(start({}, 0), "Starting");
  equal(start({ stage: "RTSP handshake" }, 0), "Starting: RTSP handshake");
  equal(start({ stage: "launch" }, 71), "Starting: launch, 1 min 11 s");
  equal(start({ moonlight_connected: true }, 3), "Starting: first frame, 3 s");
  // A clock that is set back, and a time that is none.
  equal(start({ stage: "launch" }, -5), "Starting: launch");
  equal(start({ stage: "launch", created_at: "yesterday" }, 9), "Starting: launch");
});

test("viewers are counted while there is something to watch or somebody who waits", () => {
  const watching = (status, connected_peers) => words.watching(streamer({ status, connected_peers }));
  equal([watching("active", 0), watching("stalled", 2), watching("starting", 0), watching("starting", 1), watching("failed", 0)], ["nobody watching", "2 watching", "", "1 watching", ""]);
});

test("each other state has its word, and a picture that stands still its age", () => {
  const state = (more) => words.stateText(streamer(more), CREATED);
  equal(["active", "stalled", "reconnecting", "failed", "stopped", "dreaming"].map((status) => state({ status })), ["Live", "No new pictures", "Reconnecting", "Failed", "Ended", "dreaming"]);
  equal(state({ status: "stalled", last_frame_age_ms: 12_400 }), "No new pictures for 12 s");
  equal(state({ status: "active", last_frame_age_ms: 12 }), "Live");
});

test("a start goes on from stage to stage, and stages that are not known are not measured", () => {
  const at = (more) => words.progress(streamer({ status: "starting", moonlight_connected: false, ...more }));
  const known = ["server info", "launch", "RTSP handshake", "input stream establishment"].map((stage) => at({ stage }));
  known.push(at({ moonlight_connected: true }));
  equal(known.every((share, i) => share >= 0 && share < 1 && (i === 0 || share > known[i - 1])), true);
  equal([at({}), at({ stage: "tea" }), words.progress(streamer())], [null, null, null]);
});

test("facts that are not known yet are left out", () => {
  equal(words.facts(streamer()), "1920×1080 · 60 fps · H.264 · 8.0 Mbit/s");
  equal(words.facts(streamer({ width: 0, height: 0, fps: 0, codec: undefined, bitrate_kbps: 0 })), "");
});

test("those who run the server see process, restarts and persistence where there are any", () => {
  equal(words.details(streamer()), "");
  equal(words.details(streamer({ pid: 4711, restarts: 1, persistent: true })), "Persistent · restarted once · process 4711");
  equal(words.details(streamer({ pid: null, restarts: 3, persistent: false })), "restarted 3 times");
});

test("an error is a sentence with its stage, and what can be done about it", () => {
  const failed = (error) => streamer({ status: "failed", error });
  const refused = failed({ stage: "launch", code: "host_refused", message: "office: launch failed after 1.5 s: no encoder" });
  equal(words.problem(refused), "Office: launch failed after 1.5 s: no encoder.", "it says where itself");
  equal(words.problem(failed({ stage: "RTSP handshake", code: "connection_failed", message: "the host is gone" })), "RTSP handshake: the host is gone.");
  equal(words.advice(refused), "The host's own log or settings say more.");
  equal(words.problem(failed({ code: "stream_failed", message: "it ended. Really!" })), "It ended. Really!");
  const silent = { code: "connection_timeout", message: "nothing came" };
  equal(words.advice(failed({ ...silent, stage: "first frame" })).includes("UDP"), true);
  equal(words.advice(failed({ ...silent, stage: "server info" })), "Is the host on, and can this server reach it?");
  // A server that is newer than the page.
  equal([words.advice(failed({ code: "eclipse", message: "it is dark" })), words.problem(streamer())], ["", ""]);
});

test("a persistent stream that failed is not done: it is tried again", () => {
  const error = { stage: null, code: "process_failed", message: "it ended" };
  const [failed, persistent] = [false, true].map((persistent) => streamer({ status: "failed", persistent, error }));
  equal([failed, persistent, streamer({ persistent: true }), streamer({ status: "stopped", persistent: true })].map(words.isDone), [true, false, false, true]);
  equal([words.advice(failed), words.advice(persistent)], ["The server's log says more.", "The server's log says more. It is tried again by itself."]);
});

testThatWaits("what is over can be made anew, and why not is said until it is", async () => {
  equal(["failed", "stopped", "active", "starting"].map((status) => words.againText({ status })), ["Try again", "Start again", "", ""]);
  const list = document.createElement("ul");
  const asked = [];
  const { Refusal } = await import("/assets/api.js");
  const restart = async (id) => { asked.push(id); throw new Refusal({ detail: "another one has its place" }); };
  const cards = new Cards(list, { stop: () => {}, restart });
  cards.show([streamer({ status: "failed" })], CREATED);
  const [again, refusal] = [".again", ".foot .error"].map((selector) => list.querySelector(selector));
  equal([again.hidden, again.textContent, again.getAttribute("aria-label")], [false, "Try again", "Try again desk"]);
  again.click();
  // Twice is once.
  again.click();
  await new Promise((resolve) => setTimeout(resolve));
  equal([asked, refusal.textContent], [["desk"], "Another one has its place."]);
  cards.show([streamer()], CREATED);
  equal([again.hidden, refusal.textContent], [true, ""]);
});

test("what becomes of a stream is said, what is new or gone or the same is not", () => {
  const before = new Map([["desk", "starting"], ["tv", "active"], ["gone", "active"]]);
  const error = { stage: "launch", code: "host_busy", message: "another app runs there" };
  const now = [streamer({ status: "failed", error }), streamer({ streamer_id: "tv" }), streamer({ streamer_id: "new" })];
  equal(words.changes(before, now), ["desk: Failed. Launch: another app runs there."]);
});

test("times are rounded down", () => {
  equal([0, 59_999, 60_000, 3_599_999, 9_154_000].map(words.duration), ["0 s", "59 s", "1 min 0 s", "59 min 59 s", "2 h 32 min"]);
});

const filled = (more) => ({
  name: " desk ", host: "0", app: { app_id: 7 }, size: "1280x720", width: "", height: "", fps: "60", bitrate: "0.5", persistent: false, ...more,
});

test("a form that is filled in becomes the request that the server documents", () => {
  equal(requestOf(filled()), {
    request: { streamer_id: "desk", host_id: 0, app_id: 7, width: 1280, height: 720, fps: 60, bitrate: 500 }, faults: {},
  });
  const { request } = requestOf(filled({ size: "other", width: "800", height: "601", app: { app: "Big Picture" }, persistent: true, bitrate: "12.3456" }));
  equal(request, { streamer_id: "desk", host_id: 0, app: "Big Picture", width: 800, height: 601, fps: 60, bitrate: 12346, persistent: true });
});

test("what is missing or no number is said at its field", () => {
  const { faults } = requestOf(filled({ name: "  ", host: "", app: null, size: "other", width: "wide", fps: "", bitrate: "1e999" }));
  equal(Object.keys(faults).sort(), ["app", "bitrate", "fps", "host", "name", "size"]);
  equal(requestOf(filled({ fps: "59.94" })).faults, {}, "the server says what it takes");
});

test("a refusal is said at the field that it is about, in the form's words", () => {
  const at = (problem) => placeOf(problem, problem.detail ?? "it is so");
  equal(at({ code: "invalid_field", field: "fps", detail: "fps has to be a whole number from 1 to 1000" }), { place: "fps", text: "Frames per second has to be a whole number from 1 to 1000." });
  equal(at({ code: "invalid_field", field: "streamer_id", detail: "streamer_id is missing" }), { place: "name", text: "Name is missing." });
  equal(at({ code: "invalid_field", field: "height", detail: "height is odd" }).place, "size");
  equal(at({ code: "invalid_field", field: "bitrate", detail: "bitrate has to be a whole number from 500 to 1000000" }).text, "The bitrate has to be from 0.5 to 1000 Mbit/s.");
  equal(at({ code: "invalid_field", field: "persistent", detail: "persistent has to be true or false" }), { place: "persistent", text: "Persistent has to be true or false." });
  const target = { host_id: 0, app_id: 7, app: null, width: 1920, height: 1080, fps: 60 };
  equal(at({ code: "streamer_exists", target }), { place: "name", text: "A stream with this name is running (1920×1080, 60 fps)." });
  equal(at({ code: "streamer_exists" }), { place: "name", text: "A stream with this name is running." });
  equal(["host_not_found", "app_not_found", "streamers_not_kept", "limit"].map((code) => at({ code }).place), ["host", "app", "persistent", "form"]);
  equal(at({}), { place: "form", text: "It is so." });
});

test("a name is suggested that the server takes and that no stream has", () => {
  equal(suggestName("Desktop", []), "desktop");
  equal(suggestName("Desktop", ["desktop", "desktop-2"]), "desktop-3");
  equal(suggestName("  Élan vital: Déjà-vu!  ", []), "elan-vital-deja-vu");
  equal([suggestName("ゲーム", []), suggestName("", ["stream"])], ["stream", "stream-2"]);
  equal(/^[a-z0-9-]{1,64}$/.test(suggestName("x y ".repeat(99), [])), true);
});

test("hosts of one name are told apart, and those that are not paired are marked", () => {
  const all = [["office", "a:1", true], ["office", "b:1", false], ["tv", "c:1", false]].map(([name, address, paired]) => ({ name, address, paired }));
  equal(all.map((host) => labelOf(host, all)), ["office (a:1)", "office (b:1) – not paired", "tv – not paired"]);
  const nameless = { name: "", address: "d:1", paired: true };
  equal(labelOf(nameless, [nameless, { ...nameless, address: "e:1" }]), "d:1");
});

test("before a stream is stopped it is said who is sent away and what does not come back", () => {
  equal([0, 1, 7].map((connected_peers) => consequence(streamer({ connected_peers }))), [
    "Nobody is watching.", "One viewer is watching, and is sent away.", "7 viewers are watching, and are sent away.",
  ]);
  equal(consequence(streamer({ persistent: true })), "Nobody is watching. The server forgets it: it is not started again.");
  equal(consequence(streamer({ status: "failed" })), "It has ended, and goes from the list.");
  equal(consequence(streamer({ status: "failed", persistent: true })), "The server forgets it: it is not started again.");
});

test("cards stay the same elements, in the server's order, and hand on what was said last", () => {
  const list = document.createElement("ul");
  const asked = [];
  const cards = new Cards(list, { stop: (streamer) => asked.push(streamer), restart: async () => {} });
  cards.show([streamer({ streamer_id: "b" }), streamer({ streamer_id: "<c>" })], CREATED);
  const [b, c] = list.children;
  cards.show([streamer({ streamer_id: "a", status: "starting", stage: "launch" }), streamer({ streamer_id: "b", status: "failed", pid: 5 })], CREATED);
  equal([list.children.length, list.children[1] === b, c.isConnected], [2, true, false]);
  equal(c.querySelector(".name").textContent, "<c>");
  equal(c.querySelector("a").getAttribute("href"), "s/%3Cc%3E");
  equal([...list.children].map((card) => card.querySelector(".stop").getAttribute("aria-label")), ["Stop a", "Remove b"]);
  equal([...list.children].map((card) => card.classList.contains("measured")), [true, false]);
  // What a process wrote last is there to be opened, and stays open.
  const log = b.querySelector(".log");
  equal(log.hidden, true);
  const died = streamer({ streamer_id: "b", status: "failed", error: { code: "process_failed", message: "it ended", log: ["one", "<i>two</i>"] } });
  cards.show([died], CREATED);
  log.open = true;
  cards.show([died], CREATED);
  equal([log.hidden, log.open, log.querySelector("pre").textContent], [false, true, "one\n<i>two</i>"]);
  b.querySelector(".stop").click();
  equal(asked.map(({ streamer_id: id, status }) => [id, status]), [["b", "failed"]]);
});
