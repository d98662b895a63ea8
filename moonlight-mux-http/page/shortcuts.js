// Keyboard and mouse shortcuts, all in one table, so that they can be switched off together when keys are for the host.

/** Elements that use keys themselves. */
const KEY_USERS = "input, textarea, select, [contenteditable], dialog[open]";

/**
 * `table`: rows `{ key, description, run }`, `key` as in KeyboardEvent, or "dblclick" on the picture. Buttons keep Space
 * and Enter: no row has them. `paused` tells whether keys and clicks are for the host now.
 */
export class Shortcuts {
  enabled = true;
  table;
  #paused;

  constructor(table, picture, paused) {
    this.table = table;
    this.#paused = paused;
    document.addEventListener("keydown", (event) => this.#handleKey(event));
    picture.addEventListener("dblclick", (event) => this.#run("dblclick", event));
  }

  #handleKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || event.isComposing) return;
    if (event.target instanceof Element && event.target.closest(KEY_USERS)) return;
    this.#run(event.key.toLowerCase(), event);
  }

  #run(key, event) {
    const row = this.enabled && !this.#paused() && this.table.find((row) => row.key === key);
    if (!row) return;
    event.preventDefault();
    row.run();
  }
}

/** The table as rows for the help dialog. */
export function helpRows(table) {
  return table.map(({ key, description }) => {
    const row = document.createElement("tr");
    const head = row.insertCell();
    const name = document.createElement("kbd");
    name.textContent = key === "dblclick" ? "Double click" : key.toUpperCase();
    head.append(name);
    row.insertCell().textContent = description;
    return row;
  });
}
