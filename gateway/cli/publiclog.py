"""`regie log verify URL`: a log over HTTP, as strangers see it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.common import run
from gateway.cli.output import Output

if TYPE_CHECKING:
    from consent_ledger.log.quorum import Quorum
    from consent_ledger.verify.log import LogReport


def is_url(place: str) -> bool:
    """Tell whether a place is a log over HTTP."""
    return place.startswith(("http://", "https://"))


def verify_url(output: Output, url: str, home: Path, vkey: str | None) -> tuple[LogReport, dict[str, object]]:
    """Check everything that is published below a URL prefix; returns what it is, and who signed the checkpoint.

    With a home's key, its quorum of witnesses must have cosigned. Raises VerificationError where it does not check,
    RegieError LEDGER_UNAVAILABLE when it cannot be reached, HomeError when there is neither a key nor a home.
    """
    from consent_ledger.log.quorum import NOBODY

    if vkey:
        return run(_verify(output, url, vkey, NOBODY))
    return run(_verify(output, url, *_trusted_by(home)))


async def _verify(output: Output, url: str, vkey: str, quorum: Quorum) -> tuple[LogReport, dict[str, object]]:
    from consent_ledger.log.keys import kind_of, parse_verifiers
    from consent_ledger.log.note import open_note
    from consent_ledger.verify.published import verify_published
    from gateway.sdk.publiclog import public_log

    async with public_log(url) as client:
        note = await client.checkpoint()
        verifiers = parse_verifiers(vkey)
        quorum.open(note, verifiers)
        with output.progress("verifying") as progress:
            report = await verify_published(note, verifiers, client.fetch, progress)
    kinds = {(key.name, key.key_id): kind_of(key) for key in verifiers}
    signed = open_note(note, verifiers).signatures
    by = [{"name": one.name, "key_id": one.key_id.hex(), "kind": kinds[one.name, one.key_id]} for one in signed]
    return report, {"signed_by": by, "witnessed_by": quorum.cosigned(note)}


def _trusted_by(home: Path) -> tuple[str, Quorum]:
    """Return the log's keys and the quorum of witnesses in a home's settings."""
    from gateway.home import Home
    from gateway.witness.quorum import quorum_of

    opened = Home.open(home)
    return opened.log_verifier_key, quorum_of(opened)
