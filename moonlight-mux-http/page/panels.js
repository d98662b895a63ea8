// Panels over the picture that a button opens: one at a time, closed by its button and by Escape.

export class Panels {
  #buttons;
  #mayClose;

  /** `buttons` say in `aria-controls` what they open; `mayClose()` tells whether Escape is the page's now. */
  constructor(buttons, mayClose) {
    this.#buttons = buttons;
    this.#mayClose = mayClose;
    for (const button of buttons) button.addEventListener("click", () => this.#show(isOpen(button) ? null : button));
    addEventListener("keydown", ({ key }) => key === "Escape" && this.#escape());
  }

  close() {
    this.#show(null);
  }

  #show(opened) {
    for (const button of this.#buttons) {
      button.setAttribute("aria-expanded", button === opened);
      document.getElementById(button.getAttribute("aria-controls")).hidden = button !== opened;
    }
  }

  #escape() {
    const opened = this.#buttons.find(isOpen);
    if (!opened || !this.#mayClose()) return;
    this.close();
    opened.focus();
  }
}

function isOpen(button) {
  return button.getAttribute("aria-expanded") === "true";
}
