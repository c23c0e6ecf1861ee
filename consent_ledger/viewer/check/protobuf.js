// Reads the protobuf bytes of events by a table of fields that the server derives from proto/ (check/program.py).
// Only the one encoding is read that the ledger writes, so that no second reader can see something else in the bytes.
import { NotYet, Wrong, fromUtf8 } from "./bytes.js";

const VARINT = 0;
const LENGTH_DELIMITED = 2;

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  get done() {
    return this.at === this.bytes.length;
  }

  varint() {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      if (this.done) throw new Wrong("expected a number, got the end of the bytes");
      const byte = this.bytes[this.at++];
      value |= BigInt(byte & 0x7f) << shift;
      if (byte & 0x80) continue;
      if ((byte === 0 && shift > 0n) || value >= 2n ** 64n) throw new Wrong("a number in another spelling");
      return value;
    }
    throw new Wrong("a number of more than 64 bits");
  }

  take() {
    const length = this.varint();
    if (length > BigInt(this.bytes.length - this.at)) throw new Wrong("expected more bytes");
    const start = this.at;
    this.at += Number(length);
    return this.bytes.subarray(start, this.at);
  }
}

function number(value) {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new Wrong("a number that no event has");
  return Number(value);
}

const SCALARS = {
  uint: (reader) => number(reader.varint()),
  bool: (reader) => number(reader.varint()) === 1,
  enum: (reader) => number(reader.varint()),
  string: (reader) => fromUtf8(reader.take()),
  bytes: (reader) => reader.take().slice(),
};

// Fill absent fields: "", 0, false, no bytes, empty lists; messages stay undefined.
function empty(fields) {
  const message = {};
  for (const field of Object.values(fields)) {
    if (field.repeated) message[field.name] = [];
    else if (field.type === "string") message[field.name] = "";
    else if (field.type === "bytes") message[field.name] = new Uint8Array();
    else if (field.type === "bool") message[field.name] = false;
    else if (field.type in SCALARS) message[field.name] = 0;
  }
  return message;
}

// Read a message of this type; throws Wrong for other bytes, NotYet for a field that this program does not know.
export function decode(bytes, type, messages) {
  const fields = messages[type];
  const reader = new Reader(bytes);
  const message = empty(fields);
  let before = 0;
  while (!reader.done) {
    const tag = number(reader.varint());
    const field = fields[tag >> 3];
    if (!field) throw new NotYet("newer");
    if (tag >> 3 < before || (tag >> 3 === before && (!field.repeated || field.packed)))
      throw new Wrong("fields of an event in another order");
    before = tag >> 3;
    readField(reader, tag & 7, field, message, messages);
  }
  return message;
}

function readField(reader, wire, field, message, messages) {
  const read = SCALARS[field.type] ?? ((from) => decode(from.take(), field.type, messages));
  const expected = field.packed || !["uint", "bool", "enum"].includes(field.type) ? LENGTH_DELIMITED : VARINT;
  if (wire !== expected) throw new Wrong("a field of an event in another form");
  if (field.packed) {
    const inner = new Reader(reader.take());
    while (!inner.done) message[field.name].push(read(inner));
  } else if (field.repeated) {
    message[field.name].push(read(reader));
  } else {
    message[field.name] = read(reader);
  }
}

// The name of the one member of `body` that is set, of those of the oneof.
export function bodyOf(message, type, messages) {
  const names = Object.values(messages[type]).filter((field) => field.oneof && message[field.name] !== undefined);
  if (names.length !== 1) throw names.length ? new Wrong("an event of two kinds") : new NotYet("newer");
  return names[0].name;
}
