const { Connection } = await import("/assets/connection.js");

/** Joins with a WebSocket and connections of the test's own. Gives them, what came to the end, and what undoes it. */
function join() {
  const real = { WebSocket: globalThis.WebSocket, RTCPeerConnection: globalThis.RTCPeerConnection, setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout, fetch: globalThis.fetch, error: console.error };
  const scene = { peers: [], ended: [], errors: [], socket: null, offers: null, status: "active" };
  /** Those of a second and more run out when the test says so; by number. */
  const limits = new Map();
  globalThis.setTimeout = (then, delay = 0) => {
    if (delay < 1_000) return real.setTimeout.call(globalThis, then, delay);
    const number = -1 - limits.size;
    limits.set(number, { then, delay });
    return number;
  };
  globalThis.clearTimeout = (number) => (number < 0 ? limits.set(number, null) : real.clearTimeout.call(globalThis, number));
  globalThis.fetch = async () => new Response(JSON.stringify({ status: scene.status }));
  globalThis.WebSocket = class {
    static OPEN = 1;
    readyState = 1;
    constructor() { scene.socket = this; }
    send() {}
    close() {}
  };
  globalThis.RTCPeerConnection = class {
    connectionState = "new";
    remoteDescription = null;
    /** The candidates that it was given: each is taken, or not, when the test says so. */
    added = [];
    constructor() { scene.peers.push(this); }
    addTransceiver() {}
    createOffer() { return scene.offers?.shift() ?? Promise.resolve({ sdp: "v=0" }); }
    async setLocalDescription() {}
    async setRemoteDescription(description) { this.remoteDescription = description; }
    addIceCandidate({ candidate }) {
      return new Promise((taken, refused) => this.added.push({ candidate, taken, refused }));
    }
    close() { this.connectionState = "closed"; }
  };
  console.error = (error) => scene.errors.push(error.message);
  const nothing = () => {};
  const handlers = { peer: nothing, progress: nothing, stream: nothing, change: nothing, track: nothing, ended: (verdict) => scene.ended.push(verdict.message) };
  const connection = new Connection("desk", document.createElement("video"), handlers);
  scene.leave = () => connection.leave();
  scene.say = async (message) => {
    scene.socket.onmessage({ data: JSON.stringify(message) });
    // Far behind all that follows by itself.
    await new Promise((resolve) => setTimeout(resolve));
  };
  scene.candidate = (n) => scene.say({ Signaling: { AddIceCandidate: { candidate: `candidate ${n}`, sdp_mid: "0" } } });
  scene.answer = () => scene.say({ Signaling: { Description: { ty: "answer", sdp: "v=0" } } });
  scene.config = () => scene.say({ WebRtcConfig: { ice_servers: [] } });
  /** All limits of this length that were set up to now run out. */
  scene.pass = async (delay) => {
    for (const limit of [...limits.values()]) if (limit?.delay === delay) limit.then();
    await settled();
  };
  scene.undo = () => {
    connection.leave();
    const { error, ...rest } = real;
    Object.assign(globalThis, rest);
    console.error = error;
  };
  return scene;
}

/** A test's scene, which is undone whatever comes of it. */
async function joined(body) {
  const scene = join();
  try {
    await body(scene);
  } finally {
    scene.undo();
  }
}

const gone = () => new DOMException("the connection is closed", "InvalidStateError");
const settled = () => new Promise((resolve) => setTimeout(resolve));

testThatWaits("candidates that came early are added behind the answer, in their order", () => joined(async (scene) => {
  await scene.config();
  await scene.candidate(1);
  await scene.candidate(2);
  const [{ added }] = scene.peers;
  equal(added.length, 0);
  await scene.answer();
  added[0].taken();
  await settled();
  await scene.candidate(3);
  equal(added.map(({ candidate }) => candidate), ["candidate 1", "candidate 2", "candidate 3"]);
}));

testThatWaits("a candidate that cannot be used ends the attempt", () => joined(async (scene) => {
  await scene.config();
  await scene.answer();
  await scene.candidate(1);
  scene.peers[0].added[0].refused(new Error("no candidate at all"));
  await settled();
  equal([scene.ended, scene.errors], [["This browser could not take up the connection."], ["no candidate at all"]]);
}));

testThatWaits("another connection goes on whatever becomes of the first one's candidates", () => joined(async (scene) => {
  await scene.config();
  await scene.candidate(1);
  await scene.candidate(2);
  await scene.answer();
  await scene.config();
  const [first, second] = scene.peers;
  first.added[0].refused(gone());
  await settled();
  equal([scene.ended, scene.errors, first.added.length], [[], [], 1]);
  await scene.answer();
  await scene.candidate(3);
  equal(second.added.map(({ candidate }) => candidate), ["candidate 3"]);
}));

testThatWaits("an attempt that has ended adds no candidates and is silent about those under way", () => joined(async (scene) => {
  await scene.config();
  await scene.candidate(1);
  await scene.candidate(2);
  await scene.answer();
  scene.leave();
  const [{ added }] = scene.peers;
  added[0].refused(gone());
  await settled();
  equal([scene.ended, scene.errors, added.length], [["You left the stream."], [], 1]);
}));

testThatWaits("another connection goes on when the first one's offer comes to nothing", () => joined(async (scene) => {
  const first = Promise.withResolvers();
  scene.offers = [first.promise];
  await scene.config();
  await scene.config();
  first.reject(gone());
  await settled();
  equal([scene.ended, scene.errors, scene.peers.length], [[], [], 2]);
  scene.offers = [Promise.reject(new Error("no offer at all"))];
  await scene.config();
  await settled();
  equal([scene.ended, scene.errors], [["This browser could not take up the connection."], ["no offer at all"]]);
}));

testThatWaits("an answer that does not come is not waited for without limit", async () => {
  for (const answered of [true, false]) {
    await joined(async (scene) => {
    await scene.config();
    if (answered) await scene.answer();
    await scene.pass(12_000);
    equal(scene.ended, answered ? [] : ["The server does not answer."]);
    });
  }
});

testThatWaits("the network is not blamed for a connection whose other end is gone", async () => {
  const blamed = "No media connection to the server could be made.";
  for (const [state, limit] of [["connecting", 10_000], ["failed", 2_000]]) {
    for (const [status, verdict] of [["active", blamed], ["reconnecting", "The connection was lost."]]) {
      await joined(async (scene) => {
      scene.status = status;
      await scene.config();
      await scene.answer();
      const [pc] = scene.peers;
      pc.connectionState = state;
      pc.onconnectionstatechange();
      await scene.pass(limit);
      await settled();
      equal(scene.ended, [verdict]);
      });
    }
  }
});
