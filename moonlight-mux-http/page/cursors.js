// Other people's pointers over the picture, with their names. They are drawn here, not in the host.

import { boxOf } from "./place.js";
import { hue, nameOf } from "./people.js";

/** Shares of 65535: beyond a third from the right, and a tenth from the bottom. */
const [NEAR_THE_EDGE, NEAR_THE_BOTTOM] = [43_690, 58_982];
const SVG = "http://www.w3.org/2000/svg";

export class Cursors {
  #layer;
  #picture;
  #video;
  /** By the viewer's id: the element that has the size of the picture and is moved by shares of it. */
  #shown = new Map();
  #names = new Map();

  /** `layer` lies over `picture`, which holds the video and scrolls, and takes no pointer events. */
  constructor(layer, picture, video) {
    this.#layer = layer;
    this.#picture = picture;
    this.#video = video;
    new ResizeObserver(() => this.#layOut()).observe(video);
    video.addEventListener("resize", () => this.#layOut());
    picture.addEventListener("scroll", () => this.#layOut(), { passive: true });
    addEventListener("resize", () => this.#layOut());
  }

  /** The server's list: `[{ id, x, y }]`, all that are seen now; x and y are shares of 65535. */
  handlePointers(pointers) {
    const gone = new Set(this.#shown.keys());
    for (const { id, x, y } of pointers) {
      gone.delete(id);
      const cursor = this.#shown.get(id) ?? this.#add(id);
      cursor.style.transform = `translate(${percent(x)}, ${percent(y)})`;
      // The name stays on the picture.
      cursor.classList.toggle("to-the-left", x > NEAR_THE_EDGE);
      cursor.classList.toggle("above", y > NEAR_THE_BOTTOM);
    }
    for (const id of gone) this.#remove(id);
    this.#layOut();
  }

  /** Who is called what: `[{ id, name }]`. */
  handleViewers(viewers) {
    this.#names = new Map(viewers.map(({ id, name }) => [id, name]));
    for (const [id, cursor] of this.#shown) cursor.querySelector(".name").textContent = this.#nameOf(id);
  }

  clear() {
    this.#layer.replaceChildren();
    this.#shown.clear();
  }

  #add(id) {
    const cursor = document.createElement("div");
    cursor.className = "cursor";
    cursor.style.setProperty("--hue", hue(id));
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = this.#nameOf(id);
    cursor.append(arrow(), name);
    this.#layer.append(cursor);
    this.#shown.set(id, cursor);
    return cursor;
  }

  #remove(id) {
    this.#shown.get(id).remove();
    this.#shown.delete(id);
  }

  #nameOf(id) {
    return nameOf({ name: this.#names.get(id) });
  }

  /** Lays the layer on the picture as it is shown now: fitted, zoomed, scrolled. */
  #layOut() {
    const box = this.#shown.size > 0 && boxOf(this.#video);
    if (!box) return;
    const { left, top } = this.#picture.getBoundingClientRect();
    const { style } = this.#layer;
    style.left = `${box.left - left}px`;
    style.top = `${box.top - top}px`;
    style.width = `${box.width}px`;
    style.height = `${box.height}px`;
  }
}

function arrow() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", "M1 1l4.2 13 2.6-5.2L13 6.2z");
  svg.append(path);
  return svg;
}

function percent(share) {
  return `${((share / 65535) * 100).toFixed(3)}%`;
}
