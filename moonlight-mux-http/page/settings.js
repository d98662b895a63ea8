// What the page remembers in this browser. Storage may be full, forbidden or absent: then nothing is remembered.

const PREFIX = "moonlight-mux.";

export function remembered(name) {
  try {
    return localStorage.getItem(PREFIX + name);
  } catch {
    return null;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(PREFIX + name, value);
  } catch {
    // It is asked anew next time.
  }
}
