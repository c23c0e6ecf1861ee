"""What a home says about its processing log: `[ldv]` in regie.toml. Without it records wait, and nothing else differs.

[ldv]
endpoint = "https://collector.example/v1/traces"   # OTLP over HTTP, protobuf; none: records stay pending
extension = false                                  # leave out our own attributes (nl.regie.*)
register = "https://ledger.example"                # where /verwerkingen is published; default: the host of the log
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from consent_ledger.processing import Activity
from gateway.home import Home, HomeError

_KNOWN = frozenset({"endpoint", "extension", "register"})


@dataclass(frozen=True, slots=True)
class LdvSettings:
    """The settings, checked; ``endpoint`` is None when records are to wait."""

    endpoint: str | None
    extension: bool
    register: str
    origin: str  # of the log: the ledger's records are named by it

    @classmethod
    def of(cls, home: Home) -> LdvSettings:
        """Read them from a home; raises HomeError naming what cannot be used."""
        given = home.ldv
        if unknown := sorted(set(given) - _KNOWN):
            raise HomeError(f"regie.toml has [ldv] {', '.join(unknown)}: known are {', '.join(sorted(_KNOWN))}")
        extension = given.get("extension", True)
        if not isinstance(extension, bool):
            raise HomeError("regie.toml: [ldv] extension is true or false")
        origin = home.log_verifier_key.partition("+")[0]
        endpoint = _url(given["endpoint"], "endpoint") if given.get("endpoint") else None
        register = _url(given.get("register", f"https://{origin.partition('/')[0]}"), "register")
        return cls(endpoint, extension, register.rstrip("/"), origin)

    def uri(self, activity: Activity) -> str:
        """Return the address of an activity in the register."""
        return f"{self.register}{activity.path}"


def _url(value: object, name: str) -> str:
    text = str(value)
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise HomeError(f"regie.toml: [ldv] {name} is an address that begins with http:// or https://")
    return text
