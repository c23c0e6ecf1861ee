"""How a choice is recorded: through what, by whom, in which words (R20, R36)."""

from __future__ import annotations

from hashlib import sha256

from starlette.requests import Request

from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.viewer.context import language_of, resident_of
from consent_ledger.viewer.session import Role

SELF = "self"
"""Who recorded it, when it was the resident: the ledger's entry is about this person already."""
_VIA: dict[Role, pb.CapturedVia.ValueType] = {
    "self": pb.CAPTURED_VIA_WEB,
    "representative": pb.CAPTURED_VIA_REPRESENTATIVE,
    "desk": pb.CAPTURED_VIA_DESK,
}


def capture_of(request: Request, wording: str = "") -> pb.Capture:
    """Return the capture of what this visitor does; ``wording`` is the text they chose by, exactly as it was shown.

    The desk has a capture of its own (desk/case.py): it also knows the way the resident came.
    """
    resident = resident_of(request)
    return pb.Capture(
        via=_VIA[resident.role],
        by=resident.by or SELF,
        text_hash=text_hash(wording),
        language=language_of(request),
    )


def text_hash(wording: str) -> bytes:
    """Return SHA-256 of the words shown; empty when there were none."""
    return sha256(wording.encode()).digest() if wording else b""
