"""Numbers in addresses: what is no log index leads to no page, and never to an error."""

from __future__ import annotations

import re

from starlette.exceptions import HTTPException

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,17}")


def log_index(text: str) -> int:
    """Return the log index that a path or query names; raises HTTPException 404 for what is none."""
    if not _DECIMAL.fullmatch(text):
        raise HTTPException(404)
    return int(text)
