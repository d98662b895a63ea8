// Choosing an app in the form: by its picture where the host lists its apps, else by its title.

import { appImage, apps, Refusal } from "./api.js";
import { sentence } from "./streamer_words.js";

export class AppChoice {
  #tiles;
  #titleField;
  #retry;
  #error;
  #chosen;
  #host = null;
  /** The number of the app that was chosen last. */
  #last = null;
  /** Answers of hosts that are not the chosen one any more are not shown. */
  #round = 0;

  /**
   * `tiles` gets a radio button for each app; `titleField` holds an input for hosts that list none; `retry` is a button.
   * `error(text)` shows what is wrong, `chosen(title)` is called when another app is chosen.
   */
  constructor({ tiles, titleField, retry, error, chosen }) {
    this.#tiles = tiles;
    this.#titleField = titleField;
    this.#retry = retry;
    this.#error = error;
    this.#chosen = chosen;
    tiles.addEventListener("change", ({ target }) => this.#picked(target));
    titleField.querySelector("input").addEventListener("input", ({ target }) => this.#picked(target));
    retry.addEventListener("click", () => this.show(this.#host));
  }

  /** As the request says it; null when none is chosen. */
  get value() {
    const tile = this.#tiles.querySelector("input:checked");
    if (tile) return { app_id: Number(tile.value) };
    const title = this.#titleField.querySelector("input").value.trim();
    return this.#titleField.hidden || title === "" ? null : { app: title };
  }

  /** What the host can run. `host` is what the server says of it, or null. */
  async show(host) {
    const round = ++this.#round;
    const retried = document.activeElement === this.#retry;
    this.#host = host;
    this.#tiles.replaceChildren();
    this.#tiles.hidden = true;
    this.#retry.hidden = true;
    this.#error("");
    this.#titleField.hidden = host === null || host.paired;
    if (!host?.paired) return;
    this.#tiles.hidden = false;
    this.#tiles.textContent = "Asking the host…";
    try {
      const list = await apps(host.host_id);
      if (round !== this.#round) return;
      this.#tiles.replaceChildren(...list.map((app) => tileOf(host.host_id, app)));
      if (list.length === 0) this.#error("The host has no apps.");
      else this.#select();
      if (retried) this.focus();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (round !== this.#round) return;
      this.#tiles.hidden = true;
      this.#tiles.replaceChildren();
      this.#retry.hidden = false;
      if (retried) this.#retry.focus();
      this.#error(sentence(error.message));
    }
  }

  /** Shows nothing until the next `show`. */
  close() {
    this.#round += 1;
    this.#tiles.replaceChildren();
  }

  focus() {
    const tile = this.#tiles.querySelector("input:checked") ?? this.#tiles.querySelector("input");
    if (tile) tile.focus();
    else if (this.#retry.hidden) this.#titleField.querySelector("input").focus();
    else this.#retry.focus();
  }

  /** The one that was chosen last; else the first is as good as any: most hosts have their desktop there. */
  #select() {
    const inputs = [...this.#tiles.querySelectorAll("input")];
    const input = inputs.find(({ value }) => value === this.#last) ?? inputs[0];
    input.checked = true;
    this.#picked(input);
  }

  #picked(input) {
    this.#error("");
    if (input.type === "radio") this.#last = input.value;
    this.#chosen(input.type === "radio" ? input.dataset.title : input.value.trim());
  }
}

function tileOf(hostId, { app_id: id, title }) {
  const tile = document.createElement("label");
  tile.className = "app";
  const input = document.createElement("input");
  Object.assign(input, { type: "radio", name: "app", value: id, className: "unseen" });
  input.dataset.title = title;
  const face = document.createElement("span");
  face.className = "face";
  const image = document.createElement("img");
  Object.assign(image, { alt: "", loading: "lazy", width: 120, height: 160, src: appImage(hostId, id) });
  // Hosts without a picture of it.
  image.addEventListener("error", () => face.replaceChildren(initial(title)));
  face.append(image);
  const name = document.createElement("span");
  name.className = "title";
  name.textContent = title || `App ${id}`;
  tile.append(input, face, name);
  return tile;
}

function initial(title) {
  const letter = document.createElement("span");
  letter.setAttribute("aria-hidden", "true");
  letter.textContent = [...title.trim()][0]?.toUpperCase() ?? "?";
  return letter;
}
