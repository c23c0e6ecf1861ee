"""The few encodings that every hash and signature of Regie is made of."""

import hashlib
import struct

_length = struct.Struct(">I").pack


def length_prefixed(*fields: bytes) -> bytes:
    """Join fields, each behind its length as u32 big-endian, so that no two lists of fields give the same bytes."""
    return b"".join([part for field in fields for part in (_length(len(field)), field)])


def sha256(*parts: bytes) -> bytes:
    """Return the SHA-256 digest of the concatenated parts (32 bytes)."""
    return hashlib.sha256(b"".join(parts)).digest()


def header_hash(header: bytes) -> bytes:
    """Return hh = SHA-256("regie/hdr/v1" || header), the name of a batch; the header is hashed as received."""
    return sha256(b"regie/hdr/v1", header)
