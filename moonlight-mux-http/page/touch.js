// Fingers on the picture, while the person is in control: as contacts of the host's own touch screen, or as a mouse.
//
// "direct": the finger is where it acts; a host without touch gets its pointer moved and clicked there. "trackpad": the
// picture is a trackpad. Without control the fingers are the page's: it scrolls and zooms.

import * as message from "./input_message.js";
import { boxOf, isInside, placeIn } from "./place.js";
import { remember, remembered } from "./settings.js";
import { Gestures } from "./touch_gestures.js";

const PHASES = {
  pointerdown: message.Phase.down,
  pointermove: message.Phase.move,
  pointerup: message.Phase.up,
  pointercancel: message.Phase.cancel,
};

export class Touch {
  #input;
  #mouse;
  #picture;
  #video;
  #mode = remembered("touch") === "trackpad" ? "trackpad" : "direct";
  /** What fingers are now: null (the page's), "contacts" or "mouse". */
  #way = null;
  #contacts = new Set();
  #gestures;
  #timer = null;

  /**
   * `mouse` works the host's pointer: `{ moveBy(dx, dy), moveTo(place), button(button, down), scroll(dx, dy) }`. `picture`
   * holds the video.
   */
  constructor(input, mouse, picture, video) {
    this.#input = input;
    this.#mouse = mouse;
    this.#picture = picture;
    this.#video = video;
    this.#gestures = new Gestures({ direct: this.#mode === "direct" });
    input.addEventListener("change", () => this.#choose());
    input.addEventListener("release", () => this.#forget());
    for (const type of Object.keys(PHASES)) picture.addEventListener(type, (event) => this.#handle(event));
    // A finger that rests is none of the browser's.
    picture.addEventListener("contextmenu", (event) => this.#way !== null && event.preventDefault());
    this.#choose();
  }

  /** "direct" or "trackpad"; it is remembered. */
  get mode() {
    return this.#mode;
  }

  set mode(mode) {
    this.#letGo();
    this.#mode = mode;
    remember("touch", mode);
    this.#gestures = new Gestures({ direct: mode === "direct" });
    this.#choose();
  }

  #choose() {
    const contacts = this.#mode === "direct" && this.#input.takes("touch") && this.#input.status.touch;
    const way = contacts ? "contacts" : this.#input.takes("pointer") ? "mouse" : null;
    if (way === this.#way) return;
    this.#letGo();
    this.#way = way;
    // Browsers ask when a finger goes down whether they may pan and zoom.
    this.#picture.classList.toggle("touched", way !== null);
  }

  #handle(event) {
    if (event.pointerType !== "touch" || this.#way === null) return;
    const box = boxOf(this.#video);
    if (!box) return;
    event.preventDefault(); // No mouse events after it.
    if (this.#way === "contacts") this.#contact(event, box);
    else this.#gesture(event, box);
  }

  #contact({ type, pointerId, clientX, clientY, pressure, width, height }, box) {
    const phase = PHASES[type];
    if (phase === message.Phase.down && !isInside(box, clientX, clientY)) return;
    if (phase !== message.Phase.down && !this.#contacts.has(pointerId)) return;
    const axes = [width, height].map((length) => Math.round(Math.min(length / box.width, 1) * 65535));
    const bytes = message.touch({
      phase,
      contact: pointerId >>> 0,
      ...placeIn(box, clientX, clientY),
      pressure: Math.round(pressure * 65535),
      major: Math.max(...axes),
      minor: Math.min(...axes),
    });
    const slot = `touch ${pointerId}`;
    if (phase === message.Phase.move) return this.#input.move(bytes, slot);
    this.#input.send(bytes, slot);
    if (phase === message.Phase.down) this.#contacts.add(pointerId);
    else this.#contacts.delete(pointerId);
    this.#input.hold("touch", this.#contacts.size > 0);
  }

  #gesture({ type, pointerId, clientX, clientY, timeStamp }, box) {
    const gestures = this.#gestures;
    switch (type) {
      case "pointerdown":
        if (this.#mode === "direct" && !isInside(box, clientX, clientY)) return;
        return this.#act(gestures.down(pointerId, clientX, clientY, timeStamp));
      case "pointermove": return this.#act(gestures.move(pointerId, clientX, clientY, timeStamp));
      case "pointerup": return this.#act(gestures.up(pointerId, timeStamp));
      default: return this.#act(gestures.cancel());
    }
  }

  #act(done) {
    for (const { by, to, scroll, button, down } of done) {
      if (by) this.#mouse.moveBy(by.dx, by.dy);
      else if (to) this.#mouse.moveTo(placeIn(boxOf(this.#video), to.x, to.y));
      else if (scroll) this.#mouse.scroll(scroll.dx, scroll.dy);
      else this.#mouse.button(button, down);
    }
    clearTimeout(this.#timer);
    const { deadline } = this.#gestures;
    if (deadline === null) return;
    const again = () => this.#act(this.#gestures.tick(performance.now()));
    // Timers may be a little early.
    this.#timer = setTimeout(again, Math.max(deadline - performance.now(), 0) + 1);
  }

  /** Ends what goes on, and tells the host. */
  #letGo() {
    this.#act(this.#gestures.cancel());
    for (const contact of this.#contacts) {
      const bytes = message.touch({ phase: message.Phase.cancel, contact: contact >>> 0, x: 0, y: 0 });
      this.#input.send(bytes, `touch ${contact}`);
    }
    this.#contacts.clear();
    this.#input.hold("touch", false);
  }

  /** The host has been told already. */
  #forget() {
    this.#gestures.cancel();
    this.#contacts.clear();
    clearTimeout(this.#timer);
  }
}
