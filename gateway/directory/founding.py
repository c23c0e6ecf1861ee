"""Found a home: authority, certificates, keys, settings, and the ledger with the directory and purposes in clear.

Everything is written into a folder inside the new home and moved up at the end, the settings last: what a crash leaves
is no home, and says so. The ledger is created here and nowhere else: no service makes one on its own.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from consent_ledger.clock import Clock
from consent_ledger.log.cosignature import MlDsa44Signer
from consent_ledger.log.keys import LogKeys
from consent_ledger.log.note import Signer
from consent_ledger.opening import create_ledger
from consent_ledger.purposes import CATALOGUE
from consent_ledger.v1 import events_pb2
from gateway.crypto import group, hpke, signatures
from gateway.directory.authority import Authority, Credentials, issue, make_authority, sign_participant_key
from gateway.directory.participants import OPERATORS, PRIVATE_KINDS, Kind, NewParticipant
from gateway.home import Home, HomeError
from gateway.witness.home import found_witness

SETTINGS = "regie.toml"
PORTS = range(20_000, 32_000)
"""Below the ports that Linux hands out to outgoing connections."""
SERVED = ("gateway", "pseudonyms", "ledger", "viewer", "auditor")
"""Roles with an address."""
AGENCY_KEYS = ("sign", "hpke", "closing", "hedge")
"""An agency of any kind may be named as recipient of a prohibited purpose, so each has a recipient's keys too."""
KEYS_OF: dict[Kind, tuple[str, ...]] = {
    "gateway": ("sign", "master"),
    "pseudonyms": ("sign", "hpke", "master"),
    "ledger": ("sign", "hpke", "closing", "log", "ldv"),
    "viewer": ("sign", "hpke", "hedge"),
    "auditor": ("sign", "audit"),
}
Rng = Callable[[int], bytes]
OnStep = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Founded:
    """One participant with its certificate and keys, before they are written."""

    participant: NewParticipant
    credentials: Credentials
    keys: dict[str, str]
    public: dict[int, bytes]


def found_home(
    folder: Path,
    participants: Sequence[NewParticipant],
    clock: Clock,
    *,
    demo: bool = False,
    database: str | None = None,
    rng: Rng = os.urandom,
    on_step: OnStep = lambda _: None,
) -> Home:
    """Make a home in ``folder``, which must be absent or empty, and return it opened; raises HomeError.

    ``participants`` names each operator once and any number of agencies. ``database`` is the address of a PostgreSQL
    for the ledger, with the schema and no ledger in it (RegieError LEDGER_UNAVAILABLE); without it the ledger is a
    file. ``on_step`` is told what is being made.
    """
    require_empty(folder)
    operators = _operators(participants)
    absent = not folder.exists()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    work = folder / ".founding"
    try:
        work.mkdir(mode=0o700)
        _write_home(work, participants, operators, clock, rng, demo=demo, database=database, on_step=on_step)
        for made in sorted(work.iterdir(), key=lambda path: path.name == SETTINGS):
            made.rename(folder / made.name)
        work.rmdir()
    except BaseException:
        shutil.rmtree(folder if absent else work, ignore_errors=True)
        raise
    return Home.open(folder)


def require_empty(folder: Path) -> None:
    """Refuse a folder that holds anything: keys and a ledger are never written over. Raises HomeError."""
    if folder.exists() and not folder.is_dir():
        raise HomeError(f"{folder} is a file: name a folder that is new or empty")
    if (folder / SETTINGS).exists():
        raise HomeError(f"{folder} is a home already: its keys and ledger are not written over; name another folder")
    if folder.exists() and any(folder.iterdir()):
        raise HomeError(f"{folder} is not empty: name a folder that is new or empty")


