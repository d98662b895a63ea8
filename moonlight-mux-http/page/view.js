// How the picture is shown: fitted or pixel by pixel, in the page or in full screen.

/** In full screen the controls go when neither pointer nor keyboard did anything for this long. */
const IDLE_MS = 3_000;

export class View {
  #viewer;
  #picture;
  #video;
  #changed;
  #idleTimer = null;
  #pixels = false;
  #controlled = false;
  #panned = false;

  /**
   * `viewer` is what goes to full screen; `picture` holds the video and scrolls; `changed` is called when the way of
   * showing changes.
   */
  constructor(viewer, picture, video, changed) {
    this.#viewer = viewer;
    this.#picture = picture;
    this.#video = video;
    this.#changed = changed;
    video.addEventListener("resize", () => this.#layOut());
    addEventListener("resize", () => this.#layOut()); // Zooming and another screen change devicePixelRatio.
    document.addEventListener("fullscreenchange", () => {
      this.#active();
      changed();
    });
    for (const type of ["pointermove", "pointerdown", "keydown", "focusin"]) {
      viewer.addEventListener(type, ({ target }) => this.#controlled && picture.contains(target) || this.#active(), { passive: true });
    }
    this.#pan();
  }

  /** Whether a video pixel is a pixel of the screen. */
  get pixels() {
    return this.#pixels;
  }

  set pixels(pixels) {
    this.#pixels = pixels;
    this.#layOut();
    this.#changed();
  }

  /** Whether what is done in the picture is for the host: it is not dragged, and brings no controls. */
  get controlled() {
    return this.#controlled;
  }

  set controlled(controlled) {
    this.#controlled = controlled;
    this.#viewer.classList.toggle("controlled", controlled);
  }

  /** Whether the last click was the end of a drag. */
  get panned() {
    return this.#panned;
  }

  get fullscreen() {
    return document.fullscreenElement === this.#viewer;
  }

  async toggleFullscreen() {
    try {
      if (this.fullscreen) await document.exitFullscreen();
      else if (this.#viewer.requestFullscreen) await this.#viewer.requestFullscreen({ navigationUI: "hide" });
      else this.#video.webkitEnterFullscreen?.(); // iPhones show only the video itself in full screen.
    } catch {
      // The browser allows it only right after a click or a key: the person tries again.
    }
  }

  #layOut() {
    this.#picture.classList.toggle("pixels", this.#pixels);
    const { videoWidth, videoHeight, style } = this.#video;
    style.width = this.#pixels && videoWidth ? `${videoWidth / devicePixelRatio}px` : "";
    style.height = this.#pixels && videoHeight ? `${videoHeight / devicePixelRatio}px` : "";
    const { scrollWidth, clientWidth, scrollHeight, clientHeight } = this.#picture;
    const scrolls = this.#pixels && (scrollWidth > clientWidth || scrollHeight > clientHeight);
    this.#picture.classList.toggle("scrolls", scrolls);
    // What scrolls must be within reach of the keyboard.
    this.#picture.tabIndex = scrolls ? 0 : -1;
  }

  /** With a mouse the picture is dragged; fingers scroll it by themselves. */
  #pan() {
    const picture = this.#picture;
    picture.addEventListener("pointerdown", (event) => {
      this.#panned = false;
      // What is not on the video is on a scroll bar.
      if (this.#controlled || event.pointerType !== "mouse" || event.button !== 0 || event.target !== this.#video) return;
      if (picture.classList.contains("scrolls")) picture.setPointerCapture(event.pointerId);
    });
    picture.addEventListener("pointermove", (event) => {
      if (this.#controlled || !picture.hasPointerCapture(event.pointerId)) return;
      this.#panned ||= event.movementX !== 0 || event.movementY !== 0;
      picture.scrollBy({ left: -event.movementX, top: -event.movementY, behavior: "instant" });
    });
  }

  #active() {
    clearTimeout(this.#idleTimer);
    this.#viewer.classList.remove("idle");
    if (this.fullscreen) this.#idleTimer = setTimeout(() => this.#rest(), IDLE_MS);
  }

  /** Never under somebody who is at the controls with the keyboard, or has a panel open. */
  #rest() {
    if (!this.fullscreen) return;
    if (this.#viewer.querySelector(":is(.bar, .controls) :focus-visible, [aria-expanded=true]")) return this.#active();
    this.#viewer.classList.add("idle");
  }
}
