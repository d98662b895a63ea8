// Who is here, who acts and what everybody may do: a button that counts, and a panel that lists.

import { rightsText } from "./rights.js";

const MINUTE_MS = 60_000;
/** On the button is room for so many of those who act. */
const MOST_ACTING = 3;

export class People {
  #button;
  #list;
  /** Each viewer's element, and when it joined on this page's clock. */
  #shown = new Map();
  #you = null;
  /** Those of the server's list that are shown. */
  #viewers = [];
  #turn = null;
  /** Who is shown on the button. */
  #acting = "[]";

  constructor(button, list) {
    this.#button = button;
    this.#list = list;
  }

  /** The server's list: `{ you, count, viewers: [{ id, name, since_ms, rights, acting }] }`; it may hold fewer than `count`. */
  handleViewers({ you, count, viewers }, now) {
    this.#you = you;
    this.#viewers = viewers;
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
    this.#showDoing();
    const acting = viewers.filter((viewer) => viewer.acting);
    this.#showActing(acting);
    const text = [watching(count ?? viewers.length), actingText(acting.map((viewer) => this.#called(viewer)))].join("");
    setText(this.#button.querySelector(".count"), String(count ?? viewers.length));
    this.#button.setAttribute("aria-label", text);
    this.#button.title = text;
    this.#button.hidden = false;
    this.tick(now);
  }

  /** The id of the one whose turn it is, or null. It is known sooner than who acts, and before the list. */
  handleTurn(turn) {
    this.#turn = turn;
    this.#showDoing();
  }

  /** Nothing is known any more. */
  clear() {
    this.#button.hidden = true;
    this.#list.replaceChildren();
    this.#shown.clear();
    this.#viewers = [];
    this.#turn = null;
    this.#showActing([]);
  }

  /** Brings the times up to date. */
  tick(now) {
    for (const { item, joined } of this.#shown.values()) setText(item.querySelector(".since"), since(now - joined));
  }

  #add({ id }) {
    const item = document.createElement("li");
    item.append(avatarOf(id), span("name"), span("since"), span("rights"));
    const shown = { item, joined: 0 };
    this.#shown.set(id, shown);
    return shown;
  }

  #name({ item }, viewer) {
    setText(item.querySelector(".avatar"), initial(viewer));
    setText(item.querySelector(".name"), this.#called(viewer));
  }

  #showDoing() {
    for (const viewer of this.#viewers) {
      const { item } = this.#shown.get(viewer.id);
      setText(item.querySelector(".rights"), doing(viewer, this.#turn));
      item.classList.toggle("acts", viewer.acting === true || viewer.id === this.#turn);
    }
  }

  #called(viewer) {
    return viewer.id === this.#you ? `${nameOf(viewer)} (you)` : nameOf(viewer);
  }

  /** Small avatars on the button. */
  #showActing(acting) {
    const some = acting.slice(0, MOST_ACTING);
    const key = JSON.stringify(some.map(({ id, name }) => [id, name]));
    if (key === this.#acting) return;
    this.#acting = key;
    const avatars = some.map((viewer) => {
      const avatar = avatarOf(viewer.id);
      avatar.textContent = initial(viewer);
      return avatar;
    });
    this.#button.querySelector(".acting").replaceChildren(...avatars);
  }
}

/** Names may be missing. */
export function nameOf({ name }) {
  return name || "Guest";
}

/** What somebody does and may do. */
export function doing({ id, rights, acting }, turn) {
  const now = id === turn ? "Has the turn" : acting ? "Acting now" : "";
  return [now, rights && rightsText(rights)].filter(Boolean).join(" · ");
}

/** A sentence behind `watching`, or nothing. */
export function actingText(names) {
  if (names.length === 0) return "";
  return names.length === 1 ? `. Acting now: ${names[0]}` : `. Acting now: ${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
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

function avatarOf(id) {
  const avatar = span("avatar");
  avatar.setAttribute("aria-hidden", "true");
  avatar.style.setProperty("--hue", hue(id));
  return avatar;
}

function initial(viewer) {
  return [...nameOf(viewer)][0].toUpperCase();
}

function span(className) {
  const span = document.createElement("span");
  span.className = className;
  return span;
}

/** Leaves the element alone when nothing changes. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
