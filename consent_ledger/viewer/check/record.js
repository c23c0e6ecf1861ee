// Proof files, entries, and the chain of one resident (ledger.md "Leaf", "Events"; c2sp.org/tlog-proof).
import { NotYet, Wrong, equal, fromBase64, fromDecimal, hex, hmacSha256, join, sha256, utf8 } from "./bytes.js";
import { bodyOf, decode } from "./protobuf.js";
import { leafHash, verifyInclusion } from "./tree.js";

const VERSION = "c2sp.org/tlog-proof@v1";
const SALT_BYTES = 32;
const EVENT_LABEL = utf8("regie/event/v1");
const PRIVATE_LABEL = utf8("regie/private/v1");
const COMMITMENT_HEAD = Uint8Array.of(0x0a, 0x20);

// Read a `.tlog-proof`: everything that its writer would not write is refused.
export function parseProof(text) {
  const at = text.indexOf("\n\n");
  if (at < 0 || at + 2 === text.length) throw new Wrong("expected a proof, an empty line and a checkpoint");
  const lines = text.slice(0, at).split("\n");
  if (lines.shift() !== VERSION) throw new Wrong(`expected ${VERSION} on the first line`);
  let extra = new Uint8Array();
  if (lines[0]?.startsWith("extra ")) {
    extra = fromBase64(lines.shift().slice(6));
    if (!extra.length) throw new Wrong("expected no extra line where there is no extra data");
  }
  if (!lines[0]?.startsWith("index ")) throw new Wrong("expected an index line");
  const index = fromDecimal(lines.shift().slice(6), "index");
  if (lines.length > 63) throw new Wrong("expected a path of at most 63 hashes");
  if (extra.length <= SALT_BYTES) throw new Wrong(`expected a salt of ${SALT_BYTES} bytes and an event`);
  const path = lines.map(fromBase64);
  const [salt, event] = [extra.slice(0, SALT_BYTES), extra.slice(SALT_BYTES)];
  return { index, path, salt, event, note: text.slice(at + 2) };
}

// Check that a committed event stands in the log, and read it.
export async function openEntry({ path, ...committed }, checkpoint, messages) {
  const entry = await openCommitted(committed, messages);
  const leaf = await leafHash(join(COMMITMENT_HEAD, entry.commitment));
  await verifyInclusion(entry.index, checkpoint.size, leaf, checkpoint.root, path);
  return entry;
}

// Read an event and compute its commitment. `private` (bytes) may be absent.
export async function openCommitted({ index, salt, event, private: hidden }, messages) {
  if (salt.length !== SALT_BYTES) throw new Wrong(`expected a salt of ${SALT_BYTES} bytes, got ${salt.length}`);
  const commitment = await hmacSha256(salt, join(EVENT_LABEL, event));
  const read = decode(event, "Event", messages);
  const kind = bodyOf(read, "Event", messages);
  const entry = { index, kind, event: read, body: read[kind], commitment, links: null, reason: 0, decidedBy: [] };
  if (!hidden) return entry;
  if (!equal(await sha256(PRIVATE_LABEL, hidden), read.private_digest))
    throw new Wrong("the private part does not have the digest that its event carries");
  const { links, reason, decided_by } = decode(hidden, "PrivatePart", messages);
  return { ...entry, links, reason, decidedBy: decided_by };
}

// Check that a public event stands in the log, and read it.
export async function openPublic({ index, path, entry }, checkpoint, messages) {
  await verifyInclusion(index, checkpoint.size, await leafHash(entry), checkpoint.root, path);
  const leaf = decode(entry, "Leaf", messages);
  if (!leaf.public) throw new Wrong("expected a public event");
  return { index, kind: bodyOf(leaf.public, "PublicEvent", messages), event: leaf.public };
}

// Follows one chain of a resident's events from the newest to the first, and says where one is missing. Each event names
// the hash of the one before it, so only the newest, and the first below a gap, need a proof of their own.
export class Chain {
  // `before` is what a device remembers of this chain: {seq, hash} of the newest event then.
  constructor(subject, newestSeq, before = null) {
    this.subject = subject;
    this.before = before;
    this.newest = null;
    this.next = newestSeq; // the number expected next
    if (before && newestSeq < before.seq) throw new Wrong(`expected at least ${before.seq} entries, got ${newestSeq}`);
    this.hash = null; // of its commitment, when the event above it names that
    this.erasure = false; // an erasure that says so lies above: gaps below are explained
    this.count = 0;
    this.erased = 0;
  }

  // `isProven(index, commitment)` tells whether that leaf was shown to be in the log.
  async add(entry, isProven) {
    const link = entry.links?.find((one) => equal(one.subject, this.subject));
    if (!link) throw new Wrong(`entry ${entry.index} is not of this chain`);
    if (link.subject_seq > this.next) throw new Wrong("entries out of order");
    this.skipTo(link.subject_seq);
    const hash = await sha256(entry.commitment);
    if (this.hash && !equal(this.hash, hash)) throw new Wrong(`entry ${entry.index} is not the one that the next names`);
    if (!this.hash && !isProven(entry.index, entry.commitment)) throw new NotYet("incomplete");
    if (this.before?.seq === link.subject_seq && this.before.hash !== hex(hash))
      throw new Wrong(`entry ${entry.index} is not the one that was there last time`);
    this.newest ??= { seq: link.subject_seq, hash: hex(hash) };
    this.count += 1;
    this.erasure ||= entry.kind === "record_erased";
    [this.next, this.hash] = [link.subject_seq - 1, link.previous.length ? link.previous : null];
    if (this.next > 0 !== Boolean(this.hash)) throw new Wrong(`entry ${entry.index} names the wrong one before it`);
  }

  // Throw Wrong when the beginning is missing.
  finish() {
    this.skipTo(0);
  }

  skipTo(seq) {
    if (seq === this.next) return;
    const missing = this.next - seq;
    if (!this.erasure) throw new Wrong(`${missing} entries are missing before number ${this.next + 1}`);
    [this.next, this.hash] = [seq, null];
    this.erased += missing;
  }
}
