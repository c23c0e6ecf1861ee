"""Keys of the organisations on this machine: there, readable by their owner only, and in their form."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from gateway.directory.founding import AGENCY_KEYS, KEYS_OF
from gateway.doctor.finding import Case, Finding, fail, ok, warn
from gateway.home import HomeError, Organisation
from gateway.logkeys import KeyFile
from gateway.witness.home import WitnessFolder

AREA = "keys"
TEXT_KEYS = frozenset({"log"})
MADE_ON_FIRST_USE = frozenset({"ldv"})
"""Homes that were made before there was such a key have none until then (gateway/ldv/subjects.py)."""
OTHERS = 0o077


def check_files(case: Case) -> Iterator[Finding]:
    """Look at every key file of the home."""
    needs = {oin: KEYS_OF[kind] for kind, oin in case.home.operators.items()}
    for organisation in case.organisations:
        needed = needs.get(organisation.oin, AGENCY_KEYS)
        found = [*_modes(organisation.folder), *_contents(organisation, needed)]
        yield from found or [ok(AREA, f"keys of {organisation.oin}: {', '.join(needed)}, for their owner only")]
    yield from _authority(case)
    if (case.home.folder / "witness").is_dir():
        yield from _witness(case.home.folder)


def _modes(folder: Path) -> Iterator[Finding]:
    if (mode := _mode(folder)) & OTHERS:
        yield warn(AREA, f"{folder} may be entered by others (mode {mode:o})", f"chmod 700 {folder}")
    for path in sorted(folder.glob("*.key")):
        if (mode := _mode(path)) & OTHERS:
            yield fail(AREA, f"{path} may be read by others (mode {mode:o}): no role starts", f"chmod 600 {path}")


def _contents(organisation: Organisation, needed: tuple[str, ...]) -> Iterator[Finding]:
    for name in needed:
        path = organisation.folder / f"{name}.key"
        if not path.exists():
            if name in MADE_ON_FIRST_USE:
                continue
            how = "put it back from your backup; a key that is lost is replaced in the directory, not made anew here"
            yield fail(AREA, f"{path} is not there", how)
        elif not _mode(path) & OTHERS:  # whoever repairs the mode looks again
            yield from _form(organisation, name, path)


def _form(organisation: Organisation, name: str, path: Path) -> Iterator[Finding]:
    try:
        content: object = KeyFile.read(organisation) if name in TEXT_KEYS else organisation.key(name)
    except HomeError as error:
        yield fail(AREA, str(error), "put the file back from your backup")
        return
    if not content:
        yield fail(AREA, f"{path} is empty", "put the file back from your backup")


def _authority(case: Case) -> Iterator[Finding]:
    path = case.home.folder / "ca" / "ca.key"
    if not path.exists():
        return
    if (mode := _mode(path)) & OTHERS:
        yield fail(AREA, f"{path} may be read by others (mode {mode:o})", f"chmod 600 {path}")
    if not case.home.demo:
        what = "the private key of the authority is in this home: who reads it can be any organisation"
        yield warn(AREA, what, f"keep {path} where certificates are issued, and nowhere else")


def _witness(home: Path) -> Iterator[Finding]:
    try:
        witness = WitnessFolder.of(home)
        names = {signer.name for signer in witness.signers()}
        witness.logs()
    except HomeError as error:
        yield fail(AREA, str(error), "mend what it names; a witness whose memory is lost is retired with its key")
        return
    yield ok(AREA, f"the witness {', '.join(sorted(names))} has its keys and knows its logs")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
