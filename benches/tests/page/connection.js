const { Connection } = await import("/assets/connection.js");

/** Joins with a WebSocket and connections of the test's own. Gives them, what came to the end, and what undoes it. */
function join() {
  const real = { WebSocket: globalThis.WebSocket, RTCPeerConnection: globalThis.RTCPeerConnection, error: console.error };
  const scene = { peers: [], ended: [], errors: [], socket: null };
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
    async createOffer() { return { sdp: "v=0" }; }
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
  scene.undo = () => {
    connection.leave();
    Object.assign(globalThis, { WebSocket: real.WebSocket, RTCPeerConnection: real.RTCPeerConnection });
    console.error = real.error;
  };
  return scene;
}

const gone = () => new DOMException("the connection is closed", "InvalidStateError");
const settled = () => new Promise((resolve) => setTimeout(resolve));

testThatWaits("candidates that came early are added behind the answer, in their order", async () => {
  const scene = join();
  try {
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
  } finally {
    scene.undo();
  }
});

testThatWaits("a candidate that cannot be used ends the attempt", async () => {
  const scene = join();
  try {
    await scene.config();
    await scene.answer();
    await scene.candidate(1);
    scene.peers[0].added[0].refused(new Error("no candidate at all"));
    await settled();
    equal([scene.ended, scene.errors], [["This browser could not take up the connection."], ["no candidate at all"]]);
  } finally {
    scene.undo();
  }
});

testThatWaits("another connection goes on whatever becomes of the first one's candidates", async () => {
  const scene = join();
  try {
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
  } finally {
    scene.undo();
  }
});

testThatWaits("an attempt that has ended adds no candidates and is silent about those under way", async () => {
  const scene = join();
  try {
    await scene.config();
    await scene.candidate(1);
    await scene.candidate(2);
    await scene.answer();
    scene.leave();
    const [{ added }] = scene.peers;
    added[0].refused(gone());
    await settled();
    equal([scene.ended, scene.errors, added.length], [["You left the stream."], [], 1]);
  } finally {
    scene.undo();
  }
});
