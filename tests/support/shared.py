"""Third-party files that are not copied into this repository: the folder `shared` beside it, when it is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

DDAS = Path(__file__).resolve().parents[3] / "shared" / "data" / "ddas"


def ddas_file(version: str, name: str) -> Any:
    """A file of VNG's DDAS vroegsignalering (VNG-Realisatie/ddas-vroegsignalering, without a licence of its own)."""
    path = DDAS / version / name
    if not path.is_file():
        pytest.skip(f"the DDAS files are not here: ../shared/data/ddas/{version}/{name}")
    return json.loads(path.read_text("utf-8"))
