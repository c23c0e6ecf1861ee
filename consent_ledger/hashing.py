"""The few encodings that every hash and signature of Regie is made of."""

import hashlib
import hmac
import struct

_length = struct.Struct(">I").pack


def length_prefixed(*fields: bytes) -> bytes:
    """Join fields, each behind its length as u32 big-endian, so that no two lists of fields give the same bytes."""
    return b"".join([part for field in fields for part in (_length(len(field)), field)])


def sha256(*parts: bytes) -> bytes:
    """Return the SHA-256 digest of the concatenated parts (32 bytes)."""
    return hashlib.sha256(b"".join(parts)).digest()


_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """Return HMAC-SHA256 (RFC 2104), 32 bytes.

    As ``hmac.digest``, which looks its hash up by name each time: for short messages that is most of its price.
    """
    if len(key) > 64:
        return hmac.digest(key, message, "sha256")
    block = key.ljust(64, b"\0")
    inner = hashlib.sha256(block.translate(_INNER) + message).digest()
    return hashlib.sha256(block.translate(_OUTER) + inner).digest()


def header_hash(header: bytes) -> bytes:
    """Return hh = SHA-256("regie/hdr/v1" || header), the name of a batch; the header is hashed as received."""
    return sha256(b"regie/hdr/v1", header)
