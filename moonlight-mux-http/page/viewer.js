// Plays one stream: the page's wiring.
//
// For tests: `window.moonlightMux` is `{ pc, video, state, handleEvent, events, input, motion, sender }`. `pc` is the current
// RTCPeerConnection or null; `state` is one of "connecting" (no picture yet), "playing", "waiting" (will try again by
// itself), "ended" (will not); `handleEvent` takes a parsed message of the data channel `events`, and `events` has the
// newest of each kind; `input` and `motion` are the page's channels, and `sender` is what it sends on them with (input.js).

import { streamer } from "./api.js";
import { openChannels } from "./channels.js";
import { Connection } from "./connection.js";
import { Control } from "./control.js";
import { Cursors } from "./cursors.js";
import { handleEvent } from "./events.js";
import { Input } from "./input.js";
import { Overlay } from "./overlay.js";
import { Panels } from "./panels.js";
import { People } from "./people.js";
import { Reconnect } from "./reconnect.js";
import { remember, remembered } from "./settings.js";
import { helpRows, Shortcuts } from "./shortcuts.js";
import { History } from "./statistics.js";
import { interruptionOf, NO_WEBRTC } from "./verdicts.js";
import { View } from "./view.js";

const SAMPLE_MS = 1_000;
/** Playing this long makes the next interruption a new one: the back-off starts over. */
const STEADY_MS = 10_000;

const STATUS = { connecting: "Connecting", playing: "Live", waiting: "Disconnected", ended: "Disconnected" };

const element = (id) => document.getElementById(id);
const video = element("video");
const streamerId = decodeURIComponent(location.pathname.split("/").pop());

const input = new Input();
const page = { pc: null, video, state: "connecting", events: {}, handleEvent: said, sender: input };
window.moonlightMux = page;

let connection = null;
let history = new History();
/** What is known of the stream and of the way to here; null is unknown. */
let health = { status: null, video: null };

// Joining, and joining again.

function join() {
  if (connection) return;
  history = new History();
  health = { status: null, video: null };
  show({ state: "connecting", message: "Connecting…" });
  connection = new Connection(streamerId, video, connectionHandlers);
}

const reconnect = new Reconnect(join, (seconds) => setText("countdown", `Trying again in ${seconds} s…`));

const connectionHandlers = {
  peer(pc) {
    page.pc = pc;
    page.events = {};
    const channels = openChannels(pc, said);
    Object.assign(page, channels);
    input.open(channels);
  },
  track: startPlaying,
  progress: (message) => show({ state: "connecting", message }),
  stream: (stream) => setHealth(stream),
  change: changed,
  ended(verdict) {
    if (connection?.playedMs > STEADY_MS) reconnect.succeeded();
    connection = null;
    page.pc = null;
    input.close();
    people.clear();
    cursors.clear();
    panels.close();
    show({ state: verdict.again ? "waiting" : "ended", ...verdict });
    if (verdict.again) reconnect.later();
  },
};

function changed(change) {
  switch (change) {
    case "first_frame":
      show({ state: "playing" });
      return setHealth({ status: "active" });
    // What was asked for when it stood still holds no more.
    case "playing": return setHealth({ status: "active" });
    case "black":
      setText("hint", "The connection stands, but no picture has come yet.");
      return askForStatus();
    case "frozen": return askForStatus();
    default: return showInterruption();
  }
}

/** Servers that say nothing of the stream on the data channel are asked. */
async function askForStatus() {
  showInterruption();
  const asked = connection;
  const info = await streamer(streamerId);
  if (info && connection === asked) setHealth({ status: info.status });
}

/** Joins again without waiting, as by a click. */
function joinNow() {
  connection?.lose();
  reconnect.succeeded();
  reconnect.now();
}

/** The page is looked at again, or the network is back: whatever is dead is replaced at once. */
function revive() {
  if (reconnect.waiting) reconnect.now();
  else if (connection?.state === "disconnected" || connection?.state === "failed") joinNow();
  else observe();
}

// What the server says, and what the browser counts.

function said(message) {
  Object.assign(page.events, message);
  handleEvent(message, eventHandlers);
}

const eventHandlers = {
  viewers(viewers) {
    people.handleViewers(viewers, performance.now());
    cursors.handleViewers(viewers.viewers);
    control.handleViewers(viewers);
  },
  stream: ({ status }) => setHealth({ status }),
  quality: ({ video }) => setHealth({ video }),
  input(status) {
    input.handleStatus(status);
    people.handleTurn(status.turn ?? null);
  },
  pointers: (pointers) => cursors.handlePointers(pointers),
  feedback: (feedback) => control.handleFeedback(feedback),
};

function setHealth(changes) {
  Object.assign(health, changes);
  connection?.handleStatus(health.status);
  showInterruption();
}

async function observe() {
  const counted = await connection?.sample();
  if (counted) history.add(counted);
  overlay.show(connection && history.figures(page.events.Quality?.path ?? null));
  people.tick(performance.now());
  showInterruption();
}

// What is shown.

const view = new View(element("viewer"), element("picture"), video, showView);
const people = new People(element("people"), element("people-list"));
const panels = new Panels([element("people"), element("keys")], () => !input.engaged);
const control = new Control(input, view, video, panels, announce);
const cursors = new Cursors(element("cursors"), element("picture"), video);
const overlay = new Overlay(element("figures"), element("rate"));

