"""What the operator of the residents' pages decides; a contradictory combination is refused at the start."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from consent_ledger.viewer.checking.trust import NOBODY, Trust

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class SettingsError(ValueError):
    """Settings that cannot be used; the text says which and why."""


@dataclass(frozen=True, slots=True)
class ViewerSettings:
    """``origin`` is how browsers reach the pages ("https://regie.example"), without a path.

    ``log_url`` is where anybody finds the public log, "" when nowhere; ``theme`` the text of a municipality's own style
    sheet; ``email`` and ``phone`` how people reach a person; ``trust`` whose signatures browsers believe. ``desk``:
    these are the pages of the desk's staff, which have an origin of their own; ``console``: the auditors'.
    """

    origin: str
    demo: bool = False
    operator: str = "Regie"
    log_url: str = ""
    theme: str = ""
    email: str = ""
    phone: str = ""
    trust: Trust = NOBODY
    desk: bool = False
    console: bool = False

    def __post_init__(self) -> None:
        """Refuse an origin that browsers could not be told, or that would carry sessions in the clear."""
        parts = urlsplit(self.origin)
        if parts.scheme not in ("http", "https") or not parts.hostname or self.origin.count("/") != 2:
            raise SettingsError(f"the address of the pages is like https://regie.example, got {self.origin!r}")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise SettingsError(f"{self.origin} is not encrypted: put a proxy that does TLS before the viewer")

    @property
    def layout(self) -> str:
        """The template that every page of this application extends."""
        return "desk_layout.html" if self.desk else "audit_layout.html" if self.console else "layout.html"

    @property
    def secure(self) -> bool:
        """Tell whether cookies travel over TLS only."""
        return self.origin.startswith("https://")

    @property
    def cookie(self) -> str:
        """The cookie's name; __Host- binds it to this host and to TLS. Ports share cookies, so each has its own."""
        name = "regie-balie" if self.desk else "regie-audit" if self.console else "regie"
        return f"__Host-{name}" if self.secure else name
