// What a viewer may do on the host, in words. Pure.

const DEVICES = {
  keyboard: "keyboard",
  pointer: "mouse",
  touch: "touch",
  pen: "pen",
  gamepad: "gamepads",
  text: "text",
};

/** `rights` are the server's names, in any order; names that are not known count for nothing. */
export function rightsText(rights) {
  const devices = Object.entries(DEVICES).filter(([name]) => rights.includes(name)).map(([, device]) => device);
  if (devices.length === 0) return "Watches only";
  if (devices.length === Object.keys(DEVICES).length) return "Full control";
  const text = devices.join(", ");
  return text[0].toUpperCase() + text.slice(1);
}

/** The names of the rights in `{ keyboard: true, … }`. */
export function namesOf(rights) {
  return Object.keys(DEVICES).filter((name) => rights[name]);
}

/**
 * How this viewer stands, or "" when it may do everything at any time. `input` is the server's `Input`, `turn` who has it
 * (`{ id, name }` or null), `you` this viewer's id.
 */
export function standing(input, turn, you) {
  if (!input) return "";
  if (input.mode === "view_only") return "Nobody controls the host: everybody watches.";
  if (namesOf(input.rights).length === 0) return "You may watch only.";
  if (!input.takes) return "The host takes no input at the moment.";
  if (input.mode !== "one_at_a_time") return "";
  if (!turn) return "One at a time: whoever begins has the turn.";
  return turn.id === you ? "It is your turn." : `It is ${turn.name}’s turn.`;
}
