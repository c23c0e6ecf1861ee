"""The sender's part: blind identifiers, seal signals into a batch, sign it (pseudonyms.md "Signals")."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent_ledger.errors import RegieError
from consent_ledger.hashing import header_hash as hash_header
from consent_ledger.hashing import sha256
from consent_ledger.severity import LARGEST
from gateway.crypto import envelope, group, hpke, oprf, signatures, tree
from gateway.crypto.group import ORDER, Rng

LABEL_T1 = b"regie/s/t1/v1"
LABEL_T2 = b"regie/s/t2/v1"
LABEL_L = b"regie/s/l/v1"
LABEL_R = b"regie/s/r/v1"

_HEDGE_DST = b"HashToScalar-" + oprf.CONTEXT_OPRF


def info_pseudonyms(header_hash: bytes) -> bytes:
    """Return the HPKE info of toT2."""
    return b"regie/t2/v1" + header_hash


def info_ledger(header_hash: bytes) -> bytes:
    """Return the HPKE info of toL."""
    return b"regie/l/v1" + header_hash


def info_recipient(header_hash: bytes) -> bytes:
    """Return the HPKE info of encR."""
    return b"regie/r/v1" + header_hash


def info_viewer(header_hash: bytes) -> bytes:
    """Return the HPKE info of encV."""
    return b"regie/v/v1" + header_hash


@dataclass(frozen=True, slots=True)
class SignalInput:
    """One signal to send: the identifier's message bytes, the sender's reference (16 bytes) and the payload.

    ``severity`` is its band, 1 to 4, as the payload says it; 0: it has none. Only the ledger learns it (R4).
    """

    identifier: bytes = field(repr=False)
    signal_ref: bytes
    payload: bytes = field(repr=False)
    severity: int = field(default=0, repr=False)


@dataclass(frozen=True, slots=True)
class SenderKeys:
    """What a sender seals and signs with: its own two secrets, and four public HPKE keys from the directory."""

    signing: Ed25519PrivateKey = field(repr=False)
    hedge: bytes = field(repr=False)
    pseudonyms: bytes
    ledger: bytes
    recipient: bytes
    viewer: bytes


@dataclass(frozen=True, slots=True)
class SealedBatch:
    """A batch as it is submitted; the fields are those of gateway.v1.SubmitBatchRequest."""

    header: bytes
    blinded: bytes = field(repr=False)
    sealed_pseudonyms: bytes = field(repr=False)
    sealed_ledger: bytes = field(repr=False)
    sealed_recipient: bytes = field(repr=False)
    sealed_viewer: bytes = field(repr=False)
    positions: bytes = field(repr=False)
    commitments: bytes = field(repr=False)
    ciphertexts: bytes = field(repr=False)
    ciphertext_size: int
    filler_seed: bytes = field(repr=False)
    signature_gateway: bytes = field(repr=False)
    signature_pseudonyms: bytes = field(repr=False)
    signature_ledger: bytes = field(repr=False)
    signature_recipient: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SealedCopy:
    """The resident's copy of one signal, with what binds it to the sender.

    What the gateway keeps of it: the fields are those of gateway.v1.GetCopyResponse.
    """

    header: bytes
    sealed_viewer: bytes = field(repr=False)
    sealed_recipient_hash: bytes
    signature_recipient: bytes = field(repr=False)
    root: bytes
    commitment: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)
    path: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sealing:
    """A sealed batch with what its sender keeps: ``order[j]`` is the input that went into the j-th place of each list.

    ``order`` never leaves the sender. The ledger's signed answer must name this header hash and root.
    """

    batch: SealedBatch
    header_hash: bytes
    root: bytes
    order: tuple[int, ...] = field(repr=False)


def gateway_message(header_hash: bytes, batch: SealedBatch) -> tuple[bytes, ...]:
    """Return the parts under sig_T1: hh, H(X list), H(the three signatures), H(all leaf data), H(filler seed).

    Leaf data is positions || commitments || ciphertexts; the header's count fixes where each ends.
    """
    return (
        header_hash,
        sha256(batch.blinded),
        sha256(batch.signature_pseudonyms, batch.signature_ledger, batch.signature_recipient),
        sha256(batch.positions, batch.commitments, batch.ciphertexts),
        sha256(batch.filler_seed),
    )


@dataclass(frozen=True, slots=True)
class _Blinding:
    blinded: list[bytes]
    tau_ledger: list[int]
    tau_recipient: list[int]
    u_ledger: list[int]
    u_recipient: list[int]


def _blind(
    positions: Sequence[int],
    identifiers: Sequence[bytes],
    *,
    seed: bytes,
    rng: Rng,
    workers: Executor | None,
) -> _Blinding:
    """Make X, tau and u. Hedged with ``seed`` (hedge key || batch id): a broken rng alone does not repeat a or u."""
    fresh = rng(32 * len(identifiers))
    scalars = []
    for at, (position, identifier) in enumerate(zip(positions, identifiers, strict=True)):
        hedged = fresh[32 * at : 32 * at + 32] + seed + position.to_bytes(2, "big") + identifier
        scalars.append(group.uniform_scalars(hedged, _HEDGE_DST, 3))
    inverses = group.batch_invert([a * u_l * u_r % ORDER for a, u_l, u_r in scalars])
    elements = group.hash_many(identifiers, oprf.HASH_TO_GROUP_DST, workers)
    return _Blinding(
        blinded=group.multiply_many([a for a, _, _ in scalars], elements, workers),
        tau_ledger=[inverse * u_r % ORDER for inverse, (_, _, u_r) in zip(inverses, scalars, strict=True)],
        tau_recipient=[inverse * u_l % ORDER for inverse, (_, u_l, _) in zip(inverses, scalars, strict=True)],
        u_ledger=[u_l for _, u_l, _ in scalars],
        u_recipient=[u_r for _, _, u_r in scalars],
    )


def _secrets(seed: bytes, rng: Rng) -> tuple[bytes, bytes, bytes]:
    """Return w, k and the filler seed, hedged like the scalars."""
    hedged = rng(32) + seed
    w, k, filler = (sha256(b"regie/hedge/v1", label, hedged) for label in (b"w", b"k", b"f"))
    return w, k, filler


def _slots(count: int, rng: Rng) -> list[int]:
    """Return a random distinct position for each input."""
    slots = tree.slot_count(count)
    keys = rng(16 * slots)
    return sorted(range(slots), key=lambda slot: keys[16 * slot : 16 * slot + 16])[:count]


def _check(signals: Sequence[SignalInput], batch_id: bytes, keys: SenderKeys) -> None:
    tree.slot_count(len(signals))
    if len(batch_id) != 16 or any(len(signal.signal_ref) != envelope.REF_BYTES for signal in signals):
        raise RegieError("FIELD_INVALID", "expected a batch id and references of 16 bytes", "signal_ref")
    if len(keys.hedge) != 32:
        raise ValueError("a hedge key is 32 bytes")


@dataclass(frozen=True, slots=True)
class _Items:
    commitments: list[bytes]
    ciphertexts: list[bytes]
    size: int
    root: bytes


def _seal_items(
    header_hash: bytes,
    secrets: tuple[bytes, bytes, bytes],
    positions: Sequence[int],
    signals: Sequence[SignalInput],
    u_recipient: Sequence[int],
) -> _Items:
    w, k, filler_seed = secrets
    size = envelope.padded_size([signal.payload for signal in signals])
    openings = envelope.Openings(w, header_hash)
    items = _Items([], [], size, b"")
    leaves = {}
    for position, signal, u_r in zip(positions, signals, group.encode_scalars(u_recipient), strict=True):
        slot = position.to_bytes(2, "big")
        key, commitment = envelope.content_key(k, openings(position), header_hash, slot)
        plaintext = envelope.padded(u_r, signal.signal_ref, signal.payload, size)
        ciphertext = envelope.seal(key, header_hash, slot, plaintext)
        items.commitments.append(commitment)
        items.ciphertexts.append(ciphertext)
        leaves[position] = tree.leaf(position, commitment, ciphertext)
    return replace(items, root=tree.BatchTree(header_hash, filler_seed, leaves).root)


def decode_severities(data: bytes, count: int) -> tuple[int, ...]:
    """Read one byte a signal; raises RegieError SEALED_PART_INVALID for another count or a band that is none."""
    if len(data) != count or any(band > LARGEST for band in data):
        raise RegieError("SEALED_PART_INVALID", f"expected {count} severities of at most {LARGEST}", "sealed_ledger")
    return tuple(data)


def _sign(batch: SealedBatch, header_hash: bytes, root: bytes, key: Ed25519PrivateKey) -> SealedBatch:
    """Sign for each party what it sees, and for the gateway all of it."""
    inner = replace(
        batch,
        signature_pseudonyms=signatures.sign(key, LABEL_T2, header_hash, sha256(batch.sealed_pseudonyms)),
        signature_ledger=signatures.sign(key, LABEL_L, header_hash, sha256(batch.sealed_ledger), root),
        signature_recipient=signatures.sign(
            key, LABEL_R, header_hash, sha256(batch.sealed_recipient), sha256(batch.sealed_viewer), root
        ),
    )
    return replace(inner, signature_gateway=signatures.sign(key, LABEL_T1, *gateway_message(header_hash, inner)))


def seal_batch(
    header: bytes,
    batch_id: bytes,
    signals: Sequence[SignalInput],
    keys: SenderKeys,
    *,
    rng: Rng,
    workers: Executor | None = None,
) -> Sealing:
    """Seal 1..1000 signals under a header (BatchHeader bytes with this batch id and count).

    Raises RegieError FIELD_INVALID for too many signals or too long a payload, KEY_UNKNOWN for a key that is none.
    A second sealing needs a new batch id: a retry re-sends the bytes of the first.
    """
    _check(signals, batch_id, keys)
    header_hash = hash_header(header)
    slots = _slots(len(signals), rng)
    order = tuple(sorted(range(len(signals)), key=slots.__getitem__))
    positions = [slots[number] for number in order]
    signals = [signals[number] for number in order]
    seed = keys.hedge + batch_id
    blinding = _blind(positions, [signal.identifier for signal in signals], seed=seed, rng=rng, workers=workers)
    secrets = w, k, filler_seed = _secrets(seed, rng)
    items = _seal_items(header_hash, secrets, positions, signals, blinding.u_recipient)
    encoded_positions = tree.encode_positions(positions)
    taus = b"".join(group.encode_scalars(blinding.tau_ledger + blinding.tau_recipient))
    severities = bytes(signal.severity for signal in signals)
    openings = w + encoded_positions + b"".join(group.encode_scalars(blinding.u_ledger)) + severities
    unsigned = SealedBatch(
        header=header,
        blinded=b"".join(blinding.blinded),
        sealed_pseudonyms=hpke.seal(keys.pseudonyms, info_pseudonyms(header_hash), taus),
        sealed_ledger=hpke.seal(keys.ledger, info_ledger(header_hash), openings),
        sealed_recipient=hpke.seal(keys.recipient, info_recipient(header_hash), k),
        sealed_viewer=hpke.seal(keys.viewer, info_viewer(header_hash), k),
        positions=encoded_positions,
        commitments=b"".join(items.commitments),
        ciphertexts=b"".join(items.ciphertexts),
        ciphertext_size=items.size + envelope.TAG_BYTES,
        filler_seed=filler_seed,
        signature_gateway=b"",
        signature_pseudonyms=b"",
        signature_ledger=b"",
        signature_recipient=b"",
    )
    return Sealing(_sign(unsigned, header_hash, items.root, keys.signing), header_hash, items.root, order)
