"""A home: the folder with the settings and keys of the organisations that work from this machine.

HOME/regie.toml                 settings, readable by anybody
HOME/ca/ca.pem                  the certificate authority all participants trust (ca.key beside it in development)
HOME/orgs/<OIN>/tls.pem .key    X.509 certificate and key (PEM)
HOME/orgs/<OIN>/sign.key        Ed25519 seed, hex                     everybody
HOME/orgs/<OIN>/hpke.key        ML-KEM-768 seed || X25519, hex        pseudonyms, ledger, viewer, recipients
HOME/orgs/<OIN>/closing.key     closing scalar c, hex, big-endian     ledger, recipients
HOME/orgs/<OIN>/master.key      master secret K, 32 bytes, hex        gateway, pseudonyms
HOME/orgs/<OIN>/hedge.key       32 bytes, hex                         senders
HOME/orgs/<OIN>/audit.key       32 bytes, hex                         auditor: pseudonyms of its own
HOME/orgs/<OIN>/ldv.key         64 bytes, hex                         ledger; an agency's is made on first use (ldv/)
HOME/orgs/<OIN>/log.key         signed-note private keys, one a line  ledger (logkeys.py)
HOME/orgs/<OIN>/data/           databases of that organisation
HOME/witness/                   a witness of logs (gateway/witness/home.py); it may be all that a home holds
"""

from __future__ import annotations

import stat
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Role = Literal["gateway", "pseudonyms", "ledger", "viewer", "auditor"]
ROLES: tuple[Role, ...] = ("gateway", "pseudonyms", "ledger", "viewer")
"""Roles that every home names an operator of. An auditor may be absent: homes made before there was one have none."""
Service = Literal["gateway", "pseudonyms", "ledger", "viewer", "auditor", "desk", "log", "witness"]
SERVICES: tuple[Service, ...] = (*ROLES, "auditor", "desk", "log", "witness")
"""What has an address: the roles over gRPC; over HTTP the viewer with its desk, the auditor's console, the public log
(of the ledger) and the witness."""


SHARING = frozenset({"gateway", "pseudonyms", "viewer"})
"""Roles whose replicas may share a database, each role one of its own; the ledger's is ``[ledger] database``."""


