// The streams as cards: a link to each, and the buttons that stop it or have it made anew.

import { Refusal } from "./api.js";
import { advice, againText, details, facts, isDone, lastWords, problem, progress, sentence, stateText, watching } from "./streamer_words.js";

export class Cards {
  #list;
  #stop;
  #restart;
  /** The shown streams' elements, by id: they are kept, so that keyboard focus survives each update. */
  #shown = new Map();

  /**
   * `stop` is called with what the server said last of a stream whose button was pressed. `restart` is called with the id of
   * one that has ended, and gives a promise: of nothing, or of a `Refusal`.
   */
  constructor(list, { stop, restart }) {
    this.#list = list;
    this.#stop = stop;
    this.#restart = restart;
  }

  /** `now` is the server's time, in milliseconds since 1970. */
  show(streamers, now) {
    for (const [id, card] of this.#shown) {
      if (streamers.some((streamer) => streamer.streamer_id === id)) continue;
      card.item.remove();
      this.#shown.delete(id);
    }
    streamers.forEach((streamer, index) => {
      const card = this.#shown.get(streamer.streamer_id) ?? this.#make(streamer.streamer_id);
      update(card, streamer, now);
      if (this.#list.children[index] !== card.item) {
        this.#list.insertBefore(card.item, this.#list.children[index] ?? null);
      }
    });
  }

  /** Puts the keyboard's focus on a stream, if it is shown. */
  focus(id) {
    this.#shown.get(id)?.link.focus();
  }

  #make(id) {
    const item = document.createElement("li");
    item.className = "card";
    const link = document.createElement("a");
    link.className = "streamer";
    link.href = `s/${encodeURIComponent(id)}`;
    const parts = {};
    for (const name of ["state", "watching", "name", "facts", "problem", "advice"]) {
      parts[name] = add(link, "span", name);
    }
    parts.name.textContent = id;
    const foot = document.createElement("div");
    foot.className = "foot";
    parts.details = add(foot, "span", "details");
    parts.code = add(foot, "code", "code");
    const does = add(foot, "div", "does");
    const [again, button] = ["again", "stop"].map((name) => add(does, "button", `plain ${name}`));
    again.type = button.type = "button";
    parts.refusal = add(foot, "p", "error");
    parts.refusal.setAttribute("role", "alert");
    const log = document.createElement("details");
    log.className = "log";
    add(log, "summary", "").textContent = "What its process wrote last";
    parts.log = add(log, "pre", "");
    item.append(link, log, foot);
    const card = { item, link, parts, again, button, streamer: null, busy: false };
    button.addEventListener("click", () => this.#stop(card.streamer));
    again.addEventListener("click", () => this.#again(card));
    this.#shown.set(id, card);
    return card;
  }

  async #again(card) {
    if (card.busy) return;
    card.busy = true;
    setText(card.parts.refusal, "");
    try {
      await this.#restart(card.streamer.streamer_id);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      setText(card.parts.refusal, sentence(error.message));
    } finally {
      card.busy = false;
    }
  }
}

function update(card, streamer, now) {
  card.streamer = streamer;
  card.item.dataset.status = streamer.status;
  const { parts, button, again } = card;
  setText(parts.state, stateText(streamer, now));
  setText(parts.watching, watching(streamer));
  setText(parts.facts, facts(streamer));
  setText(parts.problem, problem(streamer));
  setText(parts.advice, advice(streamer));
  setText(parts.details, details(streamer));
  setText(parts.log, lastWords(streamer));
  parts.log.parentElement.hidden = parts.log.textContent === "";
  setText(parts.code, streamer.error?.code ?? "");
  const done = isDone(streamer) ? "Remove" : "Stop";
  label(button, done, streamer);
  label(again, againText(streamer), streamer);
  again.hidden = again.textContent === "";
  if (again.hidden) setText(parts.refusal, "");
  const share = progress(streamer);
  card.item.classList.toggle("measured", share !== null);
  card.item.style.setProperty("--progress", share ?? 0);
}

function add(parent, tag, className) {
  const element = document.createElement(tag);
  element.className = className;
  parent.append(element);
  return element;
}

/** What a button does, and for those who do not see the card, to which stream. */
function label(button, text, { streamer_id: id }) {
  setText(button, text);
  button.setAttribute("aria-label", `${text} ${id}`);
}

/** Leaves the element alone when nothing changes: a person may have selected text. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
