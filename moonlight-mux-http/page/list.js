// The list of streams, asked for while somebody looks, and its dialogs.

import { Refusal, restartStreamer, streamers as ask } from "./api.js";
import { NewStream } from "./new_stream.js";
import { StopDialog } from "./stop_dialog.js";
import { Cards } from "./streamer_cards.js";
import { changes, isDone } from "./streamer_words.js";

const PERIOD_MS = 2_000;
/** While a stream starts. */
const STARTING_PERIOD_MS = 1_000;

/** What was shown last, by id. */
let statuses = new Map();
/** The names that no other stream can have. */
let taken = [];
let timer = null;
/** The call that is under way. */
let polling = null;

const byId = (id) => document.getElementById(id);
const status = byId("status");

const stopDialog = new StopDialog(byId("stop-dialog"), stopped);
const cards = new Cards(byId("streamers"), { stop: (streamer) => stopDialog.open(streamer), restart });
const newStream = new NewStream(byId("new-dialog"), () => taken, created);
for (const button of document.querySelectorAll(".new-stream")) button.addEventListener("click", () => newStream.open());

function show({ streamers, now }) {
  cards.show(streamers, now);
  byId("empty").hidden = streamers.length > 0;
  const count = streamers.length;
  say(count === 0 ? "No streams" : count === 1 ? "1 stream" : `${count} streams`);
  const changed = changes(statuses, streamers);
  if (changed.length > 0) byId("announcement").textContent = changed.join(" ");
  statuses = new Map(streamers.map(({ streamer_id: id, status }) => [id, status]));
  taken = streamers.filter((streamer) => !isDone(streamer)).map(({ streamer_id: id }) => id);
}

/** Screen readers announce each change. */
function say(text) {
  if (status.textContent !== text) status.textContent = text;
}

/** One call at a time, and the next one later; at once when the page is looked at again. */
function poll() {
  polling ??= askAndShow().finally(() => (polling = null));
  return polling;
}

async function askAndShow() {
  clearTimeout(timer);
  try {
    show(await ask());
    document.body.classList.remove("stale");
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    say("The server cannot be reached. Trying again…");
    document.body.classList.add("stale");
  } finally {
    const starts = [...statuses.values()].includes("starting");
    if (!document.hidden) timer = setTimeout(poll, starts ? STARTING_PERIOD_MS : PERIOD_MS);
  }
}

/** Shows what there is from now on: the answer that is under way may be older. */
async function refresh() {
  await polling;
  await poll();
}

async function restart(id) {
  const pressed = document.activeElement;
  try {
    await restartStreamer(id);
  } catch (error) {
    // Somebody else, or the server itself, was faster.
    if (error.problem?.code !== "streamer_exists") throw error;
  }
  await refresh();
  // Its button goes. Who went on meanwhile stays where they are.
  if ([pressed, document.body].includes(document.activeElement)) cards.focus(id);
}

async function created(id) {
  await refresh();
  cards.focus(id);
}

async function stopped() {
  await refresh();
  // The button that had the focus is gone.
  if (document.activeElement === document.body) byId("new-stream").focus();
}

document.addEventListener("visibilitychange", () => document.hidden || poll());
addEventListener("online", poll);
poll();