def _write_home(
    work: Path,
    participants: Sequence[NewParticipant],
    operators: dict[Kind, str],
    clock: Clock,
    rng: Rng,
    *,
    demo: bool,
    database: str | None,
    on_step: OnStep,
) -> None:
    on_step("authority")
    authority = make_authority(clock())
    _write_authority(work / "ca", authority)
    on_step("keys")
    (work / "orgs").mkdir(mode=0o700)
    founded = [_found(participant, authority, clock(), rng) for participant in participants]
    for organisation in founded:
        _write_organisation(work / "orgs" / organisation.participant.oin, organisation)
    keys = LogKeys.parse(next(f.keys["log"] for f in founded if f.participant.kind == "ledger"))
    data = work / "orgs" / operators["ledger"] / "data"
    data.mkdir(mode=0o700)
    on_step("witness")
    witness = found_witness(work, f"{operators['ledger']}.oin.regie.internal/witness", [keys.names], rng)
    settings = _settings(operators, keys.names, witness.verifier_keys(), database, demo=demo)
    (work / SETTINGS).write_text(settings, encoding="utf-8")
    # Last: a database keeps its ledger whatever becomes of the folder with the keys.
    on_step("ledger")
    create_ledger(database or data / "ledger.db", keys, list(first_events(founded, keys)), clock, rng)


def first_events(founded: Sequence[_Founded], keys: LogKeys) -> Iterator[events_pb2.PublicEvent]:
    """Yield the first public events of a log: its keys, the participants with their keys, and the purposes.

    The ledger gives them their time and their numbers.
    """
    for key in keys.names:
        yield events_pb2.PublicEvent(log_key_added=events_pb2.LogKeyAdded(verifier_key=key))
    for one in founded:
        yield events_pb2.PublicEvent(participant_registered=_registered(one))
        for usage, public in one.public.items():
            yield events_pb2.PublicEvent(participant_key_added=_key_added(one, usage, public))
    for purpose in CATALOGUE:
        yield events_pb2.PublicEvent(purpose_published=events_pb2.PurposePublished(purpose=purpose.to_proto()))


def _operators(participants: Sequence[NewParticipant]) -> dict[Kind, str]:
    operators = [one for one in participants if one.is_operator]
    oins, names = ({getter(one) for one in participants} for getter in (_by_oin, _by_name))
    if sorted(one.kind for one in operators) != sorted(OPERATORS) or not len(oins) == len(names) == len(participants):
        raise HomeError("a home needs one operator of each kind, and every OIN and name once")
    return {one.kind: one.oin for one in operators}


def _by_oin(participant: NewParticipant) -> str:
    return participant.oin


def _by_name(participant: NewParticipant) -> str:
    """Two participants with one name would count as one organisation (consent_ledger/separation.py)."""
    return " ".join(participant.name.split()).casefold()


def _found(participant: NewParticipant, authority: Authority, now_ms: int, rng: Rng) -> _Founded:
    keys = {name: _new_key(name, participant, rng) for name in KEYS_OF.get(participant.kind, AGENCY_KEYS)}
    sign = signatures.signing_key(bytes.fromhex(keys["sign"]))
    public = {signatures.USAGE_SIGN: signatures.public_bytes(sign)}
    if "hpke" in keys:
        public[signatures.USAGE_HPKE] = hpke.PrivateKey.from_bytes(bytes.fromhex(keys["hpke"])).public
    return _Founded(participant, issue(authority, participant.oin, participant.name, now_ms), keys, public)


def _new_key(name: str, participant: NewParticipant, rng: Rng) -> str:
    if name == "hpke":
        return hpke.generate(rng).hex()
    if name == "ldv":
        return rng(64).hex()
    if name == "closing":
        return f"{group.random_scalar(rng):064x}"
    if name == "log":
        # The origin of a log is a schemeless URL prefix (c2sp.org/tlog-checkpoint); OINs are unique.
        origin = f"{participant.oin}.oin.regie.internal/log"
        return LogKeys((Signer(origin, rng(32)),), (MlDsa44Signer(origin, rng(32)),)).format().rstrip("\n")
    return rng(32).hex()


def _registered(one: _Founded) -> events_pb2.ParticipantRegistered:
    kind = events_pb2.ParticipantKind.Value(f"PARTICIPANT_KIND_{one.participant.kind.upper()}")
    return events_pb2.ParticipantRegistered(
        oin=one.participant.oin,
        kind=kind,
        name=one.participant.name,
        private_party=one.participant.kind in PRIVATE_KINDS,
        certificate=one.credentials.der,
        population=one.participant.population,
    )


