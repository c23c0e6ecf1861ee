"""How residents are shown: by a number that holds within one case, so that two cases cannot be laid side by side."""

from __future__ import annotations

import base64
import hmac
import re

from consent_ledger.errors import RegieError

_CASE = re.compile(r"[A-Z0-9][A-Z0-9./-]{1,31}")


def case_of(typed: str) -> str:
    """Return the reference of a case as it is kept; raises RegieError FIELD_INVALID unless it is one.

    Letters, digits and -./ and at least one digit: a reference, with no place for a name.
    """
    found = typed.strip().upper()
    if not _CASE.fullmatch(found) or not any(character.isdigit() for character in found):
        raise RegieError("FIELD_INVALID", "a case is named by letters, digits and -./, at least one digit", "case")
    return found


class Pseudonyms:
    """The numbers of one case."""

    def __init__(self, key: bytes, case: str) -> None:
        """``key`` is the console's own (audit.key), ``case`` as ``case_of`` returns it."""
        self._key = hmac.digest(key, b"regie/audit/case/v1" + case.encode(), "sha256")

    def shown(self, resident: bytes) -> str:
        """Return "R-XXXX-XXXX" for a resident as the index knows it."""
        digest = hmac.digest(self._key, b"regie/audit/shown/v1" + resident, "sha256")[:5]
        text = base64.b32encode(digest).decode("ascii")
        return f"R-{text[:4]}-{text[4:]}"


def person_of(key: bytes, login: str) -> str:
    """Return how the record names an auditor: a number keyed by this console, never a name or an account."""
    return hmac.digest(key, b"regie/audit/person/v1" + login.encode(), "sha256")[:6].hex()
