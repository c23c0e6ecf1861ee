// What an entry says, in the words that a page uses. Everything comes from proven bytes: names of organisations and
// texts of purposes from public entries, whatever the reason speaks of from the events that decided.
import { NotYet, Wrong, equal, hex, sha256, utf8 } from "./bytes.js";

const DAY_MS = 86_400_000;
const USUAL_DAYS = 14;
const MONTHS = {
  nl: "januari februari maart april mei juni juli augustus september oktober november december".split(" "),
  en: "January February March April May June July August September October November December".split(" "),
};

// 01:00 UTC on the last Sunday of March (2) or October (9): both have 31 days.
function lastSunday(year, month) {
  const last = new Date(Date.UTC(year, month, 31, 1));
  return last - last.getUTCDay() * DAY_MS;
}

// The day in the Netherlands, by the rule of summer time (Directive 2000/84/EC): browsers differ in what they know.
export function day(timeMs, language) {
  const year = new Date(timeMs).getUTCFullYear();
  const summer = lastSunday(year, 2) <= timeMs && timeMs < lastSunday(year, 9);
  const local = new Date(timeMs + (summer ? 2 : 1) * 3_600_000);
  return `${local.getUTCDate()} ${MONTHS[language][local.getUTCMonth()]} ${local.getUTCFullYear()}`;
}

export function grouped(index, language) {
  return String(index).replace(/\B(?=(\d{3})+$)/g, language === "nl" ? "." : ",");
}

// Names and purposes as the public entries of the log say them; the newest of each.
export class Directory {
  constructor(publicEntries = []) {
    this.names = new Map();
    this.purposes = new Map();
    for (const { kind, event } of [...publicEntries].sort((a, b) => (a.index < b.index ? -1 : 1))) {
      if (kind === "participant_registered") this.names.set(event[kind].oin, event[kind].name);
      if (kind === "purpose_published") this.addPurpose(event[kind].purpose);
    }
  }

  addPurpose(purpose) {
    this.purposes.set(`${purpose.id}@${purpose.version}`, purpose);
    this.purposes.set(purpose.id, purpose);
  }

  // The registered name; who is not among the public entries given is called by number.
  name(oin) {
    return this.names.get(oin) ?? oin;
  }

  // Choices name no version: then the newest.
  purpose(id, version) {
    return (version && this.purposes.get(`${id}@${version}`)) || this.purposes.get(id);
  }
}

// An entry among those it belongs with: `all` are proven entries of the same bundle, by index (a Map, keys as text).
export class Story {
  constructor(entries, directory) {
    this.all = new Map(entries.map((entry) => [String(entry.index), entry]));
    this.directory = directory;
  }

  // Return {fact: text or list of texts} in a language.
  facts(entry, language, words) {
    const { body, event } = entry;
    const said = { number: grouped(entry.index, language), day: day(event.time_ms, language) };
    said.kind = word(words, `kind.${entry.kind}`);
    const scope = body.scope ?? (body.purpose !== undefined ? body : null);
    if (scope) this.addScope(said, scope, body.items ?? [], language);
    if (body.recipient && !scope) said.recipient = this.directory.name(body.recipient);
    if (body.mode) said.mode = word(words, `mode.${body.mode}`);
    if (body.valid_from_ms) said.from = day(body.valid_from_ms, language);
    if (body.valid_until_ms || body.until_ms) said.until = day(body.valid_until_ms || body.until_ms, language);
    if (body.capture) said.via = word(words, `via.${body.capture.via}`);
    if (entry.kind === "exchange_decided" && entry.links) said.sentence = this.outcome(entry, language, words);
    if (entry.kind === "outcome_reported") this.addOutcome(said, body, language, words);
    return said;
  }

  addScope(said, scope, items, language) {
    said.sender = this.directory.name(scope.sender);
    said.recipient = this.directory.name(scope.recipient);
    const purpose = this.directory.purpose(scope.purpose, scope.purpose_version);
    said.purpose = purpose ? purpose.title[language] : scope.purpose;
    const labels = new Map((purpose?.items ?? []).map((item) => [item.name, item.label[language]]));
    said.item = items.map((name) => labels.get(name) ?? name);
    for (const name of ["legal_ground", "not_shared", "next_step"])
      if (purpose?.[name]?.[language]) said[name] = purpose[name][language];
  }

  addOutcome(said, body, language, words) {
    said.offer = body.offer;
    if (body.channel) said.channel = word(words, `channel.${body.channel}`);
    if (body.when_ms) said.when = day(body.when_ms, language);
  }

