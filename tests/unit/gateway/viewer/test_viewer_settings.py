"""What regie.toml says about the residents' pages, and what is refused before anybody could log in."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from consent_ledger.viewer.login.demo import DemoLogin
from consent_ledger.viewer.login.oidc import OidcLogin
from gateway.home import Home, HomeError
from gateway.town.generator import make_town
from gateway.town.logins import LOGINS, read_logins, write_logins
from gateway.viewer.settings import demo_names, demo_staff, viewer_login, viewer_settings
from tests.support.servers import make_home

OIDC = {"issuer": "https://login.example", "client_id": "regie", "levels": ["substantial"]}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return make_home(tmp_path_factory.mktemp("viewer") / "home")


def _secret(home: Home, name: str) -> Path:
    path = home.operator("viewer").folder / f"{name}.key"
    path.touch(mode=0o600)
    path.write_text("a secret\n")
    return path


def test_a_home_names_its_pages_log_and_witnesses(home: Home):
    settings = viewer_settings(Home.open(home.folder))
    assert settings.origin == f"http://{home.addresses['viewer']}"
    assert settings.demo
    assert settings.log_url == f"http://{home.addresses['log']}/log"
    assert settings.trust.needed == 1
    assert len(settings.trust.witnesses) == 1


def test_behind_a_proxy_the_settings_say_how_browsers_come(home: Home):
    said = {
        "origin": "https://regie.example",
        "operator": "Stichting X",
        "phone": "0800",
        "log_url": "https://log.example",
    }
    settings = viewer_settings(replace(home, viewer=said))
    assert (settings.origin, settings.operator, settings.phone) == ("https://regie.example", "Stichting X", "0800")
    assert settings.log_url == "https://log.example"
    assert settings.secure


def test_a_theme_is_read_from_the_home(home: Home):
    (home.folder / "theme.css").write_text(":root { --utrecht-link-color: red }")
    assert "red" in viewer_settings(replace(home, viewer={"theme": "theme.css"})).theme


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"origin": "http://regie.example"}, "is not encrypted"),
        ({"origin": "regie.example"}, "is like https://"),
        ({"colour": "red"}, "has no setting colour"),
        ({"theme": "absent.css"}, "absent.css cannot be read"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(home: Home, said: dict[str, Any], why: str):
    with pytest.raises(HomeError, match=re.escape(why)):
        viewer_settings(replace(home, viewer=said))


def test_outside_a_demo_a_login_must_be_named(home: Home):
    with pytest.raises(HomeError, match=re.escape("has no [viewer.login]")):
        viewer_login(replace(home, demo=False, viewer={}))
    assert isinstance(viewer_login(replace(home, viewer={})), DemoLogin)
    assert demo_names(replace(home, demo=False)) == []
    assert demo_staff(home)
    assert demo_staff(replace(home, demo=False)) == []
    assert demo_staff(replace(home, viewer=home.viewer | {"desk_login": OIDC})) == []


def test_a_login_service_needs_what_proves_that_we_are_its_client(home: Home):
    known = replace(home, demo=False, viewer={"login": OIDC})
    with pytest.raises(HomeError, match="either a secret or a private key"):
        viewer_login(known)
    secret = _secret(home, "oidc")
    try:
        assert isinstance(viewer_login(known), OidcLogin)
        secret.chmod(0o644)
        with pytest.raises(HomeError, match="chmod 600"):
            viewer_login(known)
    finally:
        secret.unlink()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"issuer": None}, "issuer"),
        ({"levels": None}, "levels"),
        ({"levels": []}, "level of assurance"),
        ({"issuer": "http://login.example"}, "https"),
        ({"secret": "in the settings file"}, "has no setting secret"),
        ({"claims": {"shoe": "size"}}, "shoe"),
    ],
)
def test_a_login_that_cannot_work_is_refused(home: Home, change: dict[str, Any], why: str):
    said = {name: value for name, value in (OIDC | change).items() if value is not None}
    secret = _secret(home, "oidc")
    try:
        with pytest.raises(HomeError, match=re.escape(why)):
            viewer_login(replace(home, viewer={"login": said}))
    finally:
        secret.unlink()


def test_logins_of_the_town_are_written_and_read(tmp_path: Path, home: Home):
    town = make_town(date(2026, 3, 1))
    write_logins(town, tmp_path, played=True)
    rows = read_logins(tmp_path)
    assert {"Els", "Fatima"} <= {row["name"] for row in rows}
    assert len({row["key"] for row in rows}) == len(rows) == len(LOGINS)
    assert all(row["bsn"] and row["birth_date"] for row in rows)
    helpers = [row for row in rows if row["represents"] == "ja"]
    assert helpers
    assert {row["bsn"] for row in helpers} <= {row["bsn"] for row in rows if row["represents"] == "nee"}
    assert rows[0]["story_nl"] != read_logins(write_logins(town, tmp_path, played=False).parent)[0]["story_nl"]


def test_a_file_of_logins_with_other_columns_is_refused(tmp_path: Path):
    assert read_logins(tmp_path) == []
    (tmp_path / "logins.csv").write_text("key,name\nanna,Anna\n")
    with pytest.raises(HomeError, match="other columns"):
        read_logins(tmp_path)
