// Every way to fail, and every way to stand still, in words. Pure.
//
// A verdict ends an attempt to join: `{ message, hint, again }`, sentences for the person and whether the page tries
// again by itself. An interruption lies over a picture that stands still while the attempt goes on: a sentence.

/** What the peer WebSocket's close codes mean. The server documents them in `close_code`; a test compares the two. */
export const CLOSE_CODES = {
  1000: { message: "You left the stream.", again: false },
  1009: { message: "The server refused a message of this page as too large.", again: false },
  1011: { message: "The server had an internal error.", again: true },
  1013: { message: "There are too many viewers right now.", again: true },
  4000: { message: "This view goes on in a newer connection.", again: false },
  4001: { message: "The stream was deleted.", again: false },
  4002: { message: "The stream has ended.", again: false },
  4003: { message: "You were sent away from this stream.", again: false },
  4004: { message: "Your connection is too slow for this stream.", again: true },
  4005: { message: "Your permission to watch has expired.", again: false },
  4006: { message: "The server is shutting down or restarting.", again: true },
  4007: { message: "Connecting took too long.", again: true },
  4008: { message: "The server could not use this browser's connection offer.", again: false },
  4009: { message: "This browser cannot play the codec of this stream.", again: false },
  4010: {
    message: "No media connection to the server could be made.",
    hint: "A firewall between here and the server may block UDP.",
    again: true,
  },
  4011: { message: "The connection was lost.", again: true },
  4012: { message: "The server could not use this page's input.", hint: "Reload the page.", again: false },
  4013: { message: "The stream has another format now.", again: true },
};

export const LEFT = CLOSE_CODES[1000];
export const LOST = CLOSE_CODES[4011];
export const NO_ANSWER = { message: "The server does not answer.", again: true };
export const NO_WEBRTC = {
  message: "This browser has no WebRTC, or it is turned off.",
  hint: "The stream needs it.",
  again: false,
};

/**
 * Why a WebSocket closed. `streamer` is what the API says of the stream: null when there is none, undefined when it
 * does not answer. `browser` is `{ online, playsH264, refusesLoopback }`.
 */
export function verdictOf(code, streamer, browser) {
  const known = CLOSE_CODES[code];
  if (known === undefined) return withoutCode(streamer, browser);
  if (code === 4002) return ended(known, streamer);
  if (code === 4009) return unplayable(known, streamer, browser);
  if (code === 4010) return noMedia(streamer, browser);
  return known;
}

/**
 * No media connection came about: the one that was to serve it may be gone, and the network is not to blame.
 * `refusesLoopback`: the server is on the browser's own machine, and that is why.
 */
export function noMedia(streamer, { refusesLoopback }) {
  if (streamer?.status === "reconnecting") return LOST;
  const known = CLOSE_CODES[4010];
  if (!refusesLoopback) return known;
  return {
    ...known,
    hint:
      "Firefox makes none to its own machine unless, in about:config, media.peerconnection.ice.loopback is on and " +
      "media.peerconnection.ice.obfuscate_host_addresses is off.",
  };
}

/** A WebSocket that the server refused, or that broke, says nothing: the plain API does. */
function withoutCode(streamer, { online }) {
  if (streamer === null) {
    return { message: "There is no stream of this name.", hint: "It may not have been started yet.", again: true };
  }
  if (streamer !== undefined) return LOST;
  if (!online) return { message: "This device is offline.", hint: "The page connects as soon as the network is back.", again: true };
  return { message: "The server cannot be reached.", again: true };
}

function ended(known, streamer) {
  const over = streamer?.status === "failed" || streamer?.status === "stopped";
  // It has been tried again since.
  if (streamer?.persistent === true && !over) return LOST;
  if (streamer?.status !== "failed") return known;
  // The server tries a persistent one again.
  return { message: "The stream has failed.", hint: streamer.error?.message, again: streamer.persistent === true };
}

function unplayable(known, streamer, { playsH264 }) {
  if (!streamer?.codec) return known;
  const message = `This stream's codec, ${streamer.codec}, cannot be played here.`;
  if (streamer.codec === "HEVC") {
    return { message, hint: "Few browsers play HEVC, and only where the machine has a decoder for it. Have the stream created with H.264 or AV1.", again: false };
  }
  if (streamer.codec !== "H.264" || playsH264) return { message, again: false };
  return {
    message,
    hint: "This browser does not know H.264. In Firefox, check that the OpenH264 plugin is on (about:addons, Plugins).",
    again: false,
  };
}

/** What a page waits for that nobody serves yet, by what the stream does. */
export function waitingFor(status) {
  switch (status) {
    case "starting": return "The stream is being started…";
    case "reconnecting": return "The stream is being restarted…";
    default: return "Waiting for the stream…";
  }
}

/**
 * Why the picture stands still, or null when it should move. `answers`: whether the media connection does. `status` is
 * the stream's, `video` how pictures come to this viewer ("flowing", "held", "paused"), both null when unknown.
 * `frozen` is the watchdog's: null or `{ arriving }`.
 */
export function interruptionOf({ answers, status, video, frozen }) {
  if (!answers) return "The connection is interrupted.";
  switch (status) {
    case "starting": return "The server is connecting to the host.";
    case "stalled": return "The host sends no new pictures at the moment.";
    case "reconnecting": return "The server lost the host and is connecting to it again.";
    default:
  }
  if (video === "held") return "Your connection is too slow: waiting for the next full picture.";
  if (video === "paused") return "Your connection does not answer: the server has paused the picture.";
  if (frozen?.arriving) return "Pictures arrive, but cannot be decoded: waiting for the next full picture.";
  if (frozen) return "No new pictures arrive at the moment.";
  return null;
}