def _key_added(one: _Founded, usage: int, public: bytes) -> events_pb2.ParticipantKeyAdded:
    return events_pb2.ParticipantKeyAdded(
        oin=one.participant.oin,
        key=events_pb2.ParticipantKey(
            key_id=signatures.key_id(usage, public),
            usage=events_pb2.KeyUsage.ValueType(usage),
            public_key=public,
        ),
        signature=sign_participant_key(one.credentials.key, one.participant.oin, usage, public),
    )


def _write_authority(folder: Path, authority: Authority) -> None:
    folder.mkdir(mode=0o700)
    (folder / "ca.pem").write_bytes(authority.pem)
    _write_secret(folder / "ca.key", authority.key_pem)


def _write_organisation(folder: Path, organisation: _Founded) -> None:
    folder.mkdir(mode=0o700)
    (folder / "tls.pem").write_bytes(organisation.credentials.certificate)
    _write_secret(folder / "tls.key", organisation.credentials.key)
    for name, key in organisation.keys.items():
        _write_secret(folder / f"{name}.key", f"{key}\n".encode("ascii"))


def _write_secret(path: Path, content: bytes) -> None:
    """Create the file unreadable for others from its first moment; it must not exist."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _settings(
    operators: dict[Kind, str],
    verifier_keys: Sequence[str],
    witness_keys: Sequence[str],
    database: str | None,
    *,
    demo: bool,
) -> str:
    served = (*SERVED, *(("desk",) if demo else ()), "log", "witness")
    metered = (*SERVED, "witness")
    free = free_ports(len(served) + len(metered))
    ports, watched = dict(zip(served, free, strict=False)), dict(zip(metered, free[len(served) :], strict=True))
    lines = [
        "# A home of Regie, made by `regie init`.",
        "# demo: every role may run on this machine. Convenient, and no separation of trust.",
        f"demo = {'true' if demo else 'false'}",
        "# The log's verifier keys: a checkpoint counts when one of them signed it.",
        "log_verifier_keys = [",
        *(f'    "{key}",' for key in verifier_keys),
        "]",
        "",
        "[operators]",
        *(f'{kind} = "{operators[kind]}"' for kind in OPERATORS),
        "",
        "[addresses]",
        *(f'{role} = "127.0.0.1:{port}"' for role, port in ports.items()),
        "",
        "[addresses.metrics]",
        "# /metrics and /healthz of each role: for its operator only.",
        *(f'{role} = "127.0.0.1:{port}"' for role, port in watched.items()),
        "",
        "[viewer]",
        "# How browsers reach the residents' pages: in production https, through a proxy that does TLS. How residents",
        "# log in: [viewer.login], see docs/viewer.md; a demo has a login of its own.",
        f'origin = "http://127.0.0.1:{ports["viewer"]}"',
        *([f'desk_origin = "http://127.0.0.1:{ports["desk"]}"'] if demo else ()),
        "",
        "[auditor]",
        "# How browsers reach the auditor's console. Who gets in: [auditor.login] or tls = true, see docs/auditor.md.",
        f'origin = "http://127.0.0.1:{ports["auditor"]}"',
        "",
        "[witnesses]",
        "# How many of them must have cosigned a checkpoint before it is published. In production: others' witnesses.",
        "quorum = 1",
        "",
        "[[witnesses.known]]",
        f'url = "http://127.0.0.1:{ports["witness"]}"',
        "verifier_keys = [",
        *(f'    "{key}",' for key in witness_keys),
        "]",
    ]
    if database is not None:
        lines += ["", "[ledger]", f"database = {json.dumps(database)}"]
    return "\n".join(lines) + "\n"


def free_ports(count: int) -> list[int]:
    """Return distinct loopback ports that nobody listens on now."""
    found: list[int] = []
    candidates = list(PORTS)
    secrets.SystemRandom().shuffle(candidates)
    for port in candidates:
        if len(found) == count:
            return found
        with closing(socket.socket()) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
    raise HomeError("no free port between 20000 and 31999 on this machine")
