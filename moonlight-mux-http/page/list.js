// The list of streams, asked for every two seconds while somebody looks.

const PERIOD_MS = 2000;

const STATUS = {
  starting: "Starting",
  active: "Live",
  stalled: "No picture from the host at the moment",
  reconnecting: "Connecting to the host again",
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

function show(streamers) {
  for (const [id, item] of shown) {
    if (!streamers.some((streamer) => streamer.streamer_id === id)) {
      item.remove();
      shown.delete(id);
    }
  }
  streamers.forEach((streamer, index) => {
    const item = shown.get(streamer.streamer_id) ?? makeItem(streamer.streamer_id);
    update(item, streamer);
    if (list.children[index] !== item) list.insertBefore(item, list.children[index] ?? null);
  });
  empty.hidden = streamers.length > 0;
  const count = streamers.length;
  setText(status, count === 0 ? "" : count === 1 ? "1 stream" : `${count} streams`);
}

function makeItem(id) {
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.className = "streamer";
  link.href = `s/${encodeURIComponent(id)}`;
  for (const part of ["name", "state", "facts"]) {
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
  setText(item.querySelector(".state"), describe(streamer));
  setText(item.querySelector(".facts"), facts(streamer).join(" · "));
}

function describe(streamer) {
  const text = STATUS[streamer.status] ?? streamer.status;
  if (streamer.stage) return `${text}: ${streamer.stage}`;
  if (streamer.error) return `${text}: ${streamer.error.message}`;
  return text;
}

function facts(streamer) {
  return [
    streamer.width > 0 && `${streamer.width}×${streamer.height}`,
    streamer.codec,
    streamer.bitrate_kbps > 0 && `${(streamer.bitrate_kbps / 1000).toFixed(1)} Mbit/s`,
    !OVER.has(streamer.status) && watching(streamer.connected_peers),
  ].filter(Boolean);
}

function watching(viewers) {
  return viewers === 0 ? "nobody watching" : viewers === 1 ? "1 viewer" : `${viewers} viewers`;
}

/** Leaves the element alone when nothing changes: screen readers announce each change. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

async function poll() {
  if (!document.hidden) {
    try {
      const response = await fetch("api/streamers", { cache: "no-store", signal: AbortSignal.timeout(10_000) });
      if (!response.ok) throw new Error(`status ${response.status}`);
      show((await response.json()).streamers);
    } catch {
      setText(status, "The server cannot be reached. Trying again…");
    }
  }
  timer = setTimeout(poll, PERIOD_MS);
}

let timer = setTimeout(poll, 0);

document.addEventListener("visibilitychange", () => {
  if (document.hidden || timer === null) return;
  clearTimeout(timer);
  timer = setTimeout(poll, 0);
});
