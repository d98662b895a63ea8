const { CLOSE_CODES, interruptionOf, LOST, verdictOf, waitingFor } = await import("/assets/verdicts.js");

const browser = { online: true, playsH264: true, refusesLoopback: false };
const live = { status: "active", codec: "H.264" };

test("each close code has a sentence of its own", () => {
  const sentences = Object.values(CLOSE_CODES).map(({ message }) => message);
  equal(new Set(sentences).size, sentences.length);
  equal(sentences.every((sentence) => /^[A-Z].*\.$/.test(sentence)), true);
});

test("a code of the server's counts, whatever the API says", () => {
  for (const [code, verdict] of Object.entries(CLOSE_CODES)) {
    for (const streamer of [live, null, undefined]) {
      if (code === "4009" && streamer) continue;
      equal(verdictOf(Number(code), streamer, browser), verdict);
    }
  }
});

test("without a code the API knows why", () => {
  equal(verdictOf(1006, live, browser), LOST);
  equal(verdictOf(1006, null, browser).message, "There is no stream of this name.");
  equal(verdictOf(1006, undefined, browser).message, "The server cannot be reached.");
  equal(verdictOf(1006, undefined, { ...browser, online: false }).message, "This device is offline.");
  for (const streamer of [live, null, undefined]) equal(verdictOf(1006, streamer, browser).again, true);
});

test("a stream that failed says why", () => {
  const failed = { status: "failed", error: { message: "the host does not answer" } };
  equal(verdictOf(4002, failed, browser), { message: "The stream has failed.", hint: "the host does not answer", again: false });
  equal(verdictOf(4002, { ...failed, persistent: true }, browser).again, true);
});

test("a persistent stream that is on again is come back to", () => {
  for (const status of ["starting", "active", "stalled", "reconnecting"]) {
    equal(verdictOf(4002, { status, persistent: true }, browser), LOST);
    equal(verdictOf(4002, { status, persistent: false }, browser), CLOSE_CODES[4002]);
  }
  equal(verdictOf(4002, { status: "stopped", persistent: true }, browser), CLOSE_CODES[4002]);
});

test("who waits is told what for", () => {
  equal(waitingFor("starting"), "The stream is being started…");
  equal(waitingFor("reconnecting"), "The stream is being restarted…");
  for (const status of ["stalled", "active"]) equal(waitingFor(status), "Waiting for the stream…");
});

test("a codec that cannot be played is named", () => {
  const hevc = verdictOf(4009, { codec: "HEVC" }, { ...browser, playsH264: false });
  equal([hevc.message, hevc.hint.includes("H.264 or AV1"), hevc.again], ["This stream's codec, HEVC, cannot be played here.", true, false]);
  equal(verdictOf(4009, live, { ...browser, playsH264: false }).hint.includes("OpenH264"), true);
  equal(verdictOf(4009, live, browser).hint, undefined);
});

test("Firefox at its own machine is told what to do", () => {
  const told = verdictOf(4010, live, { ...browser, refusesLoopback: true });
  equal(told.message, CLOSE_CODES[4010].message);
  equal(told.hint.includes("media.peerconnection.ice.loopback"), true);
  equal(told.again, true);
});

test("the nearest cause of a still picture is said", () => {
  const moving = { answers: true, status: "active", video: "flowing", frozen: null };
  const says = (changes) => interruptionOf({ ...moving, ...changes });
  equal(says({}), null);
  equal(says({ status: null, video: null }), null);
  equal(says({ status: "stalled", frozen: { arriving: false } }), "The host sends no new pictures at the moment.");
  equal(says({ video: "held" }), "Your connection is too slow: waiting for the next full picture.");
  equal(says({ answers: false, status: "stalled" }), "The connection is interrupted.");
  const all = [
    { answers: false }, { status: "starting" }, { status: "stalled" }, { status: "reconnecting" }, { video: "held" },
    { video: "paused" }, { frozen: { arriving: true } }, { frozen: { arriving: false } },
  ].map(says);
  equal(new Set(all).size, all.length);
  equal(all.includes(null), false);
});
