// Remembers on this device, only when asked, how far the log was seen: next time it must go on from there (R24).
import { toBase64 } from "./bytes.js";

const KEY = "regie/logboek";

function store() {
  try {
    return window.localStorage;
  } catch {
    return null; // a browser that keeps nothing: then nothing is offered
  }
}

export function remembered() {
  try {
    const read = JSON.parse(store()?.getItem(KEY) ?? "null");
    return read && typeof read.origin === "string" ? read : null;
  } catch {
    return null;
  }
}

// `chains` are the ends of the resident's own chains, {subject: {seq, hash}}; a page without them keeps those known.
export function remember({ origin, size, root }, chains) {
  const known = { ...remembered()?.chains, ...chains };
  store()?.setItem(KEY, JSON.stringify({ origin, size: String(size), root: toBase64(root), chains: known }));
}

export function forget() {
  store()?.removeItem(KEY);
}

export const canRemember = () => store() !== null;