class HomeError(Exception):
    """The home is absent, incomplete, or holds a key that others may read. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Organisation:
    """The folder of one organisation: its certificate, keys and data."""

    oin: str
    folder: Path

    @property
    def certificate(self) -> bytes:
        """The TLS certificate chain (PEM)."""
        return self._read("tls.pem")

    @property
    def tls_key(self) -> bytes:
        """The TLS private key (PEM)."""
        return self._secret("tls.key")

    @property
    def data(self) -> Path:
        """The folder for databases; made when absent."""
        path = self.folder / "data"
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def key(self, name: str) -> bytes:
        """Return the bytes of ``<name>.key``, which is hexadecimal."""
        try:
            return bytes.fromhex(self._secret(f"{name}.key").decode("ascii").strip())
        except ValueError:
            raise HomeError(f"{self.folder / name}.key is not hexadecimal") from None

    def text_key(self, name: str) -> str:
        """Return ``<name>.key`` as text."""
        return self._secret(f"{name}.key").decode("ascii").strip()

    def has(self, name: str) -> bool:
        """Tell whether ``<name>.key`` exists."""
        return (self.folder / f"{name}.key").exists()

    def _read(self, name: str) -> bytes:
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            raise HomeError(f"organisation {self.oin} has no {name} in {self.folder}") from None

    def _secret(self, name: str) -> bytes:
        content = self._read(name)
        mode = stat.S_IMODE((self.folder / name).stat().st_mode)
        if mode & 0o077:
            raise HomeError(f"{self.folder / name} may be read by others (mode {mode:o}): run chmod 600 on it")
        return content


@dataclass(frozen=True, slots=True)
class WitnessSettings:
    """A witness that the ledger asks: its URL prefix, and its verifier keys as text."""

    url: str
    verifier_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Home:
    """An opened home."""

    folder: Path
    demo: bool
    log_verifier_key: str  # the log's verifier keys, one a line: several while it changes its key
    operators: dict[Role, str]
    addresses: dict[Service, str]
    quorum: int = 0
    witnesses: tuple[WitnessSettings, ...] = ()
    ledger_database: str | None = None  # [ledger] database
    databases: dict[str, str] = field(default_factory=dict)  # [databases]: addresses, of those not in a file
    viewer: dict[str, Any] = field(default_factory=dict)  # [viewer], read by gateway/viewer/settings.py
    auditor: dict[str, Any] = field(default_factory=dict)  # [auditor], read by gateway/auditor/settings.py
    ldv: dict[str, Any] = field(default_factory=dict)  # [ldv], read by gateway/ldv/settings.py
    metrics: dict[str, str] = field(default_factory=dict)  # [addresses] metrics: of each role, for its operator only
    collector: str | None = None  # [telemetry] otlp

    @classmethod
    def open(cls, folder: Path) -> Home:
        """Read HOME/regie.toml; raises HomeError when it is absent or incomplete. Only `regie init` makes one."""
        settings = _read(folder)
        try:
            return cls(
                folder=folder,
                demo=bool(settings.get("demo", False)),
                log_verifier_key=_verifier_keys(settings),
                operators=_operators(settings["operators"]),
                addresses={
                    name: str(settings["addresses"][name]) for name in SERVICES if name in settings["addresses"]
                },
                quorum=int(settings.get("witnesses", {}).get("quorum", 0)),
                witnesses=tuple(map(_witness, settings.get("witnesses", {}).get("known", ()))),
                ledger_database=settings.get("ledger", {}).get("database"),
                databases=_databases(folder, settings.get("databases", {})),
                viewer=dict(settings.get("viewer", {})),
                auditor=dict(settings.get("auditor", {})),
                ldv=dict(settings.get("ldv", {})),
                metrics=_metrics(settings["addresses"]),
                collector=settings.get("telemetry", {}).get("otlp"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise HomeError(f"{folder / 'regie.toml'} lacks {error}, or has it in another form") from None

    @classmethod
    def open_witness(cls, folder: Path) -> Home:
        """Open a home that need not hold more than a witness (`regie witness init`); raises HomeError."""
        settings = _read(folder)
        if "operators" in settings:
            return cls.open(folder)
        addresses = settings.get("addresses", {})
        served: dict[Service, str] = {name: str(addresses[name]) for name in SERVICES if name in addresses}
        return cls(folder, False, "", {}, served, metrics=_metrics(addresses))

    @property
    def ledger(self) -> Path | str:
        """Where the ledger is: the address of its PostgreSQL database, or else the path of its SQLite file."""
        return self.ledger_database or self.operator("ledger").data / "ledger.db"

    def database(self, role: Role, name: str) -> Path | str:
        """Where a role keeps what it remembers: the address of a PostgreSQL database, or ``data/<name>.db``."""
        return self.databases.get(role) or self.operator(role).data / f"{name}.db"

    @property
    def authority(self) -> bytes:
        """The certificate of the authority that all participants trust (PEM)."""
        try:
            return (self.folder / "ca" / "ca.pem").read_bytes()
        except FileNotFoundError:
            raise HomeError(f"{self.folder} has no ca/ca.pem") from None

    def organisation(self, oin: str) -> Organisation:
        """Return the organisation with this OIN; raises HomeError when this home has no folder for it."""
        folder = self.folder / "orgs" / oin
        if not (oin.isascii() and oin.isdigit() and len(oin) == 20):
            raise HomeError("an OIN is 20 digits")
        if not folder.is_dir():
            raise HomeError(f"this home has no keys of organisation {oin}: see `regie directory list`")
        return Organisation(oin, folder)

    def operator(self, role: Role) -> Organisation:
        """Return the organisation that operates a role; raises HomeError when this home names none."""
        if role not in self.operators:
            raise HomeError(f"{self.folder / 'regie.toml'} names no {role} under [operators]: see docs/auditor.md")
        return self.organisation(self.operators[role])


def _read(folder: Path) -> dict[str, Any]:
    path = folder / "regie.toml"
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise HomeError(f"{folder} is not a home of Regie: make one with `regie init --home {folder}`") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise HomeError(f"{path} cannot be read: {error}") from None


def _operators(named: dict[str, Any]) -> dict[Role, str]:
    operators: dict[Role, str] = {role: str(named[role]) for role in ROLES}
    if "auditor" in named:
        operators["auditor"] = str(named["auditor"])
    return operators


def _metrics(addresses: dict[str, Any]) -> dict[str, str]:
    return {str(role): str(address) for role, address in addresses.get("metrics", {}).items()}


def _databases(folder: Path, said: dict[str, Any]) -> dict[str, str]:
    if unknown := set(said) - SHARING:
        choose = ", ".join(sorted(SHARING))
        raise HomeError(f"{folder / 'regie.toml'} [databases] has no role {min(unknown)}: choose from {choose}")
    return {role: str(address) for role, address in said.items()}


def _witness(settings: dict[str, Any]) -> WitnessSettings:
    return WitnessSettings(str(settings["url"]), tuple(map(str, settings["verifier_keys"])))


def _verifier_keys(settings: dict[str, Any]) -> str:
    """Return the keys of the list, or the one key of a home that was made before there was a list."""
    keys = settings.get("log_verifier_keys") or [settings["log_verifier_key"]]
    return "\n".join(map(str, keys))
