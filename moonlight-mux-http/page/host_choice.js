// Choosing a host in the form: those that the server knows, another one by its address, and pairing with it.

import { addHost, hosts, pairHost, Refusal } from "./api.js";
import { sentence } from "./streamer_words.js";

/** How often the server is asked whether the PIN was entered. It does not ask the host for that. */
const PERIOD_MS = 1_000;

export class HostChoice {
  #select;
  #addButton;
  #adding;
  #pairing;
  #error;
  #chosen;
  #hosts = [];
  #timer = null;
  /** Answers to what was asked before count no more. */
  #round = 0;

  /**
   * `select` lists hosts; `adding` holds an input, a button and an `.error`; `pairing` a `.who`, a button, a `.pin` that
   * shows while the PIN is waited for, and an `.error`. `error(text)` shows what is wrong with the host, `chosen(host)` is
   * called with what the server says of the chosen one whenever that is another or has been paired, null without one.
   */
  constructor({ select, addButton, adding, pairing, error, chosen }) {
    this.#select = select;
    this.#addButton = addButton;
    this.#adding = adding;
    this.#pairing = pairing;
    this.#error = error;
    this.#chosen = chosen;
    select.addEventListener("change", () => this.#choose());
    addButton.addEventListener("click", () => this.#showAdding(adding.hidden));
    adding.querySelector("button").addEventListener("click", () => this.#add());
    adding.querySelector("input").addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      this.#add();
    });
    pairing.querySelector("button").addEventListener("click", () => this.#pair());
  }

  get value() {
    return this.#select.value;
  }

  /** Asks which hosts there are. The one that was chosen stays so. */
  async open() {
    this.#showAdding(false);
    await this.#load(this.#select.value);
    if (this.#hosts.length === 0) this.#showAdding(true);
  }

  /** Asks no more. */
  close() {
    this.#round += 1;
    clearTimeout(this.#timer);
  }

  async #load(wanted) {
    const round = ++this.#round;
    try {
      const known = await hosts();
      if (round !== this.#round) return;
      this.#hosts = known;
      this.#error("");
    } catch (error) {
      this.#fail(error, round);
      return;
    }
    const options = this.#hosts.map((host) => new Option(labelOf(host, this.#hosts), host.host_id));
    if (options.length === 0) options.push(new Option("No hosts yet", ""));
    this.#select.replaceChildren(...options);
    this.#select.disabled = this.#hosts.length === 0;
    if (this.#hosts.some(({ host_id: id }) => String(id) === wanted)) this.#select.value = wanted;
    this.#choose();
  }

  #choose() {
    this.#round += 1;
    clearTimeout(this.#timer);
    const host = this.#hosts.find(({ host_id: id }) => String(id) === this.#select.value) ?? null;
    this.#error("");
    this.#part("error").textContent = "";
    this.#showPairing(host);
    this.#chosen(host);
  }

  #showPairing(host) {
    const hidden = host === null || host.paired;
    // The keyboard's focus does not go with it.
    if (hidden && this.#pairing.contains(document.activeElement)) this.#select.focus();
    this.#pairing.hidden = hidden;
    this.#part("pin").hidden = true;
    this.#part("who").textContent = host ? `This server is not paired with ${host.name || host.address} yet.` : "";
  }

  #part(name) {
    return this.#pairing.querySelector(`.${name}`);
  }

  #showAdding(shown) {
    this.#adding.hidden = !shown;
    this.#addButton.setAttribute("aria-expanded", shown);
    this.#adding.querySelector(".error").textContent = "";
    if (shown) this.#adding.querySelector("input").focus();
  }

  async #add() {
    const [input, button] = [this.#adding.querySelector("input"), this.#adding.querySelector("button")];
    const said = this.#adding.querySelector(".error");
    if (button.getAttribute("aria-busy") === "true") return;
    said.textContent = "";
    button.setAttribute("aria-busy", "true");
    try {
      const { host_id: id } = await addHost(input.value.trim());
      input.value = "";
      await this.#added(id);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (error.problem.code === "host_exists") await this.#added(error.problem.host_id);
      else said.textContent = sentence(error.message.replace(/^address /, "The address "));
    } finally {
      button.removeAttribute("aria-busy");
    }
  }

  async #added(id) {
    this.#showAdding(false);
    await this.#load(String(id));
    this.#select.focus();
  }

  async #pair() {
    const button = this.#pairing.querySelector("button");
    // Each call has a PIN of its own.
    if (button.getAttribute("aria-busy") === "true") return;
    button.setAttribute("aria-busy", "true");
    const round = ++this.#round;
    clearTimeout(this.#timer);
    const id = Number(this.#select.value);
    this.#part("error").textContent = "";
    try {
      const pin = await pairHost(id);
      if (round !== this.#round) return;
      this.#part("pin").querySelector("strong").textContent = pin;
      this.#part("pin").hidden = false;
      this.#wait(id, round);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (round === this.#round) this.#part("error").textContent = sentence(error.message);
    } finally {
      button.removeAttribute("aria-busy");
    }
  }

  #wait(id, round) {
    this.#timer = setTimeout(async () => {
      const known = await hosts().catch(() => this.#hosts);
      if (round !== this.#round) return;
      this.#hosts = known;
      const host = known.find(({ host_id: other }) => other === id);
      if (!host || host.paired) {
        await this.#load(String(id));
      } else if (host.pairing?.status === "failed") {
        this.#showPairing(host);
        this.#part("error").textContent = sentence(host.pairing.error.message);
      } else {
        this.#wait(id, round);
      }
    }, PERIOD_MS);
  }

  #fail(error, round) {
    if (!(error instanceof Refusal)) throw error;
    if (round === this.#round) this.#error(sentence(error.message));
  }
}

/** Its name, with its address where two have one name, the address alone where it has told none yet. Pure. */
export function labelOf(host, all) {
  const alone = all.filter(({ name }) => name === host.name).length === 1;
  const name = alone || host.name === "" ? host.name || host.address : `${host.name} (${host.address})`;
  return host.paired ? name : `${name} – not paired`;
}
