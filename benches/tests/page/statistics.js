const { History, rows, snapshot } = await import("/assets/statistics.js");

/** A report as Chromium gives it, `second` after the first. */
function report(second, video = {}, pair = {}) {
  return new Map(
    [
      {
        id: "V", type: "inbound-rtp", kind: "video", codecId: "C", timestamp: 1000 * second, framesDecoded: 60 * second,
        framesDropped: 2, packetsReceived: 200 * second, packetsLost: 0, bytesReceived: 250_000 * second,
        jitterBufferDelay: 0.3 * second, jitterBufferEmittedCount: 60 * second, totalDecodeTime: 0.12 * second,
        frameWidth: 1280, frameHeight: 720, ...video,
      },
      { id: "A", type: "inbound-rtp", kind: "audio", bytesReceived: 12_000 * second },
      { id: "C", type: "codec", mimeType: "video/H264" },
      { id: "T", type: "transport", selectedCandidatePairId: "P" },
      { id: "other", type: "candidate-pair", state: "succeeded", nominated: true, localCandidateId: "R", remoteCandidateId: "R" },
      {
        id: "P", type: "candidate-pair", localCandidateId: "L", remoteCandidateId: "R", currentRoundTripTime: 0.012,
        bytesReceived: 7, responsesReceived: 3, ...pair,
      },
      { id: "L", type: "local-candidate", candidateType: "prflx", protocol: "udp" },
      { id: "R", type: "remote-candidate", candidateType: "host", protocol: "udp" },
    ].map((entry) => [entry.id, entry]),
  );
}

function history(...reports) {
  const history = new History();
  reports.forEach((entry) => history.add(snapshot(entry)));
  return history;
}

const text = (figures) => Object.fromEntries(rows(figures));

test("rates are those between the last two reports", () => {
  const figures = history(report(0), report(1), report(3, { framesDecoded: 100, bytesReceived: 500_000 })).figures();
  equal([figures.framesPerSecond, figures.videoBitrate, figures.audioBitrate], [20, 1_000_000, 96_000]);
});

test("delays are those of the frames of the last second alone", () => {
  const figures = history(report(1), report(2, { jitterBufferDelay: 0.9, totalDecodeTime: 0.24 })).figures();
  equal([Math.round(figures.jitterBufferMs), Math.round(figures.decodeMs)], [10, 2]);
});

test("loss is that of the last five seconds, beside the sum of all", () => {
  const lost = [0, 100, 100, 100, 100, 100, 100, 110];
  const figures = history(...lost.map((packetsLost, second) => report(second, { packetsLost }))).figures();
  equal([figures.lossNow, figures.packetsLost], [10 / 1010, 110]);
  equal(text(figures)["Packets lost"], "1.0 % · 110 in all");
});

test("packets that come twice do not make loss negative", () => {
  const figures = history(report(1, { packetsLost: 3 }), report(2, { packetsLost: -2 })).figures();
  equal([figures.lossNow, figures.packetsLost], [0, 0]);
});

test("one report is not enough, and neither is the same one twice", () => {
  equal(history(report(1)).figures(), null);
  equal(history(report(1), report(1)).figures(), null);
});

test("counters that fall belong to another connection", () => {
  const later = history(report(9), report(10, { packetsReceived: 5 }));
  equal(later.figures(), null);
});

test("the path is that of the selected pair", () => {
  equal(snapshot(report(1)).path, "UDP, prflx – host");
  equal(snapshot(report(1)).roundTrip, 0.012);
});

test("the protocol of a relayed path is the one to the relay", () => {
  const relayed = report(1);
  relayed.set("L", { id: "L", type: "local-candidate", candidateType: "relay", protocol: "udp", relayProtocol: "tls" });
  equal(snapshot(relayed).path, "TLS, relay – host");
});

test("Firefox has no transport and marks the pair itself", () => {
  const firefox = report(1, {}, { selected: true });
  firefox.delete("T");
  equal(snapshot(firefox).path, "UDP, prflx – host");
});

test("whatever arrives is heard, and a browser that does not count it says so", () => {
  equal(snapshot(report(1)).heard, 10);
  equal(snapshot(report(1, {}, { bytesReceived: undefined })).heard, null);
});

test("a report without video has no figures but breaks nothing", () => {
  const empty = snapshot(new Map());
  equal([empty.framesDecoded, empty.width, empty.path, empty.heard], [0, null, null, null]);
});

test("what is not known is a dash, under the same labels", () => {
  const figures = history(report(1), report(2)).figures();
  equal(rows(null).map(([label]) => label), rows(figures).map(([label]) => label));
  equal(rows(null).every(([, value]) => value === "–"), true);
});

test("figures are said in units", () => {
  const said = text(history(report(1), report(2)).figures());
  equal(
    ["Frames per second", "Bitrate", "Sound", "Round trip", "Jitter buffer", "Frames decoded", "Picture", "Codec"].map((label) => said[label]),
    ["60", "2.0 Mbit/s", "96 kbit/s", "12 ms", "5.0 ms", "120", "1280×720", "H264"],
  );
});

test("a second without a frame has no delay", () => {
  const still = history(report(1), report(2, { framesDecoded: 60, jitterBufferDelay: 0.3, jitterBufferEmittedCount: 60 }));
  equal([still.figures().framesPerSecond, text(still.figures())["Jitter buffer"]], [0, "–"]);
});
