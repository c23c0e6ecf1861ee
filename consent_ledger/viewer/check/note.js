// Signed notes (c2sp.org/signed-note), checkpoints and cosignatures of witnesses (c2sp.org/tlog-cosignature).
import { NotYet, Wrong, equal, fromBase64, fromDecimal, fromUint64, hex, sha256, utf8, verifyEd25519 } from "./bytes.js";

const ED25519 = 0x01;
const ED25519_COSIGNATURE = 0x04;
const ML_DSA_44_COSIGNATURE = 0x06; // no browser verifies it: such lines are skipped, as those of unknown keys are
const LENGTHS = { [ED25519]: 32, [ED25519_COSIGNATURE]: 32, [ML_DSA_44_COSIGNATURE]: 1312 };
const MAX_NOTE_BYTES = 1_000_000;
const MAX_SIGNATURES = 100;
const CONTROL = /[\x00-\x09\x0b-\x1f]/;

function requireName(name) {
  if (!name || /[\s+]/.test(name) || CONTROL.test(name)) throw new Wrong("a key name has no spaces and no plus signs");
}

// Read `name+hex8(key id)+base64(type || public key)`, split at the first two plus signs: base64 holds more of them.
export async function parseKey(text) {
  const [name, id, ...rest] = text.split("+");
  if (!rest.length) throw new Wrong("expected a note key: name+id+key");
  requireName(name);
  const material = fromBase64(rest.join("+"));
  const kind = material[0];
  if (!(kind in LENGTHS) || material.length !== LENGTHS[kind] + 1) throw new Wrong("a note key of an unknown type");
  const keyId = hex((await sha256(utf8(name), utf8("\n"), material)).slice(0, 4));
  if (keyId !== id) throw new Wrong(`key id: expected ${keyId}, got another`);
  return { name, id, kind, material: material.slice(1), usable: kind !== ML_DSA_44_COSIGNATURE };
}

export function splitNote(note) {
  if (utf8(note).length > MAX_NOTE_BYTES) throw new Wrong("expected a shorter note");
  if (CONTROL.test(note)) throw new Wrong("a note has no control characters but newline");
  const at = note.lastIndexOf("\n\n"); // the last empty line separates: the text may hold empty lines itself
  if (at < 0 || !note.endsWith("\n")) throw new Wrong("expected a text, an empty line and signature lines");
  const lines = note.slice(at + 2, -1).split("\n");
  if (lines.length > MAX_SIGNATURES) throw new Wrong(`expected at most ${MAX_SIGNATURES} signatures`);
  return { text: note.slice(0, at + 1), lines: lines.map(parseLine) };
}

function parseLine(line) {
  if (!line.startsWith("— ")) throw new Wrong("expected a signature line that starts with an em dash and a space");
  const rest = line.slice(2);
  const space = rest.indexOf(" ");
  const name = space < 0 ? rest : rest.slice(0, space);
  requireName(name);
  const data = fromBase64(space < 0 ? "" : rest.slice(space + 1));
  if (data.length < 5) throw new Wrong("expected a key id of 4 bytes and a signature");
  return { name, id: hex(data.slice(0, 4)), signature: data.slice(4) };
}

// The message that a key of this kind signed over the text, the signature proper, and when (cosignatures only).
function taken(key, text, data) {
  if (key.kind === ED25519) return { message: utf8(text), signature: data, seconds: null };
  if (data.length !== 72) throw new Wrong(`expected a cosignature of 72 bytes, got ${data.length}`);
  const seconds = fromUint64(data.slice(0, 8));
  return { message: utf8(`cosignature/v1\ntime ${seconds}\n${text}`), signature: data.slice(8), seconds };
}

// Return the text of a note and the known keys that signed it. A wrong signature by a known key rejects the note.
async function openNote(note, keys) {
  const { text, lines } = splitNote(note);
  const signed = new Map();
  for (const line of lines) {
    for (const key of keys) {
      if (!key.usable || key.name !== line.name || key.id !== line.id) continue;
      const { message, signature, seconds } = taken(key, text, line.signature);
      if (signature.length !== 64 || !(await verifyEd25519(key.material, signature, message)))
        throw new Wrong(`wrong signature by known key ${key.name}+${key.id}`);
      if (!signed.has(key)) signed.set(key, seconds);
    }
  }
  return { text, signed };
}

export function parseCheckpoint(text) {
  const lines = text.split("\n");
  if (lines.length !== 4 || lines[3]) throw new Wrong("expected a checkpoint of three lines: origin, size, root");
  const root = fromBase64(lines[2]);
  if (!lines[0] || root.length !== 32) throw new Wrong("expected a checkpoint with an origin and a root of 32 bytes");
  return { origin: lines[0], size: fromDecimal(lines[1], "tree size"), root };
}

// Whom this program believes: `{logKeys: [...], needed, witnesses: [{name, keys}]}` from their texts.
export async function parseTrust({ log_keys, quorum }) {
  const witnesses = [];
  for (const texts of quorum.witnesses) {
    const keys = await Promise.all(texts.map(parseKey));
    witnesses.push({ name: keys[0].name, keys });
  }
  return { logKeys: await Promise.all(log_keys.map(parseKey)), needed: quorum.needed, witnesses };
}

// Return the checkpoint of a note that a known key named as its origin signed, with the witnesses that cosigned it.
export async function openCheckpoint(note, trust) {
  const keys = [...trust.logKeys, ...trust.witnesses.flatMap((witness) => witness.keys)];
  const { text, signed } = await openNote(note, keys);
  const checkpoint = parseCheckpoint(text);
  const names = [...signed.keys()].map((key) => key.name);
  if (!trust.logKeys.some((key) => key.name === checkpoint.origin)) throw new NotYet("other-log");
  if (![...signed.keys()].some((key) => key.kind === ED25519 && key.name === checkpoint.origin))
    throw new Wrong(`expected a signature by the log ${checkpoint.origin}, got only ${names.join(", ") || "unknown ones"}`);
  const cosigned = trust.witnesses.filter((witness) => witness.keys.some((key) => signed.has(key)));
  return { ...checkpoint, witnesses: cosigned.map((witness) => witness.name) };
}

export function sameRoot(a, b) {
  return a.origin === b.origin && a.size === b.size && equal(a.root, b.root);
}

