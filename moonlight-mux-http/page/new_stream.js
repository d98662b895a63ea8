// The form that creates a stream.

import { createStreamer, Refusal } from "./api.js";
import { AppChoice } from "./app_choice.js";
import { HostChoice } from "./host_choice.js";
import { placeOf, requestOf, suggestName } from "./new_stream_request.js";

const PLACES = ["host", "app", "name", "size", "fps", "bitrate", "persistent", "form"];

export class NewStream {
  #dialog;
  #taken;
  #created;
  #hosts;
  #apps;
  #title = "";
  /** The name that was filled in by the page: another may take its place. */
  #suggested = "";
  /** Counts the times it was opened: what comes of an older one does not touch it. */
  #opened = 0;
  #busy = false;

  /** `taken()` gives the names that are in use; `created` is called with the id of a stream that starts. */
  constructor(dialog, taken, created) {
    this.#dialog = dialog;
    this.#taken = taken;
    this.#created = created;
    this.#apps = new AppChoice({
      tiles: this.#part("apps"),
      titleField: this.#part("title-field"),
      retry: this.#part("apps-again"),
      error: (text) => this.#say("app", text),
      chosen: (title) => this.#suggest(title),
    });
    this.#hosts = new HostChoice({
      select: this.#part("host"),
      addButton: this.#part("add-host"),
      adding: this.#part("adding"),
      pairing: this.#part("pairing"),
      error: (text) => this.#say("host", text),
      chosen: (host) => this.#apps.show(host),
    });
    const form = dialog.querySelector("form");
    form.addEventListener("submit", (event) => this.#submit(event));
    // The event comes a moment later: the form may be open again by then.
    dialog.addEventListener("close", () => dialog.open || this.#forget());
    // What stands there is of another name.
    this.#part("name").addEventListener("input", () => this.#say("name", ""));
    this.#part("size").addEventListener("change", () => this.#showSize());
    this.#part("replace").addEventListener("click", () => this.#create({ replace: true }));
    this.#part("close").addEventListener("click", () => dialog.close());
    this.#part("cancel").addEventListener("click", () => dialog.close());
    this.#showSize();
  }

  open() {
    this.#opened += 1;
    this.#forget();
    this.#setBusy(false);
    for (const place of PLACES) this.#say(place, "");
    if (this.#part("name").value === this.#suggested) this.#suggest(this.#title);
    this.#dialog.showModal();
    this.#hosts.open();
  }

  /** Whatever hosts answer from now on is not shown. */
  #forget() {
    this.#hosts.close();
    this.#apps.close();
  }

  #part(name) {
    return this.#dialog.querySelector(`#new-${name}`);
  }

  #suggest(title) {
    const name = this.#part("name");
    this.#title = title;
    if (name.value !== this.#suggested) return;
    name.value = this.#suggested = title === "" ? "" : suggestName(title, this.#taken());
  }

  #showSize() {
    this.#part("other-size").hidden = this.#part("size").value !== "other";
  }

  #submit(event) {
    // Forms are sent nowhere: the page calls the API.
    event.preventDefault();
    this.#create({ replace: false });
  }

  async #create({ replace }) {
    if (this.#busy) return;
    for (const place of PLACES) this.#say(place, "");
    const { request, faults } = requestOf(this.#values());
    if (Object.keys(faults).length > 0) return this.#sayAll(faults);
    const opened = this.#opened;
    this.#setBusy(true);
    try {
      const { streamer_id: id } = await createStreamer(request, { replace });
      if (opened === this.#opened) {
        this.#dialog.close();
        // The next one gets another name.
        this.#part("name").value = this.#suggested = "";
      }
      this.#created(id);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (opened !== this.#opened) return;
      const { place, text } = placeOf(error.problem, error.message);
      this.#sayAll({ [place]: text });
      this.#part("replace").hidden = error.problem.code !== "streamer_exists";
    } finally {
      if (opened === this.#opened) this.#setBusy(false);
    }
  }

  #values() {
    const texts = ["name", "size", "width", "height", "fps", "bitrate"].map((name) => [name, this.#part(name).value]);
    return {
      ...Object.fromEntries(texts),
      host: this.#hosts.value,
      app: this.#apps.value,
      persistent: this.#part("persistent").checked,
    };
  }

  /** Shows sentences at their places, and goes to the first of them. */
  #sayAll(sentences) {
    for (const [place, text] of Object.entries(sentences)) this.#say(place, text);
    const first = PLACES.find((place) => place in sentences);
    if (first === "app") this.#apps.focus();
    else if (first === "size" && !this.#part("other-size").hidden) this.#part("width").focus();
    else this.#part(first === "form" ? "create" : first).focus();
  }

  #say(place, text) {
    const error = this.#part(`${place}-error`);
    error.textContent = text;
    if (place === "name") this.#part("replace").hidden = true;
    for (const field of this.#dialog.querySelectorAll(`[aria-describedby="${error.id}"]`)) {
      if (text) field.setAttribute("aria-invalid", "true");
      else field.removeAttribute("aria-invalid");
    }
  }

  #setBusy(busy) {
    this.#busy = busy;
    this.#part("create").textContent = busy ? "Creating…" : "Create";
  }
}
