// What a streamer does and why it failed, in words. Pure.

const STATUS = {
  starting: "Starting",
  active: "Live",
  stalled: "No new pictures",
  reconnecting: "Reconnecting",
  failed: "Failed",
  stopped: "Ended",
};

/** Statuses in which nobody can watch. */
const OVER = new Set(["failed", "stopped"]);

/** The steps of connecting, in their order. A host may leave some out. */
const STAGES = [
  "server info",
  "launch",
  "platform initialization",
  "name resolution",
  "audio stream initialization",
  "RTSP handshake",
  "control stream initialization",
  "video stream initialization",
  "input stream initialization",
  "control stream establishment",
  "video stream establishment",
  "audio stream establishment",
  "input stream establishment",
];
/** Behind the last of them. */
const FIRST_FRAME = "first frame";

/** What a person can do about an error, by its code. */
const ADVICE = {
  app_not_found: "Create the stream anew with another app of the host.",
  host_not_found: "The host is not on this server's list any more.",
  host_not_paired: "Pair with the host: choose it under New stream.",
  host_busy: "Quit the app that runs there, or stream that one.",
  host_refused: "The host's own log or settings say more.",
  connection_timeout: "Is the host on, and can this server reach it?",
  connection_failed: "Is the host on, and can this server reach it?",
  stream_failed: "It had been running.",
  process_failed: "The server's log says more.",
  state_not_kept: "The server's log says why.",
  internal_error: "The server's log says more.",
};
const NO_PICTURE = "The host is there and sends no picture: does a firewall block UDP on the way?";

export function isOver({ status }) {
  return OVER.has(status);
}

/** Whether it is over and stays so: a persistent one that failed is tried again. Its name is free then. */
export function isDone(streamer) {
  return isOver(streamer) && !(streamer.status === "failed" && streamer.persistent);
}

/** What the button is called that has one that is over made anew; "" where there is nothing to do so for. */
export function againText({ status }) {
  return status === "failed" ? "Try again" : status === "stopped" ? "Start again" : "";
}

/** `now` is the server's time, in milliseconds since 1970. */
export function stateText(streamer, now) {
  const text = STATUS[streamer.status] ?? streamer.status;
  if (streamer.status === "starting") return starting(text, streamer, now);
  if (streamer.status === "stalled" && streamer.last_frame_age_ms > 0) {
    return `${text} for ${duration(streamer.last_frame_age_ms)}`;
  }
  return text;
}

function starting(text, streamer, now) {
  const stage = stageOf(streamer);
  const ms = now - Date.parse(streamer.created_at);
  return `${text}${stage ? `: ${stage}` : ""}${ms >= 1000 ? `, ${duration(ms)}` : ""}`;
}

/** The step of a start that goes on; null before the first one, and else. */
export function stageOf({ status, stage, moonlight_connected: connected }) {
  if (status !== "starting") return null;
  return stage ?? (connected ? FIRST_FRAME : null);
}

/** How far a start is, 0 to 1; null when there is none or that cannot be told. */
export function progress(streamer) {
  const stage = stageOf(streamer);
  const index = stage === FIRST_FRAME ? STAGES.length : STAGES.indexOf(stage);
  return index < 0 ? null : (index + 1) / (STAGES.length + 2);
}

/** Nothing where there is nothing to watch, and nobody waits for it. */
export function watching(streamer) {
  const { status, connected_peers: viewers } = streamer;
  if (isOver(streamer) || (status === "starting" && viewers === 0)) return "";
  return `${viewers || "nobody"} watching`;
}

/** The picture. */
export function facts(streamer) {
  const parts = [
    streamer.width > 0 && `${streamer.width}×${streamer.height}`,
    streamer.fps > 0 && `${streamer.fps} fps`,
    streamer.codec,
    streamer.bitrate_kbps > 0 && `${(streamer.bitrate_kbps / 1000).toFixed(1)} Mbit/s`,
  ];
  return parts.filter(Boolean).join(" · ");
}

/** What those who run the server want to know. */
export function details({ pid, restarts, persistent }) {
  const parts = [
    persistent === true && "Persistent",
    restarts > 0 && (restarts === 1 ? "restarted once" : `restarted ${restarts} times`),
    Number.isInteger(pid) && `process ${pid}`,
  ];
  return parts.filter(Boolean).join(" · ");
}

/** What went wrong and where, as a sentence. Some messages say where themselves. */
export function problem({ error }) {
  if (!error?.message) return "";
  const told = !error.stage || error.message.includes(error.stage);
  return sentence(told ? error.message : `${error.stage}: ${error.message}`);
}

/** What to do about it, or nothing. */
export function advice(streamer) {
  const { error } = streamer;
  if (!error) return "";
  const silent = error.code === "connection_timeout" && error.stage === FIRST_FRAME;
  const again = isOver(streamer) && !isDone(streamer) && "It is tried again by itself.";
  return [silent ? NO_PICTURE : ADVICE[error.code], again].filter(Boolean).join(" ");
}

/** The last lines that its process wrote before it failed; "" where there are none. */
export function lastWords({ error }) {
  return Array.isArray(error?.log) ? error.log.join("\n") : "";
}

/** What became of streams since `before`, a map from id to status, for those who listen: not what is new, or gone. */
export function changes(before, streamers) {
  const changed = streamers.filter(({ streamer_id: id, status }) => before.has(id) && before.get(id) !== status);
  return changed.map((streamer) => {
    const state = STATUS[streamer.status] ?? streamer.status;
    return `${streamer.streamer_id}: ${[sentence(state), problem(streamer)].filter(Boolean).join(" ")}`;
  });
}

export function sentence(text) {
  if (!text) return "";
  return `${text[0].toUpperCase()}${text.slice(1)}${/[.!?…]$/.test(text) ? "" : "."}`;
}

/** Rounded down. */
export function duration(ms) {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min ${seconds % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