function show({ state, message = "", hint = "" }) {
  const before = page.state;
  page.state = state;
  element("viewer").dataset.state = state;
  setText("message", message);
  setText("hint", hint);
  setText("countdown", "");
  element("notice").hidden = state === "playing";
  element("notice").classList.toggle("busy", state === "connecting");
  element("retry").hidden = state !== "waiting" && state !== "ended";
  if (state === "playing") announce("Playing");
  else if (state === "ended") announce(`${message} ${hint}`);
  // Said once, not again with each attempt.
  else if (state === "waiting" && before !== state && reconnect.failures === 0) announce(`${message} Trying again by itself.`);
  showInterruption();
}

/** Why there is no picture, or why it stands still. */
function showInterruption() {
  const frozen = connection?.frozen ?? null;
  const text = interruptionOf({ ...health, frozen, answers: connection?.state !== "disconnected" });
  if (page.state === "connecting" && text) setText("hint", text);
  const [banner, shown] = [element("interruption"), page.state === "playing" && text !== null];
  element("viewer").classList.toggle("interrupted", shown);
  const interrupted = health.status === "reconnecting" ? "Reconnecting" : "Interrupted";
  setText("status", shown ? interrupted : STATUS[page.state]);
  if (shown && setText("interruption-text", text)) announce(text);
  if (!shown && !banner.hidden && setText("interruption-text", "") && page.state === "playing") announce("Playing");
  element("rejoin").hidden = !frozen;
  banner.hidden = !shown;
}

function showView() {
  setToggle("pixels", view.pixels, "Pixel by pixel", "p");
  setToggle("fullscreen", view.fullscreen, "Full screen", "f");
  setIcon("fullscreen", view.fullscreen ? "leave-fullscreen" : "fullscreen");
}

function showSound() {
  const label = video.muted ? "Unmute" : "Mute";
  element("sound").querySelector(".label").textContent = label;
  element("sound").title = `${label} (M)`;
  element("sound").classList.toggle("on", !video.muted);
  setIcon("sound", video.muted ? "sound-off" : "sound-on");
}

function showStatistics(shown) {
  element("statistics-panel").hidden = !shown;
  setToggle("statistics", shown, "Statistics", "i");
}

/** Whether the text is another one now; elements are left alone when it is not. */
function setText(id, text) {
  if (element(id).textContent === text) return false;
  element(id).textContent = text;
  return true;
}

function setToggle(id, on, label, key) {
  element(id).setAttribute("aria-pressed", on);
  element(id).title = `${label} (${key.toUpperCase()})`;
}

function setIcon(id, name) {
  element(id).querySelector("use").setAttribute("href", `../assets/icons.svg#${name}`);
}

function announce(text) {
  setText("announcement", text.trim());
}

// What the person does.

/** Browsers let muted video start by itself; where even that is off, a button does it. */
async function startPlaying() {
  try {
    await video.play();
    element("play").hidden = true;
  } catch (error) {
    if (error.name !== "NotAllowedError") return; // A newer attempt's media took over.
    element("play").hidden = false;
  }
}

function toggleSound() {
  video.muted = !video.muted;
  startPlaying();
}

function toggleStatistics() {
  showStatistics(element("statistics-panel").hidden);
  remember("statistics", element("statistics-panel").hidden ? "off" : "on");
}

function togglePixels() {
  view.pixels = !view.pixels;
  remember("view", view.pixels ? "pixels" : "fitted");
}

function help() {
  element("help-dialog").showModal();
}

const shortcuts = new Shortcuts(
  [
    { key: "m", description: "Sound on or off", run: toggleSound },
    { key: "f", description: "Full screen", run: () => view.toggleFullscreen() },
    { key: "p", description: "Pixel by pixel, or fitted", run: togglePixels },
    { key: "i", description: "Statistics", run: toggleStatistics },
    { key: "?", description: "This help", run: help },
    { key: "dblclick", description: "Full screen (while you watch)", run: () => view.toggleFullscreen() },
  ],
  element("picture"),
  () => input.engaged,
);

function enableShortcuts(enabled) {
  shortcuts.enabled = enabled;
  element("shortcuts-enabled").checked = enabled;
}

element("title").textContent = streamerId;
document.title = `${streamerId} – moonlight-mux`;
video.setAttribute("aria-label", `Picture of ${streamerId}`);
element("shortcuts").append(...helpRows(shortcuts.table));
element("shortcuts-enabled").onchange = ({ target }) => {
  enableShortcuts(target.checked);
  remember("shortcuts", target.checked ? "on" : "off");
};
enableShortcuts(remembered("shortcuts") !== "off");

element("retry").onclick = joinNow;
element("rejoin").onclick = joinNow;
element("play").onclick = startPlaying;
element("sound").onclick = toggleSound;
element("statistics").onclick = toggleStatistics;
element("pixels").onclick = togglePixels;
element("fullscreen").onclick = () => view.toggleFullscreen();
element("help").onclick = help;
element("help").title = "Help (?)";
video.onvolumechange = showSound;

showSound();
showStatistics(remembered("statistics") === "on");
view.pixels = remembered("view") === "pixels";

// Coming and going.

addEventListener("online", revive);
document.addEventListener("visibilitychange", () => document.hidden || revive());
// A page that the browser keeps for "back" must not go on watching.
addEventListener("pagehide", () => {
  reconnect.stop();
  connection?.leave();
});
addEventListener("pageshow", ({ persisted }) => persisted && join());

if (window.RTCPeerConnection) {
  join();
  setInterval(observe, SAMPLE_MS);
} else {
  show({ state: "ended", ...NO_WEBRTC });
}
