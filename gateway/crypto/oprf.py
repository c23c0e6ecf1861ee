"""Domains, secret factors, and batched proofs that a factor was used (RFC 9497).

A pseudonym is P_d = c * s1_d * s2_d * H(id): each factor is held by another party, and each domain has its own.
"""

import hashlib
import hmac
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Literal

from consent_ledger.errors import RegieError
from consent_ledger.hashing import length_prefixed
from gateway.crypto import group
from gateway.crypto.group import Rng

Role = Literal["recipient", "ledger"]

CONTEXT_OPRF = b"OPRFV1-\x00-ristretto255-SHA512"
CONTEXT_VOPRF = b"OPRFV1-\x01-ristretto255-SHA512"
HASH_TO_GROUP_DST = b"HashToGroup-" + CONTEXT_OPRF
"""H of the protocol always hashes with the DST of mode 0, also where a proof of mode 1 follows."""

PROOF_BYTES = 64
_LP_ELEMENT = group.ELEMENT_BYTES.to_bytes(2, "big")  # the length in front of an encoded element


@dataclass(frozen=True, slots=True)
class Domain:
    """Where a pseudonym lives: the role is fixed by the message type, so one OIN in both roles shares no domain."""

    role: Role
    target: str
    purpose: str
    epoch: int

    def encode(self) -> bytes:
        """Return LP(role) || LP(target OIN) || LP(purpose) || LP(epoch as u32 big-endian)."""
        return length_prefixed(
            self.role.encode("ascii"),
            self.target.encode("ascii"),
            self.purpose.encode("ascii"),
            self.epoch.to_bytes(4, "big"),
        )


def derive_factor(master: bytes, domain: Domain) -> int:
    """Return s_i,d = reduce(HMAC-SHA512(K_i, "regie/factor/v1" || d)), little-endian like every scalar."""
    if len(master) != 32:
        raise ValueError("a master secret is 32 bytes")
    factor = group.reduce(hmac.digest(master, b"regie/factor/v1" + domain.encode(), "sha512"))
    if not factor:
        raise ValueError("this domain has a zero factor")  # probability 2^-252
    return factor


def stored_indices(domain: Domain, pseudonyms: Sequence[bytes]) -> list[bytes]:
    """Return SHA-256("regie/pid/v1" || d || enc(P)) for each pseudonym: what a row owner stores instead of P."""
    prefix = hashlib.sha256(b"regie/pid/v1" + domain.encode())
    indices = []
    for pseudonym in pseudonyms:
        state = prefix.copy()
        state.update(pseudonym)
        indices.append(state.digest())
    return indices


def stored_index(domain: Domain, pseudonym: bytes) -> bytes:
    """Return the stored index of one pseudonym, 32 bytes."""
    return stored_indices(domain, [pseudonym])[0]


def hash_identifier(message: bytes) -> bytes:
    """Return M = H(id), the element of an identifier message (see :mod:`gateway.crypto.identifiers`)."""
    return group.hash_to_group(message, HASH_TO_GROUP_DST)


def _lp16(*fields: bytes) -> bytes:
    return b"".join(len(field).to_bytes(2, "big") + field for field in fields)


def _weights(public: bytes, inputs: Sequence[bytes], outputs: Sequence[bytes]) -> list[int]:
    """Return the coefficients d_i of the composites (RFC 9497 2.2.1)."""
    seed = hashlib.sha512(_lp16(public, b"Seed-" + CONTEXT_VOPRF)).digest()
    hash_to_scalar = group.scalar_hasher(_lp16(seed), b"HashToScalar-" + CONTEXT_VOPRF)
    return [
        hash_to_scalar(at.to_bytes(2, "big") + _LP_ELEMENT + left + _LP_ELEMENT + right + b"Composite")
        for at, (left, right) in enumerate(zip(inputs, outputs, strict=True))
    ]


def _sum(points: Sequence[bytes]) -> bytes:
    total = points[0]
    for point in points[1:]:
        total = group.add(total, point)
    return total


def _challenge(*elements: bytes) -> int:
    return group.hash_to_scalar(_lp16(*elements) + b"Challenge", b"HashToScalar-" + CONTEXT_VOPRF)


def prove(
    factor: int,
    public: bytes,
    inputs: Sequence[bytes],
    outputs: Sequence[bytes],
    *,
    rng: Rng,
    workers: Executor | None = None,
) -> bytes:
    """Prove that outputs[i] = factor*inputs[i] for all i and public = factor*G: c || s, 64 bytes (RFC 9497 2.2.1)."""
    composite = _sum(group.multiply_many(_weights(public, inputs, outputs), inputs, workers))
    evaluated = group.multiply(factor, composite)
    nonce = group.random_scalar(rng)
    challenge = _challenge(public, composite, evaluated, group.multiply_base(nonce), group.multiply(nonce, composite))
    response = (nonce - challenge * factor) % group.ORDER
    return group.encode_scalar(challenge) + group.encode_scalar(response)


def verify(
    public: bytes, inputs: Sequence[bytes], outputs: Sequence[bytes], proof: bytes, workers: Executor | None = None
) -> None:
    """Check a proof of :func:`prove` over decoded elements; raises RegieError PROOF_INVALID (RFC 9497 2.2.2)."""
    if len(proof) != PROOF_BYTES or not inputs or len(inputs) != len(outputs):
        raise RegieError("PROOF_INVALID", "expected a proof of 64 bytes over two lists of one length", "proof")
    try:
        challenge, response = group.decode_scalars(proof, 2)
        weights = _weights(public, inputs, outputs)
        composite = _sum(group.multiply_many(weights, inputs, workers))
        evaluated = _sum(group.multiply_many(weights, outputs, workers))
        base_part = group.add(group.multiply_base(response), group.multiply(challenge, public))
        composite_part = group.add(group.multiply(response, composite), group.multiply(challenge, evaluated))
    except RegieError:
        raise RegieError("PROOF_INVALID", "expected a proof that decodes", "proof") from None
    if challenge != _challenge(public, composite, evaluated, base_part, composite_part):
        raise RegieError("PROOF_INVALID", "expected a proof for this public value, got another", "proof")
