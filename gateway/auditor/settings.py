"""What HOME/regie.toml says about the console: ``[auditor]`` and ``[auditor.login]`` (docs/auditor.md)."""

from __future__ import annotations

from consent_ledger.log.errors import NoteError
from consent_ledger.viewer.checking.trust import Trust
from consent_ledger.viewer.login.provider import OidcSettings
from consent_ledger.viewer.settings import SettingsError, ViewerSettings
from gateway.auditor.login import Certificate, DemoAuditors, Login, OidcAuditors, Way
from gateway.home import Home, HomeError
from gateway.web import Tls

_KNOWN = frozenset({"origin", "operator", "login", "tls"})
_LOGIN = frozenset({"issuer", "client_id", "levels", "scope", "userinfo", "role", "role_claim"})
DEMO_AUDITORS = {"femke": "Femke (toezichthouder)", "joost": "Joost (functionaris gegevensbescherming)"}


def audit_settings(home: Home) -> ViewerSettings:
    """Return the settings of the pages; raises HomeError when they are contradictory or not enough."""
    said = home.auditor
    _only(set(said), _KNOWN, "[auditor]")
    if "auditor" not in home.addresses:
        raise HomeError(f"{home.folder / 'regie.toml'} has no address of the auditor: see docs/auditor.md")
    scheme = "https" if said.get("tls") else "http"
    try:
        return ViewerSettings(
            origin=_origin(said.get("origin", ""), scheme) or f"{scheme}://{home.addresses['auditor']}",
            demo=home.demo,
            operator=said.get("operator", "Regie"),
            trust=Trust.of(home.log_verifier_key, home.quorum, [known.verifier_keys for known in home.witnesses]),
            console=True,
        )
    except (SettingsError, NoteError) as error:
        raise HomeError(f"{home.folder / 'regie.toml'} [auditor]: {error}") from None


def audit_login(home: Home) -> Login:
    """Return how auditors log in; raises HomeError when nothing says so and this is no demo."""
    said = home.auditor
    ways: list[Way] = [Certificate()] if said.get("tls") else []
    if "login" in said:
        ways.append(_oidc(home))
    if not ways and not home.demo:
        raise HomeError(
            f"{home.folder / 'regie.toml'} has neither [auditor.login] nor [auditor] tls = true: nobody could log in "
            "at the console (docs/auditor.md)"
        )
    return Login(ways or [DemoAuditors(DEMO_AUDITORS)])


def demo_auditors(home: Home) -> list[str]:
    """Return as whom one can log in in a demo; nobody elsewhere."""
    return list(DEMO_AUDITORS.values()) if home.demo and not {"login", "tls"} & set(home.auditor) else []


def audit_tls(home: Home) -> Tls | None:
    """Return the files for TLS at the console; None when a proxy does that, or in a demo nobody."""
    if not home.auditor.get("tls"):
        return None
    ours = home.operator("auditor")
    files = (ours.folder / "tls.pem", ours.folder / "tls.key", home.folder / "ca" / "ca.pem")
    return Tls(*files, required="login" not in home.auditor)


def _oidc(home: Home) -> OidcAuditors:
    """Read the client; its secret is oidc.key of the auditor's organisation, or its private key oidc-private.key."""
    said = dict(home.auditor["login"])
    _only(set(said), _LOGIN, "[auditor.login]")
    ours = home.operator("auditor")
    roles = {name: said.pop(name) for name in ("role", "role_claim") if name in said}
    try:
        settings = OidcSettings(
            **{**said, "levels": tuple(said["levels"])},
            secret=ours.text_key("oidc") if ours.has("oidc") else "",
            private_key=ours.text_key("oidc-private") if ours.has("oidc-private") else "",
        )
        return OidcAuditors(settings, **roles)
    except (KeyError, TypeError, SettingsError) as error:
        raise HomeError(f"{home.folder / 'regie.toml'} [auditor.login]: {error}") from None


def _origin(said: str, scheme: str) -> str:
    """Return the address that the settings name; where this console does TLS itself, it is reached over TLS."""
    return said.replace("http://", "https://", 1) if scheme == "https" else said


def _only(said: set[str], known: frozenset[str], where: str) -> None:
    if unknown := said - known:
        raise HomeError(f"{where} of regie.toml has no setting {min(unknown)}: choose from {', '.join(sorted(known))}")
