// One attempt to join: one WebSocket and one RTCPeerConnection, never used twice. The page makes the offer.
//
// An attempt ends once, with a verdict (verdicts.js). Its steps are marks of the browser's User Timing (docs/page.md).

import { peerUrl, streamer } from "./api.js";
import { snapshot } from "./statistics.js";
import { LEFT, LOST, NO_ANSWER, noMedia, verdictOf, waitingFor } from "./verdicts.js";
import { Watchdog } from "./watchdog.js";

/** From the last word that the server waits too, and for the media connection once it has answered. In between it keeps time. */
const CONNECT_TIMEOUT_MS = 10_000;
/** From the offer to the answer: whoever had to answer may be gone. */
const ANSWER_TIMEOUT_MS = 12_000;
/** From a connection that failed before it stood to the server's word that another will do better, which is under way. */
const RETRY_MS = 2_000;
/** What the watchdog says and the server wants to know. */
const REPORTS = new Set(["first_frame", "black", "frozen", "playing"]);

/** Names this page, so that it takes its own place when it joins again. Random, and new for each page load. */
const instance = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/**
 * Begins to join at once. `handlers`:
 * - `peer(pc)`: the RTCPeerConnection, before it makes its offer;
 * - `progress(text)`: what is being waited for, until the first picture;
 * - `stream({ status })`: what the WebSocket says of the stream;
 * - `change(name)`: what the watchdog has seen;
 * - `ended(verdict)`: the end, once.
 */
export class Connection {
  #streamerId;
  #video;
  #handlers;
  #socket;
  #pc = null;
  #media = new MediaStream();
  #watchdog = new Watchdog();
  #joined = performance.now();
  #firstFrameAt = null;
  #status = null;
  #timers = [];
  /** Until the server has said what to connect with, or that it waits for whoever knows. */
  #patience;
  #over = false;
  /** Candidates that came before the answer. */
  #early = [];

  constructor(streamerId, video, handlers) {
    this.#streamerId = streamerId;
    this.#video = video;
    this.#handlers = handlers;
    this.#socket = new WebSocket(peerUrl(streamerId, instance), "moonlight-mux.v1");
    performance.clearMarks();
    this.#mark("start", this.#joined);
    this.#socket.onopen = () => this.#mark("socket");
    this.#socket.onmessage = ({ data }) => this.#receive(data).catch((error) => this.#fail(error));
    this.#socket.onclose = ({ code }) => this.#closed(code);
    this.#wait();
  }

  /** "new", "connecting", "connected", "disconnected", "failed" or "closed". */
  get state() {
    return this.#pc?.connectionState ?? "new";
  }

  /** For how long there have been pictures; 0 without one. */
  get playedMs() {
    return this.#firstFrameAt === null ? 0 : performance.now() - this.#firstFrameAt;
  }

  /** Null while the picture moves or has not come yet, else `{ arriving }`: whether data come that make no picture. */
  get frozen() {
    return this.#watchdog.phase === "frozen" ? { arriving: this.#watchdog.arriving } : null;
  }

  /** What the stream is doing, as the API names it: whether pictures can be expected. */
  handleStatus(status) {
    this.#status = status;
  }

