// From a filled-in form to a request, and from the server's answer to the form's field. Pure.

import { sentence } from "./streamer_words.js";

/** What the form has a place for, by the server's names. Everything else belongs to the whole form. */
const PLACES = {
  streamer_id: ["name", "Name"],
  host_id: ["host", "Host"],
  app_id: ["app", "App"],
  app: ["app", "App"],
  width: ["size", "Width"],
  height: ["size", "Height"],
  fps: ["fps", "Frames per second"],
  bitrate: ["bitrate", "Bitrate"],
  persistent: ["persistent", "Persistent"],
};

/** Problems that are about a field, though they do not say so. */
const PLACES_OF_CODES = {
  streamer_exists: "name",
  host_not_found: "host",
  host_not_paired: "host",
  app_not_found: "app",
  streamers_not_kept: "persistent",
};

/**
 * `values` are texts as they stand in the form: `{ name, host, app: { app_id } | { app } | null, size, width, height,
 * fps, bitrate, persistent }`, the bitrate in Mbit/s, `size` "1280x720" or "other". Gives `{ request, faults }`: what to send, and a
 * sentence for each field that cannot be sent.
 */
export function requestOf(values) {
  const faults = {};
  const [width, height] = values.size === "other" ? [values.width, values.height] : values.size.split("x");
  const request = {
    streamer_id: values.name.trim(),
    host_id: values.host === "" ? undefined : Number(values.host),
    ...values.app,
    width: number(width, "size", faults),
    height: number(height, "size", faults),
    fps: number(values.fps, "fps", faults),
    bitrate: kilobits(number(values.bitrate, "bitrate", faults)),
  };
  if (values.persistent) request.persistent = true;
  if (request.streamer_id === "") faults.name = "Give it a name.";
  if (request.host_id === undefined) faults.host = "Choose a host, or add one.";
  if (!values.app) faults.app = "Choose an app.";
  return { request, faults };
}

function number(text, place, faults) {
  const number = text.trim() === "" ? NaN : Number(text);
  if (!Number.isFinite(number)) faults[place] = "Enter a number.";
  return number;
}

/** The server takes whole ones. */
function kilobits(megabits) {
  return Math.round(megabits * 1000);
}

/** Where the problem of a create belongs, "form" for all of it, and the sentence to be read there. */
export function placeOf(problem, message) {
  const known = PLACES[problem.field];
  if (problem.field === "bitrate") return { place: "bitrate", text: "The bitrate has to be from 0.5 to 1000 Mbit/s." };
  if (known) return { place: known[0], text: sentence(message.replace(problem.field, known[1])) };
  const place = PLACES_OF_CODES[problem.code] ?? "form";
  if (problem.code === "streamer_exists") return { place, text: running(problem.target) };
  return { place, text: sentence(message) };
}

function running(target) {
  const facts = target && [target.app, `${target.width}×${target.height}`, `${target.fps} fps`].filter(Boolean).join(", ");
  return `A stream with this name is running${facts ? ` (${facts})` : ""}.`;
}

/** A name for a stream of an app that no stream has yet, of the characters that the server takes. */
export function suggestName(title, taken) {
  const plain = title.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const base = plain.replace(/[^a-z0-9]+/g, "-").slice(0, 60).replace(/^-+|-+$/g, "") || "stream";
  let name = base;
  for (let n = 2; taken.includes(name); n += 1) name = `${base}-${n}`;
  return name;
}
