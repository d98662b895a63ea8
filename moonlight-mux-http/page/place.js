// Where on the picture a place in the window is, however the picture is fitted, zoomed and scrolled. Pure.

/**
 * The part of the video's element that the picture covers, in the element's coordinates and unit: `object-fit: contain`
 * leaves bars beside it or above and below. `rect` is `{ left, top, width, height }`. Null without a picture.
 */
export function pictureBox(rect, videoWidth, videoHeight) {
  const scale = Math.min(rect.width / videoWidth, rect.height / videoHeight);
  if (!(scale > 0 && Number.isFinite(scale))) return null;
  const [width, height] = [videoWidth * scale, videoHeight * scale];
  return { left: rect.left + (rect.width - width) / 2, top: rect.top + (rect.height - height) / 2, width, height };
}

/** The place as shares, 0 to 65535; what is beside the box is at its nearest edge. */
export function placeIn(box, x, y) {
  return { x: share((x - box.left) / box.width), y: share((y - box.top) / box.height) };
}

export function isInside(box, x, y) {
  return x >= box.left && y >= box.top && x < box.left + box.width && y < box.top + box.height;
}

/** The picture's box in the window as it is now: `clientX` and `clientY` of events are places in it. */
export function boxOf(video) {
  return pictureBox(video.getBoundingClientRect(), video.videoWidth, video.videoHeight);
}

function share(part) {
  return Math.round(Math.min(Math.max(part, 0), 1) * 65535);
}
