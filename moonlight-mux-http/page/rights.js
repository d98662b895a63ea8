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
