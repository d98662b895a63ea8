// The HTTP API, as far as the viewer's page needs it.

const TIMEOUT_MS = 5_000;

/** Relative to this file, so that the server may live below any path. */
const address = (streamerId) => new URL(`../api/streamers/${encodeURIComponent(streamerId)}`, import.meta.url);

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
