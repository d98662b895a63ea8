// Plays one stream.
//
// Each attempt to join is one WebSocket and one RTCPeerConnection, never used twice. The page makes the offer. An
// attempt ends once, with a verdict: a message for the person, and whether to try again by itself.
//
// For tests: `window.moonlightMux` is `{ pc, video, state, events, input, motion }`. `pc` is the current RTCPeerConnection or null;
// `state` is one of "connecting" (no picture yet), "playing", "waiting" (will try again by itself), "ended" (will not);
// `events` has the newest of each kind that the server told; `input` and `motion` are its channels.

const FIRST_FRAME_HINT_MS = 5_000;
/** For the WebSocket, and for the media connection once the server has answered. In between the server keeps time. */
const CONNECT_TIMEOUT_MS = 10_000;
const BACKOFF_MS = { first: 1_000, longest: 30_000 };
/** Playing this long makes the next interruption a new one: the back-off starts over. */
const STEADY_MS = 10_000;

// The server documents them in `close_code`.
const CLOSE_CODES = {
  1000: { message: "You left the stream.", again: false },
  1002: { message: "This page and the server do not fit together. Reload the page.", again: false },
  1009: { message: "The server refused a message of this page as too large.", again: false },
  1011: { message: "The server had an internal error.", again: true },
  1013: { message: "There are too many viewers right now.", again: true },
  4000: { message: "This view continues in a newer connection.", again: false },
  4001: { message: "The stream was deleted.", again: false },
  4002: { message: "The stream has ended.", again: false },
  4003: { message: "You were sent away from this stream.", again: false },
  4004: { message: "This connection is too slow for the stream.", again: true },
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
  4012: { message: "The server could not use this page's input.", again: false },
};

const element = (id) => document.getElementById(id);
const video = element("video");
const streamerId = decodeURIComponent(location.pathname.split("/").pop());
/** Names this page, so that it takes its own place when it joins again. Random, and new for each page load. */
const instance = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

const page = { pc: null, video, state: "connecting", events: {} };
window.moonlightMux = page;

let attempt = null;
let failures = 0;
let retryTimer = null;

/** One try to join. */
class Attempt {
  #socket;
  #pc = null;
  #media = new MediaStream();
  #joined = performance.now();
  #playingSince = null;
  #timers = [];
  #over = false;
  /** Candidates that came before the answer. */
  #early = [];

  constructor() {
    show({ state: "connecting", message: "Connecting…" });
    const url = new URL(`../api/streamers/${encodeURIComponent(streamerId)}/peer`, location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.searchParams.set("instance", instance);
    this.#socket = new WebSocket(url, "moonlight-mux.v1");
    this.#socket.onmessage = ({ data }) => this.#receive(data).catch((error) => this.#fail(error));
    this.#socket.onclose = ({ code }) => this.#closed(code);
    this.#after(CONNECT_TIMEOUT_MS, () => {
      if (!this.#pc) this.end({ message: "The server does not answer.", again: true });
    });
  }

  async #receive(data) {
    if (this.#over) return;
    const message = JSON.parse(data);
    const [name, body] = typeof message === "string" ? [message, {}] : Object.entries(message)[0];
    switch (name) {
      case "WebRtcConfig": return this.#offer(body.ice_servers);
      case "Signaling": return this.#signal(body);
      case "StageStarting": return this.#progress(`Connecting to the host: ${body.stage}…`);
      case "ConnectionComplete": return this.#progress("Waiting for the picture…");
      case "StageFailed": return this.#progress(`The host could not be connected: ${body.stage} failed.`);
      // Others, `ConnectionTerminated` too, need no word of their own: the close code behind them says more.
      default: return undefined;
    }
  }

