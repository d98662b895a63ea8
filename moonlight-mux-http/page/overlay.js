// The statistics over the picture: figures, and the last minute's frame rate as a line.

import { rows } from "./statistics.js";

/** One point a second. */
const POINTS = 60;

export class Overlay {
  #list;
  #line;
  #values = [];
  #rates = [];

  /** `list` is a `dl`, `line` an SVG polyline in a view box of 59 by 20. */
  constructor(list, line) {
    this.#list = list;
    this.#line = line;
  }

  /** Shows figures, or that there are none yet. */
  show(figures) {
    const pairs = rows(figures);
    if (this.#values.length === 0) this.#build(pairs);
    pairs.forEach(([, text], i) => {
      if (this.#values[i].textContent !== text) this.#values[i].textContent = text;
    });
    if (!figures) return;
    this.#rates = [...this.#rates, figures.framesPerSecond].slice(-POINTS);
    this.#line.setAttribute("points", points(this.#rates));
  }

  #build(pairs) {
    for (const [label] of pairs) {
      const [term, value] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = label;
      this.#list.append(term, value);
      this.#values.push(value);
    }
  }
}

/** The newest at the right edge, the highest at the top. */
export function points(rates) {
  const highest = Math.max(1, ...rates);
  const left = POINTS - rates.length;
  return rates.map((rate, i) => `${left + i},${(20 - (rate / highest) * 19).toFixed(1)}`).join(" ");
}
