// What the server says on the data channel `events`: JSON texts, externally tagged.

/**
 * Gives a parsed message to the handler of its name: `{ viewers, stream, quality, input }`, each optional. Messages that are
 * not known, or not as they should be, are ignored: the server may be newer than the page.
 */
export function handleEvent(message, handlers) {
  if (typeof message !== "object" || message === null) return;
  const { Viewers: viewers, Stream: stream, Quality: quality, Input: input } = message;
  if (Array.isArray(viewers?.viewers)) handlers.viewers?.(viewers);
  if (typeof stream?.status === "string") handlers.stream?.(stream);
  if (typeof quality?.video === "string") handlers.quality?.(quality);
  if (typeof input?.rights === "object" && input.rights !== null) handlers.input?.(input);
}