  async #offer(iceServers) {
    const pc = new RTCPeerConnection({ iceServers });
    this.#pc = page.pc = pc;
    pc.onicecandidate = ({ candidate }) => candidate && this.#sendCandidate(candidate);
    pc.ontrack = ({ track }) => this.#play(track);
    pc.onconnectionstatechange = () => this.#connectionChanged();
    pc.addTransceiver("video", { direction: "recvonly" });
    pc.addTransceiver("audio", { direction: "recvonly" });
    this.#openChannels(pc);
    const offer = await pc.createOffer();
    const sdp = withStereo(offer.sdp);
    await pc.setLocalDescription({ type: "offer", sdp });
    this.#send({ Signaling: { Description: { ty: "offer", sdp } } });
  }

  /** Both sides know them by number. */
  #openChannels(pc) {
    page.input = pc.createDataChannel("input", { negotiated: true, id: 0 });
    page.motion = pc.createDataChannel("motion", { negotiated: true, id: 1, ordered: false, maxRetransmits: 0 });
    const events = pc.createDataChannel("events", { negotiated: true, id: 2 });
    events.onmessage = ({ data }) => handleEvent(JSON.parse(data));
  }

  async #signal({ Description: description, AddIceCandidate: candidate }) {
    if (description) {
      await this.#pc.setRemoteDescription({ type: description.ty, sdp: description.sdp });
      this.#after(CONNECT_TIMEOUT_MS, () => {
        if (this.#pc.connectionState === "connecting" || this.#pc.connectionState === "new") this.end(CLOSE_CODES[4010]);
      });
      for (const early of this.#early.splice(0)) await this.#pc.addIceCandidate(early);
    } else if (candidate) {
      const init = {
        candidate: candidate.candidate,
        sdpMid: candidate.sdp_mid,
        sdpMLineIndex: candidate.sdp_mline_index,
        usernameFragment: candidate.username_fragment,
      };
      if (this.#pc.remoteDescription) await this.#pc.addIceCandidate(init);
      else this.#early.push(init);
    }
  }

  #sendCandidate({ candidate, sdpMid, sdpMLineIndex, usernameFragment }) {
    this.#send({
      Signaling: {
        AddIceCandidate: {
          candidate,
          sdp_mid: sdpMid,
          sdp_mline_index: sdpMLineIndex,
          username_fragment: usernameFragment,
        },
      },
    });
  }

  #play(track) {
    this.#media.addTrack(track);
    if (video.srcObject !== this.#media) video.srcObject = this.#media;
    if (track.kind === "video") {
      onNextFrame(() => this.#firstFrame());
      startPlaying();
    }
  }

  #firstFrame() {
    if (this.#over || this.#playingSince !== null) return;
    this.#playingSince = performance.now();
    this.#report("first_frame");
    show({ state: "playing" });
  }

  #connectionChanged() {
    switch (this.#pc.connectionState) {
      case "connected":
        if (this.#playingSince !== null) return show({ state: "playing" });
        this.#progress("Waiting for the picture…");
        this.#after(FIRST_FRAME_HINT_MS, () => {
          if (this.#playingSince !== null) return;
          this.#report("black");
          this.#progress("Waiting for the picture…", "The connection stands, but the stream sends no picture at the moment.");
        });
        return;
      case "disconnected":
        element("status").textContent = "Connection interrupted";
        return;
      case "failed":
        this.end(CLOSE_CODES[this.#playingSince === null ? 4010 : 4011]);
    }
  }

  #progress(message, hint) {
    if (this.#over || this.#playingSince !== null) return;
    show({ state: "connecting", message, hint });
  }

  #report(event) {
    this.#send({ Report: { event, after_ms: Math.round(performance.now() - this.#joined) } });
  }

  #send(message) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  async #closed(code) {
    if (this.#over) return;
    const verdict = { ...(CLOSE_CODES[code] ?? (await lookForReason())) };
    if (code === 4009) {
      const codec = (await streamer())?.codec;
      if (codec) verdict.message = `This stream's codec, ${codec}, cannot be played here.`;
      if (codec === "H.264" && !canPlay("video/H264")) {
        verdict.hint = "This browser does not know H.264. In Firefox, check that the OpenH264 plugin is on (about:addons, Plugins).";
      }
    }
    if (code === 4002) verdict.hint = (await streamer())?.error?.message;
    this.end(verdict);
  }

  #fail(error) {
    console.error(error);
    this.end({ message: "This browser could not take up the connection.", hint: error.message, again: false });
  }

  #after(delay, then) {
    this.#timers.push(setTimeout(then, delay));
  }

  /** Ends the attempt; only the first call counts. */
  end(verdict) {
    if (this.#over) return;
    this.#over = true;
    this.#timers.forEach(clearTimeout);
    this.#socket.close();
    this.#pc?.close();
    page.pc = null;
    if (this.#playingSince !== null && performance.now() - this.#playingSince > STEADY_MS) failures = 0;
    attempt = null;
    concluded(verdict);
  }
}

/** What the server tells on the channel `events`. */
function handleEvent(message) {
  Object.assign(page.events, message);
  console.debug(message);
}

function join() {
  clearTimeout(retryTimer);
  retryTimer = null;
  attempt ??= new Attempt();
}

/** What follows an attempt. */
function concluded({ message, hint, again }) {
  if (!again) return show({ state: "ended", message, hint });
  const delay = backoff(failures++);
  retryTimer = setTimeout(join, delay);
  show({ state: "waiting", message, hint: [hint, `Trying again in ${Math.ceil(delay / 1000)} s…`].filter(Boolean).join(" ") });
}

/** 1, 2, 4, … 30 s, each up to a fifth less by chance, so that many pages do not come back all at once. */
function backoff(failures) {
  const full = Math.min(BACKOFF_MS.first * 2 ** failures, BACKOFF_MS.longest);
  return full * (1 - 0.2 * Math.random());
}

/** A WebSocket that the server refused says nothing: the plain API does. */
async function lookForReason() {
  const info = await streamer();
  if (info === undefined) return { message: "The server cannot be reached.", again: true };
  if (info === null) return { message: "There is no stream of this name.", again: true };
  return { message: "The connection was lost.", again: true };
}

/** What the API says of the stream: null when there is none, undefined when it does not answer. */
async function streamer() {
  try {
    const options = { cache: "no-store", signal: AbortSignal.timeout(5_000) };
    const response = await fetch(`../api/streamers/${encodeURIComponent(streamerId)}`, options);
    if (response.status === 404) return null;
    return response.ok ? await response.json() : undefined;
  } catch {
    return undefined;
  }
}

/** Chromium plays two channels only when asked to: `stereo=1` in the Opus format parameters (RFC 7587, 6.1). */
function withStereo(sdp) {
  const opus = sdp.match(/^a=rtpmap:(\d+) opus\/48000\/2\r?$/im)?.[1];
  if (opus === undefined) return sdp;
  return sdp.replace(new RegExp(`^(a=fmtp:${opus} (?!.*\\bstereo=).*?)(\\r?)$`, "m"), "$1;stereo=1$2");
}

function canPlay(mimeType) {
  const codecs = RTCRtpReceiver.getCapabilities?.("video")?.codecs ?? [];
  return codecs.some((codec) => codec.mimeType.toLowerCase() === mimeType.toLowerCase());
}

function onNextFrame(then) {
  if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(then);
  else video.addEventListener("loadeddata", then, { once: true });
}

/** Browsers let muted video start by itself; where even that is off, a button does it. */
async function startPlaying() {
  try {
    await video.play();
    element("play").hidden = true;
  } catch (error) {
    if (error.name !== "NotAllowedError") return; // A newer attempt's media took over.
    element("play").hidden = false;
  }
}

const STATUS = { connecting: "Connecting", playing: "Live", waiting: "Disconnected", ended: "Disconnected" };

function show({ state, message = "", hint = "" }) {
  page.state = state;
  element("status").textContent = STATUS[state];
  element("message").textContent = message;
  element("hint").textContent = hint;
  const notice = element("notice");
  notice.hidden = state === "playing";
  notice.classList.toggle("busy", state === "connecting");
  element("retry").hidden = state !== "waiting" && state !== "ended";
}

function showSound() {
  element("sound").textContent = video.muted ? "Turn sound on" : "Turn sound off";
}

element("title").textContent = streamerId;
document.title = `${streamerId} – moonlight-mux`;
element("retry").onclick = () => {
  failures = 0;
  join();
};
element("play").onclick = startPlaying;
element("sound").onclick = () => {
  video.muted = !video.muted;
  startPlaying();
};
video.onvolumechange = showSound;

element("fullscreen").onclick = () => {
  const stage = element("stage");
  if (document.fullscreenElement) document.exitFullscreen();
  else if (stage.requestFullscreen) stage.requestFullscreen();
  else video.webkitEnterFullscreen?.(); // iPhones show only the video itself in full screen.
};
document.onfullscreenchange = () => {
  element("fullscreen").textContent = document.fullscreenElement ? "Leave full screen" : "Full screen";
};

addEventListener("online", () => retryTimer !== null && join());
// A page that the browser keeps for "back" must not go on watching.
addEventListener("pagehide", () => attempt?.end({ message: "You left the stream.", again: false }));
addEventListener("pageshow", ({ persisted }) => persisted && join());

if (window.RTCPeerConnection) join();
else show({ state: "ended", message: "This browser has no WebRTC, or it is turned off.", hint: "The stream needs it." });