  // What became of an exchange, as consent_ledger/texts.py says it.
  outcome(entry, language, words) {
    const after = [...this.all.values()].filter((one) => BigInt(one.body.decided_index ?? -1) === entry.index);
    const withheld = after.find((one) => one.kind === "exchange_withheld");
    if (withheld?.links) {
      const [, why] = this.sentence(withheld, entry.body, language, words);
      return fill(word(words, "withheld"), { why: why.replace(word(words, "blocked"), "") });
    }
    const [date, sentence] = this.sentence(entry, entry.body, language, words);
    if (!entry.body.permitted || after.some((one) => one.kind === "exchange_released")) return sentence;
    return fill(word(words, "waiting"), { date });
  }

  sentence(entry, scope, language, words) {
    const deciding = entry.decidedBy.map((index) => this.all.get(String(index)));
    if (deciding.includes(undefined)) throw new NotYet("incomplete");
    const purpose = this.directory.purpose(scope.purpose, scope.purpose_version);
    const at = reasonDate(entry.reason, entry.event.time_ms, deciding, purpose, words);
    const date = at ? day(at, language) : "";
    // A question that nobody answered: the signal that put it decided, and no answer did.
    const silent = entry.reason === words.reasons.REFUSED && deciding.some((one) => one.kind === "exchange_decided");
    const key = `reason.${entry.reason}${silent ? ".silent" : at === 0 ? ".open" : ""}`;
    return [date, fill(words[key] ?? word(words, `reason.${entry.reason}`), { date, asker: this.directory.name(scope.sender) })];
  }
}

function word(words, key) {
  if (!(key in words)) throw new NotYet("newer");
  return words[key];
}

export function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

// The date that a reason speaks of; 0 for none (consent_ledger/service/reasondate.py).
function reasonDate(reason, timeMs, deciding, purpose, words) {
  const events = Object.fromEntries(deciding.map((entry) => [entry.kind, entry]));
  const is = (name) => reason === words.reasons[name];
  const opened = events.exchange_decided?.event.time_ms;
  const granted = events.consent_granted;
  if (is("SELF_FIRST_WINDOW")) return (opened ?? timeMs) + (purpose?.self_first_days ?? USUAL_DAYS) * DAY_MS;
  if (is("AWAITING_RESIDENT") || (is("REFUSED") && opened))
    return (opened ?? timeMs) + (purpose?.ask_days ?? USUAL_DAYS) * DAY_MS;
  if (is("PAUSED")) return events.sharing_paused?.body.until_ms ?? 0;
  if (is("EXPIRED") && granted) return granted.body.valid_until_ms;
  if (is("NOT_YET_VALID") && granted) return granted.body.valid_from_ms;
  if (is("REFUSED")) return (events.consent_refused ?? events.ask_answered)?.event.time_ms ?? timeMs;
  if (is("WITHDRAWN")) return events.consent_withdrawn?.event.time_ms ?? timeMs;
  return granted?.event.time_ms ?? timeMs;
}

const collapsed = (text) => text.replace(/\s+/g, " ").trim();

// Compare what a page shows, `[{index, fact, text}]` in reading order, with the facts; throws Wrong on any difference.
export async function compareWords(shown, story, language, words) {
  const seen = new Map();
  for (const { index, fact, text } of shown) {
    const key = `${index} ${fact}`;
    seen.set(key, [...(seen.get(key) ?? []), text]);
  }
  for (const [key, texts] of seen) {
    const [index, fact] = key.split(" ");
    const entry = story.all.get(index);
    if (!entry) throw new Wrong(`the page shows entry ${index}, of which there is no proof`);
    await compareFact(entry, fact, texts, story.facts(entry, language, words), index);
  }
  return seen.size;
}

async function compareFact(entry, fact, texts, facts, index) {
  if (fact === "wording") {
    // The text as it was stored when it was shown: its white space counts.
    const hashes = await Promise.all(texts.map((text) => sha256(utf8(text))));
    if (hashes.every((hash) => equal(hash, entry.body.capture?.text_hash ?? []))) return;
    throw new Wrong(`entry ${index}, wording: expected a text with SHA-256 ${hex(entry.body.capture?.text_hash ?? [])}`);
  }
  const [said, found] = [facts[fact], texts.map(collapsed)];
  if (said === undefined) throw new Wrong(`entry ${index} says nothing of ${fact}`);
  // A single fact may stand on a page more than once; a list stands there once, whole.
  const same = Array.isArray(said)
    ? said.length === found.length && said.every((one, at) => collapsed(one) === found[at])
    : found.every((text) => text === collapsed(said));
  if (!same) throw new Wrong(`entry ${index}, ${fact}: expected "${[said].flat().join(", ")}", got "${found.join(", ")}"`);
}
