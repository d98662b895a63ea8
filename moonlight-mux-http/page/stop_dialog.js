// Asks before a stream is stopped, and stops it.

import { deleteStreamer, Refusal } from "./api.js";
import { isDone, isOver, sentence } from "./streamer_words.js";

export class StopDialog {
  #dialog;
  #stopped;
  #streamer = null;
  #busy = false;

  /** `stopped` is called with the id of a stream that is gone. */
  constructor(dialog, stopped) {
    this.#dialog = dialog;
    this.#stopped = stopped;
    dialog.querySelector("form").addEventListener("submit", (event) => this.#submit(event));
  }

  open(streamer) {
    this.#streamer = streamer;
    this.#part("title").textContent = `${verb(streamer)} ${streamer.streamer_id}?`;
    this.#part("text").textContent = consequence(streamer);
    this.#part("quit-label").hidden = isOver(streamer);
    this.#part("quit").checked = false;
    this.#part("error").textContent = "";
    this.#setBusy(false);
    this.#dialog.showModal();
  }

  #part(name) {
    return this.#dialog.querySelector(`#stop-${name}`);
  }

  async #submit(event) {
    if (event.submitter?.value !== "stop") return;
    event.preventDefault();
    if (this.#busy) return;
    const streamer = this.#streamer;
    this.#setBusy(true);
    const error = await stop(streamer.streamer_id, this.#part("quit").checked);
    // The person may have closed it meanwhile, and asked for another.
    const asked = this.#streamer === streamer;
    if (asked) this.#setBusy(false);
    if (asked && error) this.#part("error").textContent = sentence(error);
    if (asked && !error) this.#dialog.close();
    if (!error) this.#stopped(streamer.streamer_id);
  }

  #setBusy(busy) {
    this.#busy = busy;
    this.#part("confirm").textContent = busy ? "Stopping…" : verb(this.#streamer);
  }
}

/** Why it cannot be stopped; null when it is gone. */
async function stop(id, quit) {
  try {
    await deleteStreamer(id, { quit });
    return null;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return error.problem.code === "streamer_not_found" ? null : error.message;
  }
}

function verb(streamer) {
  return isDone(streamer) ? "Remove" : "Stop";
}

/** What stopping it does, in sentences. */
export function consequence(streamer) {
  const sentences = [];
  if (!isOver(streamer)) sentences.push(audience(streamer.connected_peers));
  if (streamer.persistent) sentences.push("The server forgets it: it is not started again.");
  return sentences.join(" ") || "It has ended, and goes from the list.";
}

function audience(viewers) {
  if (viewers === 0) return "Nobody is watching.";
  return viewers === 1 ? "One viewer is watching, and is sent away." : `${viewers} viewers are watching, and are sent away.`;
}
