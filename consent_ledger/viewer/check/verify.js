// From a bundle to one of three answers: "ok" (Klopt), "later" (Nog niet te controleren), "wrong" (Klopt niet).
import { NotYet, Wrong, equal, fromBase64, fromDecimal } from "./bytes.js";
import { Directory, Story, compareWords } from "./facts.js";
import { openCheckpoint, parseTrust } from "./note.js";
import { openCommitted, openEntry, openPublic, parseProof } from "./record.js";
import { verifyConsistency, verifyInclusion } from "./tree.js";

const FORMAT = "regie/bewijs@v1";
const WORST = ["ok", "later", "wrong"];

// Read the bundle that a page carries, or that was downloaded: strings become bytes and numbers.
export function parseBundle(text) {
  try {
    const read = JSON.parse(text);
    if (read.format !== FORMAT) throw new Wrong(`expected ${FORMAT}`);
    const chains = (read.chains ?? []).map(chainOf);
    return { notes: read.checkpoints.map(String), entries: read.entries.map(entryOf), public: read.public.map(publicOf), chains };
  } catch (error) {
    throw error instanceof Wrong ? error : new Wrong("expected entries with their proofs");
  }
}

function committedOf({ index, salt, event, private: hidden }) {
  const bytes = { salt: fromBase64(salt), event: fromBase64(event), private: hidden ? fromBase64(hidden) : null };
  return { index: fromDecimal(index, "index"), ...bytes };
}

const entryOf = (read) => ({ ...committedOf(read), path: read.path.map(fromBase64), note: read.checkpoint });

function publicOf({ index, path, entry, checkpoint }) {
  return { index: fromDecimal(index, "index"), path: path.map(fromBase64), entry: fromBase64(entry), note: checkpoint };
}

function chainOf({ subject, newest, links }) {
  return { subject: fromBase64(subject), newest: Number(newest), links: links.map(committedOf) };
}

// Read whatever file somebody gives: a `.tlog-proof` or a bundle.
export function parseAny(text) {
  if (text.trimStart().startsWith("{")) return parseBundle(text);
  const { note, ...entry } = parseProof(text);
  return { notes: [note], entries: [{ ...entry, private: null, note: 0 }], public: [], chains: [] };
}

// One after another; what rests on a step that failed is not said at all.
export class Steps {
  constructor() {
    this.steps = [];
  }

  get verdict() {
    return WORST[Math.max(0, ...this.steps.map((step) => WORST.indexOf(step.state)))];
  }

  // Do a step; what it returns are the values of the text that says so. Returns false when it failed.
  async take(name, work) {
    try {
      this.steps.push({ name, state: "ok", values: (await work()) ?? {} });
      return true;
    } catch (error) {
      if (error instanceof NotYet) this.steps.push({ name, state: "later", why: error.message });
      else this.steps.push({ name, state: "wrong", detail: error instanceof Wrong ? error.message : "unexpected" });
      return false;
    }
  }
}

// Check the proofs of a bundle. `program` is {trust, messages, words}; `shown` what the page says, see compareWords.
export async function check(text, program, { language = "nl", shown = null } = {}) {
  const steps = new Steps();
  const done = { steps, entries: [], story: null, heads: [], chains: [] };
  let bundle;
  const go =
    (await steps.take("file", () => {
      bundle = parseAny(text);
    })) &&
    (await steps.take("signature", () => openHeads(bundle, program, done))) &&
    (await steps.take("place", () => openAll(bundle, program, done)));
  if (go) {
    await steps.take("witnesses", () => requireQuorum(done.heads, program.trust.quorum));
    if (shown) await steps.take("words", async () => ({ n: await compareWords(shown, done.story, language, program.words[language]) }));
  }
  return done;
}

async function openHeads(bundle, program, done) {
  const trust = await parseTrust(program.trust);
  for (const note of bundle.notes) done.heads.push(await openCheckpoint(note, trust));
  if (!done.heads.length) throw new Wrong("expected a checkpoint");
  return { origin: done.heads[0].origin, size: done.heads[0].size };
}

async function openAll(bundle, { messages }, done) {
  const headOf = ({ note }) => {
    if (!done.heads[note]) throw new Wrong("expected a checkpoint for every proof");
    return done.heads[note];
  };
  const directory = [];
  for (const one of bundle.public) directory.push(await openPublic(one, headOf(one), messages));
  for (const one of bundle.entries) done.entries.push(await openEntry(one, headOf(one), messages));
  for (const { links, ...chain } of bundle.chains) {
    const opened = [];
    for (const link of links) opened.push(await openCommitted(link, messages));
    done.chains.push({ ...chain, links: opened });
  }
  done.story = new Story(done.entries, new Directory(directory));
  return { n: done.entries.length };
}

// Check the code of a paper proof: a leaf's hash against what stands at its place in the log, {checkpoint, path}.
export async function checkLeaf(index, leaf, answer, program) {
  const steps = new Steps();
  let head;
  const go = await steps.take("signature", async () => {
    head = await openCheckpoint(answer.checkpoint, await parseTrust(program.trust));
    return { origin: head.origin, size: head.size };
  });
  if (go && (await steps.take("place", async () => {
    await verifyInclusion(index, head.size, leaf, head.root, answer.path.map(fromBase64));
    return { n: 1 };
  }))) await steps.take("witnesses", () => requireQuorum([head], program.trust.quorum));
  return steps;
}

// Whether that leaf was shown to be in the log by this bundle.
export function proves(done) {
  return (index, commitment) => done.entries.some((one) => one.index === index && equal(one.commitment, commitment));
}

function requireQuorum(heads, { needed }) {
  const fewest = heads.reduce((worst, head) => (head.witnesses.length < worst.witnesses.length ? head : worst));
  if (fewest.witnesses.length < needed) throw new NotYet("no-quorum");
  return { n: fewest.witnesses.length, needed };
}

// Check that the log still begins with what it was before. `consistency(old, new)` returns the proof's hashes.
export async function compareHeads(before, now, consistency) {
  const older = { origin: before.origin, size: fromDecimal(before.size, "size"), root: fromBase64(before.root) };
  if (older.origin !== now.origin) throw new NotYet("other-log");
  if (older.size > now.size) throw new NotYet("older-copy");
  const path = older.size === now.size ? [] : (await consistency(older.size, now.size)).map(fromBase64);
  await verifyConsistency(older, now, path);
  return { n: older.size };
}
