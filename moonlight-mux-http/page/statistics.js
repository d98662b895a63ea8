// From what the browser counts (RTCStatsReport) to figures for people. Pure.
// https://www.w3.org/TR/webrtc-stats/ says what each counter means; which of them exist differs between browsers.

/** Loss is that of the last few seconds: one second has too few packets. */
const WINDOW_MS = 5_000;

/** What matters of a report. Counters that the browser does not have are null. */
export function snapshot(report) {
  const all = [...report.values()];
  const inbound = (kind) => all.find((entry) => entry.type === "inbound-rtp" && entry.kind === kind);
  const [video, audio, pair] = [inbound("video"), inbound("audio"), selectedPair(report, all)];
  const number = (value) => (typeof value === "number" ? value : null);
  return {
    at: video?.timestamp ?? pair?.timestamp ?? 0,
    framesDecoded: number(video?.framesDecoded) ?? 0,
    framesDropped: number(video?.framesDropped),
    packetsReceived: number(video?.packetsReceived) ?? 0,
    packetsLost: number(video?.packetsLost) ?? 0,
    videoBytes: number(video?.bytesReceived) ?? 0,
    audioBytes: number(audio?.bytesReceived) ?? 0,
    jitterBufferDelay: number(video?.jitterBufferDelay),
    jitterBufferEmitted: number(video?.jitterBufferEmittedCount),
    decodeTime: number(video?.totalDecodeTime),
    width: number(video?.frameWidth),
    height: number(video?.frameHeight),
    codec: report.get(video?.codecId)?.mimeType?.replace(/^video\//, "") ?? null,
    roundTrip: number(pair?.currentRoundTripTime),
    path: path(report, pair),
    heard: heard(pair),
  };
}

/** The last few snapshots of one connection. */
export class History {
  #snapshots = [];

  add(snapshot) {
    const last = this.#snapshots.at(-1);
    if (last && snapshot.at <= last.at) return;
    // Counters that fall are those of another connection.
    if (last && snapshot.packetsReceived < last.packetsReceived) this.#snapshots = [];
    this.#snapshots.push(snapshot);
    while (snapshot.at - this.#snapshots[0].at > WINDOW_MS) this.#snapshots.shift();
  }

  /** `serverPath`: what the server says of how it sends. Null until there are two snapshots. Rates are those of the last second, loss that of the last five. */
  figures(serverPath) {
    if (this.#snapshots.length < 2) return null;
    const [oldest, older, newest] = [this.#snapshots[0], this.#snapshots.at(-2), this.#snapshots.at(-1)];
    const seconds = (newest.at - older.at) / 1000;
    const growth = (name) => (newest[name] === null || older[name] === null ? null : Math.max(0, newest[name] - older[name]));
    const frames = growth("framesDecoded");
    return {
      framesPerSecond: frames / seconds,
      videoBitrate: (growth("videoBytes") * 8) / seconds,
      audioBitrate: (growth("audioBytes") * 8) / seconds,
      roundTripMs: newest.roundTrip === null ? null : newest.roundTrip * 1000,
      lossNow: lossBetween(oldest, newest),
      // Resent packets may be counted as lost once and as received twice: the counter can be negative.
      packetsLost: Math.max(0, newest.packetsLost),
      framesDecoded: newest.framesDecoded,
      framesDropped: newest.framesDropped,
      jitterBufferMs: perItem(growth("jitterBufferDelay"), growth("jitterBufferEmitted")),
      decodeMs: perItem(growth("decodeTime"), frames),
      width: newest.width,
      height: newest.height,
      codec: newest.codec,
      path: newest.path,
      serverPath,
    };
  }
}

/** Figures as pairs of label and text, always the same labels. */
export function rows(figures) {
  const known = (value, text) => (value === null || value === undefined ? "–" : text(value));
  const milliseconds = (ms) => `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
  const count = (n) => n.toLocaleString("en");
  return [
    ["Frames per second", known(figures?.framesPerSecond, (fps) => fps.toFixed(0))],
    ["Bitrate", known(figures?.videoBitrate, bitrate)],
    ["Sound", known(figures?.audioBitrate, bitrate)],
    ["Round trip", known(figures?.roundTripMs, (ms) => (ms < 1 ? "under 1 ms" : `${Math.round(ms)} ms`))],
    ["Packets lost", known(figures?.lossNow, (loss) => `${(loss * 100).toFixed(1)} % · ${count(figures.packetsLost)} in all`)],
    ["Jitter buffer", known(figures?.jitterBufferMs, milliseconds)],
    ["Decoding", known(figures?.decodeMs, milliseconds)],
    ["Frames decoded", known(figures?.framesDecoded, count)],
    ["Frames dropped", known(figures?.framesDropped, count)],
    ["Picture", known(figures?.width, () => `${figures.width}×${figures.height}`)],
    ["Codec", known(figures?.codec, (codec) => codec)],
    ["Path", known(figures?.path, (path) => path)],
    ["Server's path", known(figures?.serverPath, (path) => path)],
  ];
}

function bitrate(bits) {
  if (bits >= 1e6) return `${(bits / 1e6).toFixed(1)} Mbit/s`;
  return `${Math.round(bits / 1e3)} kbit/s`;
}

/** Seconds per item, in milliseconds. */
function perItem(seconds, items) {
  return seconds === null || !items ? null : (seconds / items) * 1000;
}

/** The part of the packets that were due and did not come. */
function lossBetween(older, newer) {
  const lost = Math.max(0, newer.packetsLost - older.packetsLost);
  const due = lost + newer.packetsReceived - older.packetsReceived;
  return due > 0 ? lost / due : 0;
}

function selectedPair(report, all) {
  const transport = all.find((entry) => entry.type === "transport" && entry.selectedCandidatePairId);
  if (transport) return report.get(transport.selectedCandidatePairId);
  // Firefox marks the pair itself.
  const pairs = all.filter((entry) => entry.type === "candidate-pair");
  return pairs.find((pair) => pair.selected) ?? pairs.find((pair) => pair.nominated && pair.state === "succeeded");
}

/** The way that packets take: protocol, and the types of this side's and the server's candidate: "UDP, prflx – host". */
function path(report, pair) {
  const [local, remote] = [report.get(pair?.localCandidateId), report.get(pair?.remoteCandidateId)];
  if (!local || !remote) return null;
  const protocol = (local.relayProtocol ?? local.protocol ?? "?").toUpperCase();
  return `${protocol}, ${local.candidateType} – ${remote.candidateType}`;
}

/** A figure that changes with whatever comes from the other side: media, feedback, answers to checks. */
function heard(pair) {
  if (typeof pair?.bytesReceived !== "number") return null;
  return pair.bytesReceived + (pair.responsesReceived ?? 0);
}