  /** Asks the browser for its counters and watches over the picture; to be called every second. Null before the offer. */
  async sample() {
    if (!this.#pc) return null;
    const counted = snapshot(await this.#pc.getStats());
    if (this.#over) return null;
    const changes = this.#watchdog.handleSample(performance.now(), {
      visible: !document.hidden,
      connected: this.state === "connected" || this.state === "disconnected",
      status: this.#status,
      framesDecoded: counted.framesDecoded,
      bytesReceived: counted.videoBytes,
      heard: counted.heard,
    });
    this.#changed(changes);
    return counted;
  }

  /** Ends the attempt; only the first call counts. */
  end(verdict) {
    if (this.#over) return;
    this.#over = true;
    this.#timers.forEach(clearTimeout);
    this.#socket.close();
    this.#pc?.close();
    this.#handlers.ended(verdict);
  }

  leave() {
    this.end(LEFT);
  }

  lose() {
    this.end(LOST);
  }

  async #receive(data) {
    if (this.#over) return;
    const message = JSON.parse(data);
    const [name, body] = typeof message === "string" ? [message, {}] : Object.entries(message)[0];
    switch (name) {
      case "Waiting":
        this.#wait();
        return this.#progress(waitingFor(body.status));
      case "WebRtcConfig": return this.#offer(body.ice_servers);
      case "Signaling": return this.#signal(body);
      case "StageStarting":
        this.#handlers.stream({ status: "starting" });
        return this.#progress(`Connecting to the host: ${body.stage}…`);
      case "StageFailed": return this.#progress(`The host could not be connected: ${body.stage} failed.`);
      case "ConnectionComplete":
        this.#handlers.stream({ status: "active" });
        return this.#progress("Waiting for the picture…");
      // Others, `ConnectionTerminated` too, need no word of their own: the close code behind them says more.
      default: return undefined;
    }
  }

  async #offer(iceServers) {
    this.#discard();
    this.#mark("config");
    const pc = new RTCPeerConnection({ iceServers });
    this.#pc = pc;
    pc.onicecandidate = ({ candidate }) => candidate && this.#sendCandidate(candidate);
    pc.ontrack = ({ track }) => pc === this.#pc && this.#play(track, pc);
    pc.oniceconnectionstatechange = () => pc.iceConnectionState === "connected" && this.#mark("ice");
    pc.onconnectionstatechange = () => pc === this.#pc && this.#connectionChanged();
    pc.addTransceiver("video", { direction: "recvonly" });
    pc.addTransceiver("audio", { direction: "recvonly" });
    this.#handlers.peer(pc);
    let sdp;
    try {
      sdp = await offered(pc);
    } catch (error) {
      if (!this.#over && pc === this.#pc) throw error;
    }
    if (this.#over || pc !== this.#pc) return;
    this.#send({ Signaling: { Description: { ty: "offer", sdp } } });
    this.#after(ANSWER_TIMEOUT_MS, () => pc === this.#pc && !pc.remoteDescription && this.end(NO_ANSWER));
    this.#mark("offer");
  }

  /** The server asks for another connection: this browser's first cannot be encrypted as the server wants it. */
  #discard() {
    const failed = this.#pc;
    for (const step of ["config", "offer", "answer", "ice", "dtls"]) performance.clearMarks(`join:${step}`);
    this.#pc = null;
    this.#early = [];
    for (const track of this.#media.getTracks()) this.#media.removeTrack(track);
    failed?.close();
  }

  async #signal({ Description: description, AddIceCandidate: candidate }) {
    if (description) {
      this.#mark("answer");
      const pc = this.#pc;
      try {
        await pc.setRemoteDescription({ type: description.ty, sdp: description.sdp });
      } catch (error) {
        if (!this.#over && pc === this.#pc) throw error;
      }
      if (this.#over || pc !== this.#pc) return;
      this.#after(CONNECT_TIMEOUT_MS, () => this.#unconnected(pc));
      for (const early of this.#early.splice(0)) await this.#addCandidate(pc, early);
    } else if (candidate) {
      const init = {
        candidate: candidate.candidate,
        sdpMid: candidate.sdp_mid,
        sdpMLineIndex: candidate.sdp_mline_index,
        usernameFragment: candidate.username_fragment,
      };
      if (this.#pc?.remoteDescription) await this.#addCandidate(this.#pc, init);
      else this.#early.push(init);
    }
  }

  /** A connection that was closed or replaced meanwhile takes none, and that is no failure. */
  async #addCandidate(pc, candidate) {
    if (this.#over || pc !== this.#pc) return;
    try {
      await pc.addIceCandidate(candidate);
    } catch (error) {
      if (!this.#over && pc === this.#pc) throw error;
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

  #play(track, pc) {
    this.#media.addTrack(track);
    if (this.#video.srcObject !== this.#media) this.#video.srcObject = this.#media;
    if (track.kind !== "video") return;
    onNextFrame(this.#video, (times) => this.#over || pc !== this.#pc || this.#firstPicture(times));
    this.#handlers.track();
  }

  /** `times`: when it was received and presented, where the browser says so. */
  #firstPicture({ receiveTime, presentationTime = performance.now() }) {
    if (receiveTime !== undefined) this.#mark("keyframe", receiveTime);
    this.#mark("picture", presentationTime);
    this.#changed(this.#watchdog.handleFrame(performance.now()));
  }

  #changed(changes) {
    for (const change of changes) {
      if (change === "first_frame") this.#firstFrameAt = performance.now();
      if (REPORTS.has(change)) this.#report(change);
      this.#handlers.change(change);
      if (change === "dead") this.lose();
    }
  }

  #connectionChanged() {
    if (this.state === "connected") {
      this.#mark("dtls");
      this.#progress("Waiting for the picture…");
    }
    if (this.state === "failed" && this.#firstFrameAt === null) {
      const pc = this.#pc;
      this.#after(RETRY_MS, () => this.#unconnected(pc));
      return;
    }
    if (this.state === "failed") this.end(LOST);
    else this.#handlers.change(this.state);
  }

  /** Its time is over. The one at the other end may be gone, and then the network is not to blame. */
  async #unconnected(pc) {
    const waits = () => pc === this.#pc && ["new", "connecting", "failed"].includes(this.state);
    if (!waits()) return;
    const info = await streamer(this.#streamerId);
    if (waits()) this.end(noMedia(info, browser()));
  }

  #progress(text) {
    if (!this.#over && this.#firstFrameAt === null) this.#handlers.progress(text);
  }

  /** A step of joining is done. */
  #mark(step, startTime = performance.now()) {
    if (!this.#over) performance.mark(`join:${step}`, { startTime });
  }

  #report(event) {
    this.#send({ Report: { event, after_ms: Math.round(performance.now() - this.#joined) } });
  }

  #send(message) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  async #closed(code) {
    if (this.#over) return;
    const info = await streamer(this.#streamerId);
    this.end(verdictOf(code, info, browser()));
  }

  /** For a word of the server's, from now on. */
  #wait() {
    clearTimeout(this.#patience);
    this.#patience = this.#after(CONNECT_TIMEOUT_MS, () => this.#pc || this.end(NO_ANSWER));
  }

  #fail(error) {
    console.error(error);
    this.end({ message: "This browser could not take up the connection.", hint: error.message, again: false });
  }

  #after(delay, then) {
    const timer = setTimeout(then, delay);
    this.#timers.push(timer);
    return timer;
  }
}

/** Has `pc` make an offer; gives its SDP. */
async function offered(pc) {
  const { sdp: plain } = await pc.createOffer();
  const sdp = withStereo(plain);
  await pc.setLocalDescription({ type: "offer", sdp });
  return sdp;
}

/** Chromium plays two channels only when asked to: `stereo=1` in the Opus format parameters (RFC 7587, 6.1). */
function withStereo(sdp) {
  const opus = sdp.match(/^a=rtpmap:(\d+) opus\/48000\/2\r?$/im)?.[1];
  if (opus === undefined) return sdp;
  return sdp.replace(new RegExp(`^(a=fmtp:${opus} (?!.*\\bstereo=).*?)(\\r?)$`, "m"), "$1;stereo=1$2");
}

/** What the verdicts need to know of this browser, and of where its page comes from. */
function browser() {
  const ownMachine = /^(localhost|127\..*|\[::1\])$/.test(location.hostname);
  return {
    online: navigator.onLine,
    playsH264: canPlay("video/H264"),
    refusesLoopback: ownMachine && navigator.userAgent.includes("Firefox/"),
  };
}

function canPlay(mimeType) {
  const codecs = globalThis.RTCRtpReceiver?.getCapabilities?.("video")?.codecs ?? [];
  return codecs.some((codec) => codec.mimeType.toLowerCase() === mimeType.toLowerCase());
}

function onNextFrame(video, then) {
  if (video.requestVideoFrameCallback) video.requestVideoFrameCallback((_, times) => then(times));
  else video.addEventListener("loadeddata", () => then({}), { once: true });
}
