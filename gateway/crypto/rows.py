"""Rows: a consent desk or a recipient gets s1*s2*M for its own domain, without showing M (RFC 9497 VOPRF, twice).

The caller blinds and signs; T1 evaluates with a proof; T2 checks the caller's signature and T1's proof, and evaluates
with its own; the caller verifies both and unblinds. Signatures over requests and domain keys hold each of them to what
they said.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent_ledger.errors import RegieError
from consent_ledger.hashing import sha256
from gateway.crypto import group, oprf, signatures
from gateway.crypto.group import Rng

LABEL_ROWS = b"regie/s/rows/v1"
LABEL_DOMAIN = b"regie/s/domain/v1"


@dataclass(frozen=True, slots=True)
class DomainKey:
    """S = s*G of one evaluator in one domain, signed by it; the fields are those of gateway.v1.DomainKey."""

    domain: bytes
    public_key: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Evaluated elements with the proof that the factor behind ``key`` was used on all of them."""

    elements: bytes = field(repr=False)
    proof: bytes
    key: DomainKey


@dataclass(frozen=True, slots=True)
class BlindedRows:
    """Blinded elements to send, and the inverse blinding scalars, which stay here."""

    elements: bytes = field(repr=False)
    inverses: tuple[int, ...] = field(repr=False)


def blind(messages: Sequence[bytes], rng: Rng, workers: Executor | None = None) -> BlindedRows:
    """Blind identifier messages: B = b*H(id) (RFC 9497 3.3.2); at least one."""
    scalars = [group.random_scalar(rng) for _ in messages]
    elements = group.hash_many(messages, oprf.HASH_TO_GROUP_DST, workers)
    blinded = group.multiply_many(scalars, elements, workers)
    return BlindedRows(b"".join(blinded), tuple(group.batch_invert(scalars)))


def sign_request(key: Ed25519PrivateKey, request: bytes, blinded: bytes) -> bytes:
    """Sign a RowRequest (its bytes) together with the elements it is about."""
    return signatures.sign(key, LABEL_ROWS, sha256(request), sha256(blinded))


def verify_request(public: bytes, request: bytes, blinded: bytes, signature: bytes) -> None:
    """Check the caller's signature; raises RegieError SIGNATURE_INVALID."""
    signatures.verify(public, LABEL_ROWS, signature, sha256(request), sha256(blinded))


def domain_key(key: Ed25519PrivateKey, domain: oprf.Domain, factor: int) -> DomainKey:
    """Sign the public value of a factor, so that its evaluator can be held to it."""
    encoded, public = domain.encode(), group.multiply_base(factor)
    return DomainKey(encoded, public, signatures.sign(key, LABEL_DOMAIN, sha256(encoded), public))


def verify_domain_key(signer: bytes, domain: oprf.Domain, key: DomainKey, pinned: bytes | None = None) -> None:
    """Check that ``signer`` (an evaluator's Ed25519 key) vouches for this public value in this domain.

    ``pinned`` is the value seen before, if any. Raises RegieError PROOF_INVALID when the value changed or is of another
    domain, SIGNATURE_INVALID when the signature does not hold.
    """
    if key.domain != domain.encode():
        raise RegieError(
            "PROOF_INVALID", "expected a public value of the domain asked for, got another domain's", "key"
        )
    signatures.verify(signer, LABEL_DOMAIN, key.signature, sha256(key.domain), key.public_key)
    if pinned is not None and key.public_key != pinned:
        raise RegieError("PROOF_INVALID", "expected the public value seen before, got another", "key")


def evaluate(factor: int, key: DomainKey, blinded: bytes, rng: Rng, workers: Executor | None = None) -> Evaluation:
    """Multiply every element with a factor and prove it against ``key``; raises RegieError ELEMENT_INVALID."""
    return evaluate_decoded(factor, key, group.decode(blinded, field="blinded", workers=workers), rng, workers)


def evaluate_decoded(
    factor: int, key: DomainKey, inputs: Sequence[bytes], rng: Rng, workers: Executor | None = None
) -> Evaluation:
    """As :func:`evaluate`, for elements that :func:`verify_evaluation` returned: they are not validated twice."""
    outputs = group.multiply_many(factor, inputs, workers)
    proof = oprf.prove(factor, key.public_key, inputs, outputs, rng=rng, workers=workers)
    return Evaluation(b"".join(outputs), proof, key)


def verify_evaluation(blinded: bytes, evaluation: Evaluation, workers: Executor | None = None) -> list[bytes]:
    """Check the proof of an evaluation whose key was checked by :func:`verify_domain_key`; return its elements.

    Raises RegieError ELEMENT_INVALID or PROOF_INVALID.
    """
    return _verified(group.decode(blinded, field="blinded", workers=workers), evaluation, workers)


def _verified(inputs: Sequence[bytes], evaluation: Evaluation, workers: Executor | None) -> list[bytes]:
    outputs = group.decode(evaluation.elements, len(inputs), field="elements", workers=workers)
    oprf.verify(evaluation.key.public_key, inputs, outputs, evaluation.proof, workers)
    return outputs


def unblind(
    rows: BlindedRows,
    first: Evaluation,
    second: Evaluation,
    workers: Executor | None = None,
    *,
    closing_scalar: int = 1,
) -> list[bytes]:
    """Verify T1's and T2's proofs and return s1*s2*M for each row, in order.

    With the ``closing_scalar`` of a row owner: its pseudonyms P = c*s1*s2*M, with the multiplication that takes the
    blinding off. The keys of both evaluations were checked by :func:`verify_domain_key`. Raises RegieError
    ELEMENT_INVALID or PROOF_INVALID; a proof that fails means that an evaluator used another factor than it published.
    """
    blinded = [rows.elements[at : at + group.ELEMENT_BYTES] for at in range(0, len(rows.elements), group.ELEMENT_BYTES)]
    evaluated = _verified(_verified(blinded, first, workers), second, workers)
    scalars = [closing_scalar * inverse % group.ORDER for inverse in rows.inverses]
    return group.multiply_many(scalars, evaluated, workers)


def close(
    closing_scalar: int, domain: oprf.Domain, elements: Sequence[bytes], workers: Executor | None = None
) -> list[bytes]:
    """Return the stored index of each unblinded row, for the owner of closing scalar c: P = c * (s1*s2*M)."""
    return oprf.stored_indices(domain, group.multiply_many(closing_scalar, elements, workers))
