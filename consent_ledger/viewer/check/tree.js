// The Merkle tree of RFC 6962, and its proofs (RFC 9162 sections 2.1.3.2 and 2.1.4.2). Numbers are BigInt.
import { Wrong, equal, hex, sha256 } from "./bytes.js";

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

export const leafHash = (entry) => sha256(LEAF, entry);
export const nodeHash = (left, right) => sha256(NODE, left, right);

function requireHashes(hashes) {
  for (const hash of hashes) if (hash.length !== 32) throw new Wrong(`expected hashes of 32 bytes, got ${hash.length}`);
}

function requireRoot(expected, found, size) {
  if (!equal(expected, found)) throw new Wrong(`root of size ${size}: expected ${hex(expected)}, got ${hex(found)}`);
}

// Rise along the right edge, where nodes have no sibling, to the next node that is a right child.
function toRightChild(here, last) {
  while (here && !(here & 1n)) [here, last] = [here >> 1n, last >> 1n];
  return [here, last];
}

export async function verifyInclusion(index, size, leaf, root, path) {
  if (index < 0n || index >= size) throw new Wrong(`expected an index below ${size}, got ${index}`);
  requireHashes([leaf, root, ...path]);
  let [here, last, found] = [index, size - 1n, leaf];
  for (const sibling of path) {
    if (last === 0n) throw new Wrong(`path too long for index ${index} of ${size}`);
    if (here & 1n || here === last) {
      found = await nodeHash(sibling, found);
      [here, last] = toRightChild(here, last);
    } else {
      found = await nodeHash(found, sibling);
    }
    [here, last] = [here >> 1n, last >> 1n];
  }
  if (last !== 0n) throw new Wrong(`path too short for index ${index} of ${size}`);
  requireRoot(root, found, size);
}

export async function verifyConsistency(older, newer, path) {
  requireHashes([older.root, newer.root, ...path]);
  if (older.size > newer.size) throw new Wrong(`expected at least ${older.size} entries, got ${newer.size}`);
  if (older.size === newer.size || older.size === 0n) {
    if (path.length) throw new Wrong("expected an empty path");
    requireRoot(older.root, older.size ? newer.root : await sha256(), older.size);
    return;
  }
  if (!path.length) throw new Wrong("path too short: no hashes");
  const power = (older.size & (older.size - 1n)) === 0n;
  await checkBothRoots(older, newer, power ? [older.root, ...path] : path);
}

// Walk up once and derive both roots from the same hashes.
async function checkBothRoots(older, newer, [first, ...path]) {
  let [here, last] = [older.size - 1n, newer.size - 1n];
  while (here & 1n) [here, last] = [here >> 1n, last >> 1n];
  let [oldFound, newFound] = [first, first];
  for (const sibling of path) {
    if (last === 0n) throw new Wrong("path too long");
    if (here & 1n || here === last) {
      [oldFound, newFound] = [await nodeHash(sibling, oldFound), await nodeHash(sibling, newFound)];
      [here, last] = toRightChild(here, last);
    } else {
      newFound = await nodeHash(newFound, sibling);
    }
    [here, last] = [here >> 1n, last >> 1n];
  }
  if (last !== 0n) throw new Wrong("path too short");
  requireRoot(older.root, oldFound, older.size);
  requireRoot(newer.root, newFound, newer.size);
}
