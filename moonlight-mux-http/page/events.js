// What the server says on the data channel `events`: JSON texts, externally tagged.

/** What the host wants of one of this viewer's gamepads. */
const FEEDBACK = ["Rumble", "TriggerRumble", "Led", "Motion"];

/**
 * Gives a parsed message to the handler of its name: `{ viewers, stream, quality, input, pointers, feedback }`, each
 * optional; `feedback` gets the whole message. Messages that are not known, or not as they should be, are ignored: the
 * server may be newer than the page.
 */
export function handleEvent(message, handlers) {
  if (typeof message !== "object" || message === null) return;
  const { Viewers: viewers, Stream: stream, Quality: quality, Input: input, Pointers: pointers } = message;
  if (Array.isArray(viewers?.viewers)) handlers.viewers?.(viewers);
  if (typeof stream?.status === "string") handlers.stream?.(stream);
  if (typeof quality?.video === "string") handlers.quality?.(quality);
  if (typeof input?.rights === "object" && input.rights !== null) handlers.input?.(input);
  if (Array.isArray(pointers)) handlers.pointers?.(pointers);
  if (FEEDBACK.some((name) => Number.isInteger(message[name]?.gamepad))) handlers.feedback?.(message);
}
