// The HTTP API, as far as the pages need it.

const TIMEOUT_MS = 5_000;
const LIST_TIMEOUT_MS = 10_000;
/** For calls behind which a host is asked, or a stream is stopped: those have time limits of their own. */
const LONG_TIMEOUT_MS = 60_000;

/** Relative to this file, so that the server may live below any path. */
const api = (path) => new URL(`../api/${path}`, import.meta.url);
const address = (streamerId) => api(`streamers/${encodeURIComponent(streamerId)}`);

/** The address of the stream's peer WebSocket. The page's own `?name=` and `?role=` go along: who the viewer is. */
export function peerUrl(streamerId, instance) {
  const url = new URL(`${address(streamerId)}/peer`);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.searchParams.set("instance", instance);
  const said = new URLSearchParams(location.search);
  for (const name of ["name", "role"]) {
    if (said.get(name)) url.searchParams.set(name, said.get(name));
  }
  return url;
}

/** What the API says of the stream: null when there is none, undefined when it does not answer. */
export async function streamer(streamerId) {
  try {
    const options = { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) };
    const response = await fetch(address(streamerId), options);
    if (response.status === 404) return null;
    return response.ok ? await response.json() : undefined;
  } catch {
    return undefined;
  }
}

/** Why a call did nothing. `problem` is the server's (RFC 9457), with `code` and often `field`; without an answer there is none. */
export class Refusal extends Error {
  constructor(problem) {
    super(problem?.detail ?? "the server does not answer");
    this.problem = problem ?? {};
  }
}

/** All streams, and the server's time of day in milliseconds since 1970. */
export async function streamers() {
  const { body, now } = await call("GET", "streamers", undefined, LIST_TIMEOUT_MS);
  return { streamers: body.streamers, now };
}

/** Answers before the stream runs: it says by itself what becomes of it. */
export async function createStreamer(request, { replace = false } = {}) {
  return (await call("POST", `streamers?wait=false${replace ? "&on_conflict=replace" : ""}`, request)).body;
}

/** Has one that has ended made anew; answers before it runs. */
export async function restartStreamer(streamerId) {
  return (await call("POST", `streamers/${encodeURIComponent(streamerId)}/restart?wait=false`)).body;
}

export async function deleteStreamer(streamerId, { quit = false } = {}) {
  await call("DELETE", `streamers/${encodeURIComponent(streamerId)}${quit ? "?quit=true" : ""}`);
}

export async function hosts() {
  return (await call("GET", "hosts", undefined, LIST_TIMEOUT_MS)).body.hosts;
}

export async function addHost(address) {
  return (await call("POST", "hosts", { address })).body;
}

/** The PIN that has to be entered at the host. */
export async function pairHost(hostId) {
  return (await call("POST", `hosts/${hostId}/pair`)).body.pin;
}

export async function apps(hostId) {
  return (await call("GET", `hosts/${hostId}/apps`)).body.apps;
}

export function appImage(hostId, appId) {
  return String(api(`hosts/${hostId}/apps/${appId}/image`));
}

/** Throws a `Refusal`. */
async function call(method, path, body, timeoutMs = LONG_TIMEOUT_MS) {
  const options = { method, cache: "no-store", signal: AbortSignal.timeout(timeoutMs) };
  if (body !== undefined) {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(body);
  }
  let response;
  let answer;
  try {
    response = await fetch(api(path), options);
    answer = response.status === 204 ? null : await response.json();
  } catch {
    throw new Refusal();
  }
  if (!response.ok) throw new Refusal(answer);
  return { body: answer, now: Date.parse(response.headers.get("Date")) || Date.now() };
}
