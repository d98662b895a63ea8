// The data channels that page and server know by number (docs/http-api.md).

/**
 * Opens them, before the offer is made; gives those that the page sends on: `{ input, motion }`. `said` gets each message
 * of `events`, parsed.
 */
export function openChannels(pc, said) {
  const events = pc.createDataChannel("events", { negotiated: true, id: 2 });
  events.onmessage = ({ data }) => said(JSON.parse(data));
  return {
    input: pc.createDataChannel("input", { negotiated: true, id: 0 }),
    motion: pc.createDataChannel("motion", { negotiated: true, id: 1, ordered: false, maxRetransmits: 0 }),
  };
}
