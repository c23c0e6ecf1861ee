"""The protocol of the blind gateway: pure functions over bytes, no I/O, no network.

Each party's part has its own module (``batch`` for the sender, ``gateway_side``, ``pseudonyms_side``, ``ledger_side``,
``recipient_side``, ``rows``), over shared primitives. Scalars are Python ints, group elements 32-byte ``bytes``.

The composition is built from RFC 9497 blinding, RFC 9380/9496 and RFC 9180; it was reviewed once and has no published
proof, which is why every header names its ``suite``.
"""

SUITE = "regie-ristretto255-sha512-mlkem768x25519/1"
