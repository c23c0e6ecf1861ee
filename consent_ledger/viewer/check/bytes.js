// Bytes, base64 with one accepted spelling, and the two functions of WebCrypto that everything rests on.

// What is wrong: the answer is "Klopt niet".
export class Wrong extends Error {}

// What cannot be checked here or now: the answer is "Nog niet te controleren".
export class NotYet extends Error {}

export const MAX_SIZE = 2n ** 63n - 1n;

export function join(...parts) {
  const joined = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

export function equal(a, b) {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function utf8(text) {
  return new TextEncoder().encode(text);
}

export function fromUtf8(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Wrong("expected UTF-8");
  }
}

export function toBase64(bytes) {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

// Standard base64 with padding. Two spellings of the same bytes would be two receipts, so only one is accepted.
export function fromBase64(text) {
  let binary;
  try {
    binary = atob(text);
  } catch {
    throw new Wrong("expected standard base64");
  }
  if (btoa(binary) !== text) throw new Wrong("expected canonical base64, got another spelling");
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

export function fromDecimal(text, what) {
  if (!/^(0|[1-9][0-9]{0,18})$/.test(text) || BigInt(text) > MAX_SIZE)
    throw new Wrong(`${what}: expected a decimal number from 0 to 2^63-1 without leading zeroes`);
  return BigInt(text);
}

export function fromUint64(bytes) {
  return bytes.reduce((number, byte) => number * 256n + BigInt(byte), 0n);
}

export async function sha256(...parts) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", join(...parts)));
}

export async function hmacSha256(key, message) {
  const usable = await crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", usable, message));
}

// Tell whether a signature is good; throws NotYet where the browser knows no Ed25519.
export async function verifyEd25519(publicKey, signature, message) {
  let key;
  try {
    key = await crypto.subtle.importKey("raw", publicKey, "Ed25519", false, ["verify"]);
  } catch (error) {
    if (error.name === "NotSupportedError") throw new NotYet("old-browser");
    return false; // no point on the curve
  }
  return crypto.subtle.verify("Ed25519", key, signature, message);
}
