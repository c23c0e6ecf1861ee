"""One home for each operator and agency, from the home that `regie init` made.

python deploy/homes.py FOUNDER OUT [--host ROLE=NAME ...]

Each home gets settings of its own, the authority's certificate, and the folder of its own organisation; nothing else.
The authority's private key goes nowhere. FOUNDER is not changed: once every home is where it belongs, destroy it.
The ports are those of the container, compose and Kubernetes files beside this one; names are those of their services.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.home import Home, HomeError
from gateway.ldv.subjects import Subjects

PORTS = {"ledger": 7301, "pseudonyms": 7302, "gateway": 7303, "witness": 7304}
PORTS |= {"log": 7380, "viewer": 7381, "desk": 7382, "auditor": 7383}
METRICS = 9464
"""The same for every role: each is alone on its address."""

SERVICES = ("witness", "ledger", "pseudonyms", "gateway", "viewer", "desk", "auditor")
RUNS = {"desk": "viewer"}
"""The desk's pages are served by the viewer role: in a process of their own, so that the two share no address."""
LISTENS = {"ledger": ("ledger", "log")}
ASKS: dict[str, tuple[str, ...]] = {
    "witness": (),
    "ledger": ("witness",),
    "pseudonyms": ("ledger",),
    "gateway": ("pseudonyms", "ledger"),
    "viewer": ("gateway", "ledger"),
    "desk": ("gateway", "ledger"),
    "auditor": ("ledger",),
    "agency": ("gateway", "ledger"),
}
"""Who opens connections to whom. Nobody else may: networks and policies here are drawn from the same edges."""
COMMANDS: dict[str, tuple[str, ...]] = {"ledger": ("gateway",)}
"""Whose commands (`regie log keys`) ask somebody whom the running role does not."""

_LOGIN = ('issuer = "https://login.example"', 'client_id = "regie"')
_LEVELS = 'levels = ["http://eidas.europa.eu/LoA/substantial", "http://eidas.europa.eu/LoA/high"]'
_STAFF = ('issuer = "https://staff.example"', 'client_id = "regie"', _LEVELS.split(",", maxsplit=1)[0] + "]")
PAGES: dict[str, tuple[str, ...]] = {
    "viewer": (
        "[viewer]",
        'origin = "https://regie.example"',
        'log_url = "https://log.example/log"',
        "[viewer.login]",
        *_LOGIN,
        _LEVELS,
    ),
    "desk": (
        "[viewer]",
        'origin = "https://regie.example"',
        'desk_origin = "https://balie.regie.example"',
        'log_url = "https://log.example/log"',
        "[viewer.login]  # of the pages that this process serves to nobody",
        *_LOGIN,
        _LEVELS,
        "[viewer.desk_login]",
        *_STAFF,
    ),
    "auditor": ("[auditor]", 'origin = "https://audit.regie.example"', "[auditor.login]", *_STAFF),
}
"""Examples: nobody logs in before they are made real."""


def write_homes(founder: Home, out: Path, hosts: Mapping[str, str]) -> list[Path]:
    """Write the homes into ``out``, which must not exist yet; return their folders. Raises HomeError."""
    if out.exists():
        raise HomeError(f"{out} exists: homes are not written over; name another folder")
    if founder.demo:
        raise HomeError("a demo home is for one machine: make one without --demo")
    Subjects.of(founder.operator("ledger"))  # makes ldv.key now: where the ledger runs, keys are read-only
    owners = {service: founder.operators[RUNS.get(service, service)] for service in SERVICES if service != "witness"}  # type: ignore[index]
    agencies = sorted({path.name for path in (founder.folder / "orgs").iterdir()} - set(founder.operators.values()))
    out.mkdir(mode=0o700, parents=True)
    made = [_witness(founder, out / "witness")]
    made += [_home(founder, out / service, service, oin, hosts) for service, oin in owners.items()]
    made += [_home(founder, out / oin, "agency", oin, hosts) for oin in agencies]
    oins = "".join(f"REGIE_{service.upper()}_OIN={oin}\n" for service, oin in owners.items())
    (out / "operators.env").write_text(oins, encoding="utf-8")
    return made


