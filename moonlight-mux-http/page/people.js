// Who is here: a button that counts, and a panel that lists.

const MINUTE_MS = 60_000;

export class People {
  #button;
  #list;
  /** Each viewer's element, and when it joined on this page's clock. */
  #shown = new Map();
  #you = null;

  constructor(button, list) {
    this.#button = button;
    this.#list = list;
  }

  /** The server's list: `{ you, count, viewers: [{ id, name, since_ms }] }`; it may hold fewer than `count`. */
  handleViewers({ you, count, viewers }, now) {
    this.#you = you;
    const gone = new Set(this.#shown.keys());
    viewers.forEach((viewer, index) => {
      gone.delete(viewer.id);
      const shown = this.#shown.get(viewer.id) ?? this.#add(viewer);
      shown.joined = now - viewer.since_ms;
      this.#name(shown, viewer);
      const { item } = shown;
      if (this.#list.children[index] !== item) this.#list.insertBefore(item, this.#list.children[index] ?? null);
    });
    for (const id of gone) {
      this.#shown.get(id).item.remove();
      this.#shown.delete(id);
    }
    const text = watching(count ?? viewers.length);
    setText(this.#button.querySelector(".count"), String(count ?? viewers.length));
    this.#button.setAttribute("aria-label", text);
    this.#button.title = text;
    this.#button.hidden = false;
    this.tick(now);
  }

  /** Nothing is known any more. */
  clear() {
    this.#button.hidden = true;
    this.#list.replaceChildren();
    this.#shown.clear();
  }

  /** Brings the times up to date. */
  tick(now) {
    for (const { item, joined } of this.#shown.values()) setText(item.querySelector(".since"), since(now - joined));
  }

  #add({ id }) {
    const item = document.createElement("li");
    const avatar = document.createElement("span");
    avatar.className = "avatar";
    avatar.setAttribute("aria-hidden", "true");
    avatar.style.setProperty("--hue", hue(id));
    const name = document.createElement("span");
    name.className = "name";
    const since = document.createElement("span");
    since.className = "since";
    item.append(avatar, name, since);
    const shown = { item, joined: 0 };
    this.#shown.set(id, shown);
    return shown;
  }

  #name({ item }, { id, name }) {
    const called = name || "Guest";
    setText(item.querySelector(".avatar"), [...called][0].toUpperCase());
    setText(item.querySelector(".name"), id === this.#you ? `${called} (you)` : called);
  }
}

/** You are one of them. */
export function watching(count) {
  return count === 1 ? "Only you are watching" : `${count} are watching`;
}

export function since(ms) {
  const minutes = Math.floor(ms / MINUTE_MS);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** A colour of one's own, in degrees: the same for the same id. */
export function hue(id) {
  let hash = 0;
  for (const character of id) hash = (hash * 31 + character.codePointAt(0)) % 360;
  return (hash * 137) % 360; // The golden angle: ids that are alike get colours that are not.
}

/** Leaves the element alone when nothing changes. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
