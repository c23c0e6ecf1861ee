"""The pseudonym service's part (T2): the second evaluation, which also takes the sender's blinding off.

E_t = (s2_t * tau_t) * Y_t = s1 * s2 * u_t^-1 * M: without u_t, which only the target has, nothing can be told from E_t.
"""

from concurrent.futures import Executor

from consent_ledger.errors import RegieError
from consent_ledger.hashing import header_hash as hash_header
from consent_ledger.hashing import sha256
from gateway.crypto import group, hpke, signatures
from gateway.crypto.batch import LABEL_T2, info_pseudonyms
from gateway.crypto.group import ORDER


def verify_sender(sender_public: bytes, header: bytes, sealed: bytes, signature: bytes) -> None:
    """Check sig_T2 over hh and H(toT2); raises RegieError SIGNATURE_INVALID."""
    signatures.verify(sender_public, LABEL_T2, signature, hash_header(header), sha256(sealed))


def second_evaluation(
    private: hpke.PrivateKey,
    header: bytes,
    sealed: bytes,
    elements: tuple[bytes, bytes],
    factors: tuple[int, int],
    *,
    count: int,
    workers: Executor | None = None,
) -> tuple[bytes, bytes]:
    """Return E_L and E_R for ``elements`` = (Y_L, Y_R) and ``factors`` = (s2_L, s2_R), ``count`` of each.

    Raises RegieError ELEMENT_INVALID or SEALED_PART_INVALID before anything is computed. Signature, policy, freshness,
    once-only and quota are the caller's, and come first.
    """
    decoded = [
        group.decode(part, count, field=name, workers=workers)
        for part, name in zip(elements, ("ledger_elements", "recipient_elements"), strict=True)
    ]
    content = hpke.open_(private, info_pseudonyms(hash_header(header)), sealed, field_name="sealed_pseudonyms")
    try:
        taus = group.decode_scalars(content, 2 * count)
    except RegieError:
        text = f"expected {2 * count} scalars"
        raise RegieError("SEALED_PART_INVALID", text, "sealed_pseudonyms") from None
    factor_ledger, factor_recipient = factors
    scalars = [factor_ledger * tau % ORDER for tau in taus[:count]]
    scalars += [factor_recipient * tau % ORDER for tau in taus[count:]]
    evaluated = group.multiply_many(scalars, decoded[0] + decoded[1], workers)
    return b"".join(evaluated[:count]), b"".join(evaluated[count:])
