// The messages of the data channels `input` and `motion`: layout 1, docs/http-api.md. Pure.
//
// Each function gives a Uint8Array whose first four bytes, the sequence number, are 0: the sender counts (`number`). Numbers
// are those of the layout; none is checked, as the server does that.

/** What became of a finger or a pen. Hover, leave and buttons are a pen's alone. */
export const Phase = { hover: 0, down: 1, move: 2, up: 3, cancel: 4, leave: 5, buttons: 6 };
export const Modifier = { shift: 1, ctrl: 2, alt: 4, meta: 8 };
export const Lock = { caps: 1, num: 2, scroll: 4 };
export const PenTool = { unknown: 0, pen: 1, eraser: 2 };
export const GamepadKind = { unknown: 0, xbox: 1, playStation: 2, nintendo: 3, steam: 4 };
export const Sensor = { accelerometer: 1, gyroscope: 2 };
/** As `rotation` and `tilt`. */
export const UNKNOWN_ROTATION = 0xffff;
export const UNKNOWN_TILT = 0xff;
/** Bytes of UTF-8 that one message takes. */
export const MAX_TEXT = 4096;

/** Writes the sequence number into a message; it wraps at 2^32. */
export function number(message, sequence) {
  new DataView(message.buffer).setUint32(0, sequence >>> 0);
  return message;
}

/** `locks` is null when they are not known. */
export function key({ code, down, modifiers, locks = null }) {
  const flags = (down ? 1 : 0) | (locks === null ? 0 : 2);
  return new Writer(0x01, 4).u8(flags).u8(code).u8(modifiers).u8(locks ?? 0).message;
}

/** As many messages as the text needs; none for an empty one. */
export function text(string) {
  const messages = [];
  const bytes = new TextEncoder().encode(string);
  for (let start = 0; start < bytes.length; ) {
    let end = Math.min(start + MAX_TEXT, bytes.length);
    while (end < bytes.length && isContinuation(bytes[end])) end -= 1;
    messages.push(new Writer(0x02, end - start).bytes(bytes.subarray(start, end)).message);
    start = end;
  }
  return messages;
}

/**
 * `button` is 1 to 5: left, middle, right, back, forward. `place` is null, `{ x, y }` on the picture (0 to 65535), or
 * `{ totalX, totalY }`: sums of all relative movement since the connection began.
 */
export function button({ button, down, place = null }) {
  return new Writer(0x03, 2 + placeLength(place)).u8(button).u8(down ? 1 : 0).place(place).message;
}

/** In 120ths of a notch; positive is right and up. */
export function scroll({ dx, dy, place = null }) {
  return new Writer(0x04, 4 + placeLength(place)).i16(dx).i16(dy).place(place).message;
}

export function pointer(place) {
  return new Writer(0x05, placeLength(place)).place(place).message;
}

/** Shares of 65535, `major` and `minor` of the picture's width; `rotation` in degrees. */
export function touch({ phase, contact, x, y, pressure = 0, rotation = UNKNOWN_ROTATION, major = 0, minor = 0 }) {
  return new Writer(0x06, 17)
    .u8(phase).u32(contact).u16(x).u16(y).u16(pressure).u16(rotation).u16(major).u16(minor)
    .message;
}

/** `buttons`: 1 primary, 2 secondary, 4 tertiary; `rotation` and `tilt` in degrees. */
export function pen({ phase, tool, buttons, x, y, pressure = 0, rotation = UNKNOWN_ROTATION, tilt = UNKNOWN_TILT }) {
  return new Writer(0x07, 12)
    .u8(phase).u8(tool).u8(buttons).u16(x).u16(y).u16(pressure).u16(rotation).u8(tilt)
    .message;
}

export function gamepadConnected({ index, kind, capabilities, buttons }) {
  return new Writer(0x08, 8).u8(index).u8(kind).u16(capabilities).u32(buttons).message;
}

export function gamepadDisconnected(index) {
  return new Writer(0x09, 1).u8(index).message;
}

/** Triggers are 0 to 255, sticks `[x, y]` −32768 to 32767; positive is right and up. */
export function gamepad({ index, buttons, leftTrigger, rightTrigger, leftStick, rightStick }) {
  return new Writer(0x0a, 15)
    .u8(index).u32(buttons).u8(leftTrigger).u8(rightTrigger)
    .i16(leftStick[0]).i16(leftStick[1]).i16(rightStick[0]).i16(rightStick[1])
    .message;
}

/** `value` is `[x, y, z]` in m/s² or degrees per second. */
export function gamepadMotion({ index, sensor, value }) {
  return new Writer(0x0b, 14).u8(index).u8(sensor).f32(value[0]).f32(value[1]).f32(value[2]).message;
}

export function gamepadTouch({ index, phase, touchpad, contact, x, y, pressure = 0 }) {
  return new Writer(0x0c, 13).u8(index).u8(phase).u8(touchpad).u32(contact).u16(x).u16(y).u16(pressure).message;
}

/** All that is down: virtual-key codes and button numbers. */
export function held({ keys, buttons }) {
  const bits = [...buttons].reduce((bits, button) => bits | (1 << button), 0);
  return new Writer(0x0d, 1 + keys.length).u8(bits).bytes(keys).message;
}

export function releaseAll() {
  return new Writer(0x0e, 0).message;
}

/** Fills a message of a known length, big-endian, from its kind on. */
class Writer {
  message;
  #view;
  #at = 5;

  constructor(kind, bodyLength) {
    this.message = new Uint8Array(5 + bodyLength);
    this.message[4] = kind;
    this.#view = new DataView(this.message.buffer);
  }

  u8(value) {
    this.#view.setUint8(this.#take(1), value);
    return this;
  }

  u16(value) {
    this.#view.setUint16(this.#take(2), value);
    return this;
  }

  i16(value) {
    this.#view.setInt16(this.#take(2), value);
    return this;
  }

  u32(value) {
    this.#view.setUint32(this.#take(4), value);
    return this;
  }

  i32(value) {
    this.#view.setInt32(this.#take(4), value);
    return this;
  }

  f32(value) {
    this.#view.setFloat32(this.#take(4), value);
    return this;
  }

  bytes(values) {
    this.message.set(values, this.#take(values.length));
    return this;
  }

  place(place) {
    if (place === null) return this.u8(0);
    if ("totalX" in place) return this.u8(2).i32(place.totalX).i32(place.totalY);
    return this.u8(1).u16(place.x).u16(place.y);
  }

  #take(length) {
    const at = this.#at;
    this.#at += length;
    return at;
  }
}

function placeLength(place) {
  if (place === null) return 1;
  return "totalX" in place ? 9 : 5;
}

/** Of a UTF-8 sequence: neither alone nor the first byte. */
function isContinuation(byte) {
  return (byte & 0xc0) === 0x80;
}
