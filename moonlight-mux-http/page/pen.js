// A pen on the picture, while the person is in control; a host without touch and pens gets its pointer moved and clicked.

import * as message from "./input_message.js";
import { holdOf, leanOf, Phases } from "./pen_state.js";
import { boxOf, isInside, placeIn } from "./place.js";

const { Phase } = message;
const TYPES = ["pointerdown", "pointermove", "pointerup", "pointercancel", "pointerleave"];
/** They come again and again: the next one says what a lost one said. */
const MOVES = new Set([Phase.hover, Phase.move]);
const [LEFT, RIGHT] = [1, 3];

export class Pen {
  #input;
  #mouse;
  #video;
  #phases = new Phases();
  /** Mouse buttons that it holds, where it is a mouse. */
  #pressed = new Set();

  /** `mouse` and `picture` as in touch.js. */
  constructor(input, mouse, picture, video) {
    this.#input = input;
    this.#mouse = mouse;
    this.#video = video;
    input.addEventListener("release", () => this.#forget());
    for (const type of TYPES) picture.addEventListener(type, (event) => this.#handle(event));
  }

  #handle(event) {
    if (event.pointerType !== "pen") return;
    const pen = this.#input.takes("pen") && this.#input.status.touch;
    if (!pen && !this.#input.takes("pointer")) return;
    const box = boxOf(this.#video);
    if (!box) return;
    event.preventDefault();
    // On the bars beside the picture there is nothing to touch, unless it comes from the picture.
    if (this.#phases.away && !isInside(box, event.clientX, event.clientY)) return;
    const phase = this.#phases.next(event);
    if (phase === null) return;
    const place = placeIn(box, event.clientX, event.clientY);
    if (pen) this.#send(phase, event, place);
    else this.#work(phase, event, place);
  }

  #send(phase, event, place) {
    const pressure = this.#phases.touching ? Math.round(event.pressure * 65535) : 0; // Of a hovering pen it would be the distance.
    const bytes = message.pen({ phase, ...holdOf(event.buttons), ...place, pressure, ...leanOf(event) });
    // Hovering counts too: a pen whose page died must not stay above the host's screen.
    this.#input.hold("pen", !this.#phases.away);
    if (MOVES.has(phase)) this.#input.move(bytes, "pen");
    else this.#input.send(bytes, "pen");
  }

  /** The tip is the left button; with a button on the barrel held, the right one. */
  #work(phase, event, place) {
    if (phase !== Phase.leave && phase !== Phase.cancel) this.#mouse.moveTo(place);
    const wanted = new Set();
    if (this.#phases.touching) wanted.add(holdOf(event.buttons).buttons ? RIGHT : LEFT);
    for (const button of [LEFT, RIGHT]) {
      if (wanted.has(button) === this.#pressed.has(button)) continue;
      this.#mouse.button(button, wanted.has(button));
      if (wanted.has(button)) this.#pressed.add(button);
      else this.#pressed.delete(button);
    }
  }

  #forget() {
    this.#phases.forget();
    this.#pressed.clear();
  }
}