def addresses(service: str, hosts: Mapping[str, str]) -> dict[str, str]:
    """Return where a service listens (every address of its machine) and whom it reaches where."""
    listens = LISTENS.get(service, () if service == "agency" else (service,))
    asked = {name: f"{hosts.get(name, name)}:{PORTS[name]}" for name in (*ASKS[service], *COMMANDS.get(service, ()))}
    if service == "desk":
        asked["viewer"] = f"127.0.0.1:{PORTS['viewer']}"  # for nobody
    return {**asked, **{name: f"0.0.0.0:{PORTS[name]}" for name in listens}}


def settings(founder: Home, service: str, hosts: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of a service's regie.toml."""
    yield f"# The home of {service}, made by deploy/homes.py."
    if service != "witness":
        yield f"log_verifier_keys = {json.dumps(founder.log_verifier_key.split(), indent=4)}"
        yield "[operators]"
        yield from (f'{role} = "{oin}"' for role, oin in founder.operators.items())
    yield "[addresses]"
    yield from (f'{name} = "{address}"' for name, address in addresses(service, hosts).items())
    if service != "agency":
        yield "[addresses.metrics]"
        yield f'{RUNS.get(service, service)} = "0.0.0.0:{METRICS}"'
    yield from PAGES.get(service, ())
    if service == "ledger" and founder.ledger_database:
        yield "[ledger]"
        yield f"database = {json.dumps(founder.ledger_database)}"
    if service not in ("witness", "agency"):
        yield from _witnesses(founder, hosts)


def _witnesses(founder: Home, hosts: Mapping[str, str]) -> Iterator[str]:
    yield "[witnesses]"
    yield f"quorum = {founder.quorum}"
    for witness in founder.witnesses:
        yield "[[witnesses.known]]"
        yield f'url = "http://{hosts.get("witness", "witness")}:{PORTS["witness"]}"'
        yield f"verifier_keys = {json.dumps(witness.verifier_keys, indent=4)}"


def _home(founder: Home, folder: Path, service: str, oin: str, hosts: Mapping[str, str]) -> Path:
    folder.mkdir(mode=0o700)
    for name in ("ca", "orgs"):
        (folder / name).mkdir(mode=0o700)
    shutil.copy2(founder.folder / "ca" / "ca.pem", folder / "ca" / "ca.pem")
    shutil.copytree(founder.folder / "orgs" / oin, folder / "orgs" / oin)
    (folder / "orgs" / oin / "data").mkdir(mode=0o700, exist_ok=True)
    return _settled(founder, folder, service, hosts)


def _witness(founder: Home, folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    shutil.copytree(founder.folder / "witness", folder / "witness")
    return _settled(founder, folder, "witness", {})


def _settled(founder: Home, folder: Path, service: str, hosts: Mapping[str, str]) -> Path:
    """Write the settings last: what a failure leaves is no home."""
    (folder / "regie.toml").write_text("\n".join(settings(founder, service, hosts)) + "\n", encoding="utf-8")
    return folder


def main() -> int:
    """Return the exit code: 2 for a home that cannot be divided."""
    parser = argparse.ArgumentParser(description="Divide a home that `regie init` made: one home for each operator.")
    parser.add_argument("founder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--host", action="append", default=[], metavar="ROLE=NAME", help="where others reach a role")
    given = parser.parse_args()
    hosts = dict(pair.split("=", 1) for pair in given.host if "=" in pair)
    if unknown := (set(hosts) - set(SERVICES)) | {pair for pair in given.host if "=" not in pair}:
        parser.error(f"--host takes ROLE=NAME with a role of {', '.join(SERVICES)}: not {min(unknown)}")
    try:
        made = write_homes(Home.open(given.founder), given.out, hosts)
    except HomeError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.writelines(f"{folder}\n" for folder in made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
