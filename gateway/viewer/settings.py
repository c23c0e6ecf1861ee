"""What HOME/regie.toml says about the residents' pages: ``[viewer]`` and ``[viewer.login]`` (docs/viewer.md)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from consent_ledger.log.errors import NoteError
from consent_ledger.log.keys import parse_verifiers
from consent_ledger.purpose import Text
from consent_ledger.service.http import prefix_of
from consent_ledger.viewer.checking.trust import Trust
from consent_ledger.viewer.desk.login import DemoStaff, OidcStaff, StaffLogin
from consent_ledger.viewer.login import Login
from consent_ledger.viewer.login.demo import DemoLogin, DemoPerson
from consent_ledger.viewer.login.oidc import OidcLogin
from consent_ledger.viewer.login.provider import OidcSettings
from consent_ledger.viewer.port import Person
from consent_ledger.viewer.settings import SettingsError, ViewerSettings
from gateway.home import Home, HomeError
from gateway.town.logins import read_logins

_KNOWN = frozenset({"origin", "operator", "theme", "email", "phone", "log_url", "login", "desk_origin", "desk_login"})
_LOGIN = frozenset({"issuer", "client_id", "levels", "scope", "userinfo", "claims", "represents"})
_DESK_LOGIN = frozenset({"issuer", "client_id", "levels", "scope", "userinfo", "role", "role_claim"})
_DEMO_STAFF = {"noor": "Noor (balie Zonneveen)", "sam": "Sam (balie Lindewaard)"}


def viewer_settings(home: Home) -> ViewerSettings:
    """Return the settings of the pages; raises HomeError when they are contradictory or not enough."""
    said = home.viewer
    _only(said, _KNOWN, "[viewer]")
    try:
        return ViewerSettings(
            origin=said.get("origin") or f"http://{home.addresses['viewer']}",
            demo=home.demo,
            operator=said.get("operator", "Regie"),
            log_url=said.get("log_url") or _log_url(home),
            theme=_theme(home.folder, said.get("theme", "")),
            email=said.get("email", ""),
            phone=said.get("phone", ""),
            trust=Trust.of(home.log_verifier_key, home.quorum, [known.verifier_keys for known in home.witnesses]),
        )
    except (SettingsError, NoteError) as error:
        raise HomeError(f"{home.folder / 'regie.toml'} [viewer]: {error}") from None


def viewer_login(home: Home) -> Login:
    """Return how residents log in; raises HomeError when nothing says so and this is no demo."""
    said = home.viewer.get("login")
    if said is None:
        if not home.demo:
            raise HomeError(
                f"{home.folder / 'regie.toml'} has no [viewer.login]: residents could not log in (docs/viewer.md)"
            )
        return DemoLogin([_demo_person(row) for row in read_logins(home.folder / "town")])
    _only(said, _LOGIN, "[viewer.login]")
    try:
        return OidcLogin(_oidc(home, said, "oidc"))
    except (KeyError, TypeError, SettingsError) as error:
        raise HomeError(f"{home.folder / 'regie.toml'} [viewer.login]: {error}") from None


def desk_settings(home: Home) -> ViewerSettings:
    """Return the settings of the desk's pages, which have an origin of their own; raises HomeError."""
    origin = home.viewer.get("desk_origin") or f"http://{home.addresses['desk']}"
    try:
        return replace(viewer_settings(home), origin=origin, desk=True)
    except SettingsError as error:
        raise HomeError(f"{home.folder / 'regie.toml'} [viewer]: {error}") from None


def desk_login(home: Home) -> StaffLogin:
    """Return how the desk's staff logs in; raises HomeError when nothing says so and this is no demo."""
    said = home.viewer.get("desk_login")
    if said is None:
        if not home.demo:
            raise HomeError(f"{home.folder / 'regie.toml'} has an address of the desk and no [viewer.desk_login]")
        return DemoStaff(_DEMO_STAFF)
    _only(said, _DESK_LOGIN, "[viewer.desk_login]")
    roles = {name: said[name] for name in ("role", "role_claim") if name in said}
    try:
        provider = {name: value for name, value in said.items() if name not in roles}
        return OidcStaff(_oidc(home, provider, "oidc-desk"), **roles)
    except (KeyError, TypeError, SettingsError) as error:
        raise HomeError(f"{home.folder / 'regie.toml'} [viewer.desk_login]: {error}") from None


def _oidc(home: Home, said: dict[str, Any], key: str) -> OidcSettings:
    """Read a client; its secret is ``<key>.key`` of the viewer's organisation, or its private key ``<key>-private``."""
    ours = home.operator("viewer")
    return OidcSettings(
        **{**said, "levels": tuple(said["levels"])},
        secret=ours.text_key(key) if ours.has(key) else "",
        private_key=ours.text_key(f"{key}-private") if ours.has(f"{key}-private") else "",
    )


def demo_names(home: Home) -> list[str]:
    """Return as whom one can log in in a demo; nobody elsewhere."""
    if not home.demo or "login" in home.viewer:
        return []
    return [row["name"] for row in read_logins(home.folder / "town")]


def demo_staff(home: Home) -> list[str]:
    """Return as whom one can log in at the desk in a demo; nobody elsewhere."""
    if not home.demo or "desk" not in home.addresses or "desk_login" in home.viewer:
        return []
    return list(_DEMO_STAFF.values())


def _only(said: dict[str, Any], known: frozenset[str], where: str) -> None:
    if unknown := set(said) - known:
        raise HomeError(f"{where} of regie.toml has no setting {min(unknown)}: choose from {', '.join(sorted(known))}")


def _theme(folder: Path, name: str) -> str:
    """Return a municipality's own style sheet, which the settings name relative to the home."""
    if not name:
        return ""
    try:
        return (folder / name).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"the theme {name} cannot be read in {folder}") from None


def _log_url(home: Home) -> str:
    if "log" not in home.addresses:
        return ""
    return f"http://{home.addresses['log']}{prefix_of(parse_verifiers(home.log_verifier_key)[0].name)}"


def _demo_person(row: dict[str, str]) -> DemoPerson:
    names = Person.__dataclass_fields__
    person = Person(**{name: value for name, value in row.items() if name in names})
    story = Text(row["story_nl"], row["story_en"])
    return DemoPerson(row["key"], row["name"], story, person, represents=row["represents"] == "ja")
