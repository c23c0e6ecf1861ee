"""What delivery cannot cost less than, whoever writes it: the cryptography that the protocol prescribes, called bare.

Counted from pseudonyms.md ("Signals", R's and L's last steps) and ledger.md ("Leaf"), not from our code. Left out is all
that another implementation could do without or better: parsing, judging consent, rows and their indexes, TLS, spans.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import Executor
from time import perf_counter, process_time

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from consent_ledger.hashing import hmac_sha256
from gateway.crypto import group, hpke, oprf, signatures
from tests.bench.limits import Cost

DURABLE_STEPS = 4
"""Of a batch: released (ledger), stored (recipient), acknowledged (ledger), handed over (recipient)."""
SLOT = 3_072
"""Bytes of a released signal: every permitted one takes as many, so that sizes tell nothing."""
_CIPHERTEXT = os.urandom(128)
_HASH, _KEY = bytes(32), bytes(32)
_EVENT = bytes(160)
_BLOCK = bytes(128)  # of HMAC-SHA512, whose keyed block is hashed before each message
_LABEL = b"regie/s/bench/v1"


def bound(permitted: int, batches: int, fsync_seconds: float, workers: Executor | None) -> Cost:
    """Return the cost of ``permitted`` signals in so many batches, at the recipient and at the ledger together."""
    points = group.hash_many([n.to_bytes(8, "big") for n in range(permitted)], oprf.HASH_TO_GROUP_DST, workers)
    scalar = group.random_scalar(os.urandom)
    ciphertext = AESGCM(_KEY).encrypt(bytes(12), _CIPHERTEXT, _HASH)
    parties = [_Batch(permitted // batches) for _ in range(batches)]
    used, begun = process_time(), perf_counter()
    group.multiply_many(scalar, group.decode_list(points, workers=workers), workers)  # R: P_R
    for _ in range(permitted):
        _recipient(ciphertext)
        _leaf()  # L: released
        _leaf()  # L: acknowledged
    for batch in parties:
        batch.run()
    return Cost(perf_counter() - begun + DURABLE_STEPS * batches * fsync_seconds, process_time() - used)


def _recipient(ciphertext: bytes) -> None:
    """Open one signal and check where it stands; of the two trees one node each, since neighbours share the others."""
    derived = hashlib.sha512(_BLOCK + hashlib.sha512(_BLOCK + _HASH).digest()).digest()  # K_i and com_i: extract,
    derived = hashlib.sha512(_BLOCK + hashlib.sha512(_BLOCK + derived).digest()).digest()  # and expand
    AESGCM(_KEY).decrypt(bytes(12), ciphertext, _HASH)
    hashlib.sha256(derived + ciphertext).digest()  # the leaf of the batch's tree
    hashlib.sha256(_HASH + _HASH).digest()
    hashlib.sha256(_HASH + _HASH).digest()  # the stored index
    hmac_sha256(_HASH, _EVENT)  # the receipt's commitment
    hashlib.sha256(_HASH).digest()  # its leaf
    hashlib.sha256(_HASH + _HASH).digest()


def _leaf() -> None:
    """Commit to one event and append it to the log and to its subject's chain."""
    hashlib.sha256(_EVENT).digest()  # the private part's digest
    hmac_sha256(_HASH, _EVENT)
    hashlib.sha256(_HASH).digest()  # the leaf
    hashlib.sha256(_HASH + _HASH).digest()  # a node
    hashlib.sha256(_HASH).digest()  # the chain


class _Batch:
    """The boxes and signatures of one batch."""

    def __init__(self, permitted: int) -> None:
        self._private = hpke.PrivateKey.from_bytes(hpke.generate(os.urandom))
        self._secret = hpke.seal(self._private.public, b"", bytes(32))
        self._content = bytes(permitted * SLOT)
        self._signing = signatures.signing_key(os.urandom(32))
        self._public = self._signing.public_key().public_bytes_raw()

    def run(self) -> None:
        """Seal, sign, verify and open the release, with the signatures of pull and acknowledgement."""
        box = hpke.seal(self._private.public, b"", self._content)  # L: rel
        hashlib.sha256(box).digest()  # L, and R
        hashlib.sha256(box).digest()
        hpke.open_(self._private, b"", box, field_name="")
        hpke.open_(self._private, b"", self._secret, field_name="")  # R: k
        for _ in range(5):  # pull, release, acknowledgement, and the checkpoints over both kinds of leaves
            signature = signatures.sign(self._signing, _LABEL)
        for _ in range(5):  # pull and acknowledgement (L); release, sig_R and checkpoint (R)
            signatures.verify(self._public, _LABEL, signature)
