// The list of streams, asked for every two seconds while somebody looks.

const PERIOD_MS = 2_000;
const TIMEOUT_MS = 10_000;

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

const list = document.getElementById("streamers");
const empty = document.getElementById("empty");
const status = document.getElementById("status");

/** The shown streams' elements, by id: they are kept, so that keyboard focus survives each update. */
const shown = new Map();
let timer = null;
let polling = false;

function show(streamers) {
  for (const [id, item] of shown) {
    if (streamers.some((streamer) => streamer.streamer_id === id)) continue;
    item.remove();
    shown.delete(id);
  }
  streamers.forEach((streamer, index) => {
    const item = shown.get(streamer.streamer_id) ?? makeItem(streamer.streamer_id);
    update(item, streamer);
    if (list.children[index] !== item) list.insertBefore(item, list.children[index] ?? null);
  });
  empty.hidden = streamers.length > 0;
  const count = streamers.length;
  setText(status, count === 0 ? "No streams" : count === 1 ? "1 stream" : `${count} streams`);
}

function makeItem(id) {
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.className = "streamer";
  link.href = `s/${encodeURIComponent(id)}`;
  for (const part of ["state", "watching", "name", "facts", "problem"]) {
    const span = document.createElement("span");
    span.className = part;
    link.append(span);
  }
  link.querySelector(".name").textContent = id;
  item.append(link);
  shown.set(id, item);
  return item;
}

function update(item, streamer) {
  item.firstChild.dataset.status = streamer.status;
  const text = STATUS[streamer.status] ?? streamer.status;
  setText(item.querySelector(".state"), streamer.stage ? `${text}: ${streamer.stage}` : text);
  setText(item.querySelector(".watching"), watching(streamer));
  setText(item.querySelector(".facts"), facts(streamer).join(" · "));
  setText(item.querySelector(".problem"), problem(streamer));
}

function facts(streamer) {
  return [
    streamer.width > 0 && `${streamer.width}×${streamer.height}`,
    streamer.fps > 0 && `${streamer.fps} fps`,
    streamer.codec,
    streamer.bitrate_kbps > 0 && `${(streamer.bitrate_kbps / 1000).toFixed(1)} Mbit/s`,
  ].filter(Boolean);
}

function watching(streamer) {
  return OVER.has(streamer.status) ? "" : `${streamer.connected_peers || "nobody"} watching`;
}

/** What went wrong, as a sentence. */
function problem({ error }) {
  if (!error) return "";
  const text = error.stage ? `${error.stage}: ${error.message}` : error.message;
  return `${text[0].toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}`;
}

/** Leaves the element alone when nothing changes: screen readers announce each change. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** One call at a time, and the next one later; at once when the page is looked at again. */
async function poll() {
  if (polling) return;
  polling = true;
  clearTimeout(timer);
  try {
    const response = await fetch("api/streamers", { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!response.ok) throw new Error(`status ${response.status}`);
    show((await response.json()).streamers);
    document.body.classList.remove("stale");
  } catch {
    setText(status, "The server cannot be reached. Trying again…");
    document.body.classList.add("stale");
  }
  polling = false;
  if (!document.hidden) timer = setTimeout(poll, PERIOD_MS);
}

document.addEventListener("visibilitychange", () => document.hidden || poll());
addEventListener("online", poll);
poll();
