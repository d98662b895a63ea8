// The statistics over the picture: figures, and the last minute's frame rate as a line.

import { rows } from "./statistics.js";

/** One point a second. */
const POINTS = 60;

export class Overlay {
  #line;
  #values = [];
  #rates = [];

  /** `list` is a `dl`, `line` an SVG polyline in a view box of 59 by 20. */
  constructor(list, line) {
    this.#line = line;
    for (const [label, text] of rows(null)) this.#values.push(addRow(list, label, text));
  }

  /** Shows figures, or that there are none yet. To be called every second, shown or not. */
  show(figures) {
    rows(figures).forEach(([, text], i) => {
      if (this.#values[i].textContent !== text) this.#values[i].textContent = text;
    });
    if (!figures) return;
    this.#rates = [...this.#rates, figures.framesPerSecond].slice(-POINTS);
    this.#line.setAttribute("points", points(this.#rates));
  }
}

/** The element of the text. */
function addRow(list, label, text) {
  const [term, value] = [document.createElement("dt"), document.createElement("dd")];
  term.textContent = label;
  value.textContent = text;
  list.append(term, value);
  return value;
}

/** The newest at the right edge, the highest at the top. */
export function points(rates) {
  const highest = Math.max(1, ...rates);
  const left = POINTS - rates.length;
  return rates.map((rate, i) => `${left + i},${(20 - (rate / highest) * 19).toFixed(1)}`).join(" ");
}
