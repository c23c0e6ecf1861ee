"""Encodings with exactly one accepted form, so that equal values have equal bytes."""

import base64
import binascii
import re

from consent_ledger.log.errors import FormatError

MAX_SIZE = 2**63 - 1
"""Largest tree size: what every implementation of the C2SP formats can hold (int64)."""

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")


def encode_base64(data: bytes) -> str:
    """Return standard base64 with padding (RFC 4648 section 4)."""
    return base64.b64encode(data).decode("ascii")


def decode_base64(text: str) -> bytes:
    """Decode standard base64 with padding; raises FormatError on every other spelling of the same bytes."""
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise FormatError("expected standard base64") from None
    # The decoder accepts bits behind the last byte that are not zero; two spellings would be two receipts.
    if encode_base64(data) != text:
        raise FormatError("expected canonical base64, got another spelling")
    return data


def decode_decimal(text: str, what: str) -> int:
    """Decode ASCII decimal without leading zeroes, 0..2^63-1; raises FormatError naming ``what``."""
    if not _DECIMAL.fullmatch(text) or (value := int(text)) > MAX_SIZE:
        raise FormatError(f"{what}: expected a decimal number from 0 to 2^63-1 without leading zeroes")
    return value
