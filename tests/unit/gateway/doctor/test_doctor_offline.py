"""`regie doctor --offline`: every finding about files is provoked once, on a real home."""

from __future__ import annotations

import json
import shutil
import socket
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from pysqlite3 import dbapi2
from sqlalchemy import create_engine, insert
from typer.testing import CliRunner

from consent_ledger.clock import DAY_MS, system_clock
from gateway.auditor.index import tables
from gateway.cli.app import app
from gateway.doctor.databases import Usage, check_disk
from gateway.doctor.examine import examine
from gateway.doctor.finding import Case, Finding, exit_code, fail, ok, warn
from gateway.doctor.telemetry import check_auditor, check_telemetry, metrics_here
from gateway.home import Home, HomeError
from tests.support.servers import certificate, make_home, with_certificate

PROGRESS, FINDING = tables.Progress.__table__, tables.Finding.__table__
LAMPJE, LEDGER = "00000099000000005001", "00000099000000003000"


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    return make_home(tmp_path_factory.mktemp("doctor") / "home").folder


@pytest.fixture
def folder(sound, tmp_path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "home"))


async def findings_of(folder: Path, clock=system_clock) -> list[Finding]:
    return [finding async for finding in examine(folder, offline=True, clock=clock)]


def not_ok(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(one.level, one.area, one.what) for one in findings if one.level != "ok"]


async def test_nothing_is_wrong_with_a_home_that_was_just_made(folder):
    found = await findings_of(folder)
    assert not_ok(found) == []
    assert {one.area for one in found} == {"settings", "keys", "certificates", "databases", "disk", "addresses"}
    assert all(one.what and not one.how for one in found)


async def test_the_databases_of_roles_on_a_server_are_asked(folder, postgres18):
    name = postgres18.database(migrated=False)
    _append(folder, f'\n[databases]\ngateway = "{postgres18.uri(name)}"\n')
    assert not_ok(await findings_of(folder)) == []
    assert "the gateway's database answers" in {one.what for one in await findings_of(folder)}
    postgres18.execute(f"DROP DATABASE {name}")
    ((level, area, what),) = not_ok(await findings_of(folder))
    assert (level, area) == ("fail", "databases")
    assert "the database of the gateway cannot be read" in what


def test_only_roles_that_can_share_a_database_name_one(folder):
    _append(folder, '\n[databases]\nauditor = "postgresql://a@b/c"\n')
    with pytest.raises(HomeError, match=r"\[databases\] has no role auditor: choose from gateway, pseudonyms, viewer"):
        Home.open(folder)


async def test_a_key_that_is_made_on_first_use_may_be_absent_and_must_not_be_odd(folder):
    path = folder / "orgs" / LEDGER / "ldv.key"
    path.unlink(missing_ok=True)
    assert not_ok(await findings_of(folder)) == []
    path.touch(mode=0o600)
    path.write_text("none")
    assert [(level, area) for level, area, _ in not_ok(await findings_of(folder))] == [("fail", "keys")]


def _append(folder: Path, text: str) -> None:
    path = folder / "regie.toml"
    path.write_text(path.read_text() + text)


def _replace(folder: Path, old: str, new: str) -> None:
    path = folder / "regie.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def _ledger(folder: Path, *statements: str) -> None:
    with closing(dbapi2.connect(folder / "orgs" / LEDGER / "data" / "ledger.db")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)


SPOILT = {
    "a setting that nothing reads": (
        lambda home: _append(home, "\n[telemetri]\notlp = 1\n"),
        ("warn", "settings", "telemetri"),
    ),
    "a quorum that cannot be": (
        lambda home: _replace(home, "quorum = 1", "quorum = 2"),
        ("fail", "settings", "quorum"),
    ),
    "an unknown setting of the pages": (
        lambda home: _replace(home, "[viewer]\n", "[viewer]\ncolour = 1\n"),
        ("fail", "settings", "colour"),
    ),
    "a receiver that has no address": (
        lambda home: _append(home, '\n[ldv]\nendpoint = "collector"\n'),
        ("fail", "settings", "[ldv] endpoint"),
    ),
    "a collector that has no address": (
        lambda home: _append(home, '\n[telemetry]\notlp = "collector"\n'),
        ("fail", "settings", "[telemetry] otlp"),
    ),
    "an unknown setting of the console": (
        lambda home: _replace(home, "[auditor]\n", "[auditor]\ncolour = 1\n"),
        ("fail", "settings", "colour"),
    ),
    "a key that others may read": (
        lambda home: (home / "orgs" / LAMPJE / "sign.key").chmod(0o644),
        ("fail", "keys", "mode 644"),
    ),
    "a folder that others may enter": (
        lambda home: (home / "orgs" / LAMPJE).chmod(0o755),
        ("warn", "keys", "mode 755"),
    ),
    "a key that is gone": (
        lambda home: (home / "orgs" / LAMPJE / "hpke.key").unlink(),
        ("fail", "keys", "hpke.key is not there"),
    ),
    "a key that is something else": (
        lambda home: (home / "orgs" / LAMPJE / "hedge.key").write_text("correct horse battery staple"),
        ("fail", "keys", "not hexadecimal"),
    ),
    "a log key that is none": (
        lambda home: (home / "orgs" / LEDGER / "log.key").write_text("PRIVATE+KEY+horse"),
        ("fail", "keys", "log.key"),
    ),
    "the authority's key for all to read": (
        lambda home: (home / "ca" / "ca.key").chmod(0o640),
        ("fail", "keys", "ca.key"),
    ),
    "a witness whose key others may read": (
        lambda home: (home / "witness" / "witness.key").chmod(0o604),
        ("fail", "keys", "witness.key"),
    ),
    "no authority": (lambda home: (home / "ca" / "ca.pem").unlink(), ("fail", "certificates", "ca.pem")),
    "no certificate": (lambda home: (home / "orgs" / LAMPJE / "tls.pem").unlink(), ("fail", "certificates", "tls.pem")),
    "what is no certificate": (
        lambda home: (home / "orgs" / LAMPJE / "tls.pem").write_text("none"),
        ("fail", "certificates", "is no certificate"),
    ),
    "another organisation's key": (
        lambda home: shutil.copy(home / "orgs" / LEDGER / "tls.key", home / "orgs" / LAMPJE / "tls.key"),
        ("fail", "certificates", "not the one of its certificate"),
    ),
    "another organisation's certificate": (
        lambda home: shutil.copy(home / "orgs" / LEDGER / "tls.pem", home / "orgs" / LAMPJE / "tls.pem"),
        ("fail", "certificates", "names OIN"),
    ),
    "a ledger of another schema": (
        lambda home: _ledger(home, "PRAGMA user_version = 3"),
        ("fail", "databases", "schema 3"),
    ),
    "no ledger": (
        lambda home: (home / "orgs" / LEDGER / "data" / "ledger.db").unlink(),
        ("fail", "databases", "cannot be read"),
    ),
    "a ledger whose pages are damaged": (
        lambda home: _overwrite(home / "orgs" / LEDGER / "data" / "ledger.db"),
        ("fail", "databases", "is damaged"),
    ),
    "a ledger that others may read": (
        lambda home: (home / "orgs" / LEDGER / "data" / "ledger.db").chmod(0o640),
        ("fail", "databases", "mode 640"),
    ),
}


@pytest.mark.parametrize("what", SPOILT)
async def test_what_is_spoilt_is_named_with_how_to_mend_it(folder, what):
    spoil, (level, area, text) = SPOILT[what]
    spoil(folder)
    found = await findings_of(folder)
    named = [one for one in found if (one.level, one.area) == (level, area) and text in one.what]
    assert named, not_ok(found)
    assert named[0].how
    assert exit_code(found) == (level == "fail")
    # Nothing else of the same weight is said about it than what follows from it.
    assert {one.area for one in found if one.level == "fail"} <= {area}


@pytest.mark.parametrize(
    ("odd", "level", "text"),
    [
        ({"valid_for": timedelta(days=-1)}, "fail", "expired on"),
        ({"valid_for": timedelta(days=9)}, "warn", "expires on"),
        ({"valid_since": timedelta(days=-1)}, "fail", "only valid from"),
        ({"foreign": True}, "fail", "not issued by the authority"),
        ({"serial_numbers": [LEDGER]}, "fail", "names OIN"),
        ({"serial_numbers": []}, "fail", "Subject.serialNumber"),
    ],
)
async def test_certificates_that_will_not_do(folder, tmp_path, odd, level, text):
    home = Home.open(folder)
    spoilt = with_certificate(home, LAMPJE, certificate(home, LAMPJE, **odd), tmp_path / "spoilt")
    assert [(level, "certificates")] == [(one[0], one[1]) for one in not_ok(await findings_of(spoilt.folder))]
    assert text in not_ok(await findings_of(spoilt.folder))[0][2]


async def test_an_authority_that_expired(folder):
    found = await findings_of(folder, lambda: system_clock() + 11 * 365 * DAY_MS)
    assert any("authority's certificate expired" in what for _, _, what in not_ok(found))


@pytest.mark.parametrize("what", ["gateway", "metrics of the gateway"])
async def test_an_address_that_somebody_has(folder, what):
    home = Home.open(folder)
    address = home.metrics["gateway"] if "metrics" in what else home.addresses["gateway"]
    host, _, port = address.partition(":")
    with socket.socket() as taken:
        taken.bind((host, int(port)))
        taken.listen()
        found = not_ok(await findings_of(folder))
    assert [(level, area) for level, area, _ in found] == [("fail", "addresses")]
    assert f"{address} of the {what} is in use" in found[0][2]


async def test_the_authoritys_key_in_a_home_that_is_no_demo(folder):
    _replace(folder, "demo = true", "demo = false")
    assert any("who reads it can be any organisation" in what for _, _, what in not_ok(await findings_of(folder)))


async def test_variables(folder, monkeypatch):
    monkeypatch.setenv("REGIE_LEASE_SECOND", "9")
    monkeypatch.setenv("REGIE_LEASE_SECONDS", "-9")
    found = not_ok(await findings_of(folder))
    assert [(level, area) for level, area, _ in found] == [("fail", "settings"), ("warn", "settings")]
    assert "REGIE_LEASE_SECONDS" in found[0][2]
    assert found[1][2].endswith("REGIE_LEASE_SECOND")


@pytest.mark.parametrize(("free", "level"), [(50, "ok"), (9, "warn"), (2, "fail")])
def test_room_on_the_disk(sound, free, level):
    case = Case(Home.open(sound), (), system_clock)
    (found,) = check_disk(case, lambda _: Usage(100 << 30, free << 30))
    assert (found.level, found.area) == (level, "disk")
    assert f"{free}%" in found.what


async def test_a_check_that_breaks_is_a_finding_without_the_exceptions_text(folder, monkeypatch):
    def broken(_):
        raise ValueError("999990019")

    monkeypatch.setattr("gateway.doctor.examine.BEFORE_A_START", (broken,))
    found = not_ok(await findings_of(folder))
    assert found == [("fail", "doctor", "broken could not be done (ValueError)")]


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([ok("a", "b"), warn("a", "b", "c")], 0),
        ([fail("a", "b", "c"), fail("a", "b", "c", reached=False)], 1),
        ([fail("a", "b", "c", reached=False), warn("a", "b", "c")], 3),
    ],
)
def test_exit_codes(findings, code):
    assert exit_code(findings) == code


async def test_no_home_and_a_home_without_organisations(tmp_path, folder):
    with pytest.raises(HomeError, match="is not a home"):
        await findings_of(tmp_path)
    shutil.rmtree(folder / "orgs")
    with pytest.raises(HomeError, match="holds no organisation"):
        await findings_of(folder)


def test_the_command_prints_no_secret_whatever_is_wrong(folder):
    """Keys that are well, and keys that are not what they should be."""
    (folder / "orgs" / LAMPJE / "hedge.key").write_text("correct horse battery staple")
    (folder / "orgs" / LEDGER / "log.key").write_text("PRIVATE+KEY+horse+0+" + "A" * 44)
    secrets = [path.read_text() for path in folder.rglob("*.key")]
    for arguments in ([], ["--json"]):
        result = CliRunner().invoke(app, ["doctor", "--offline", "--home", str(folder), *arguments])
        assert result.exit_code == 1
        for line in {line for secret in secrets for line in secret.split("\n") if line}:
            assert line not in result.output
        assert "horse" not in result.output
    said = json.loads(result.stdout)
    assert said["fail"] == 2 == sum(one["level"] == "fail" for one in said["findings"])
    assert set(said["findings"][0]) == {"level", "area", "what", "how", "reached"}


def metrics_say(monkeypatch, pages: dict[str, str]):
    """Answer as the addresses of metrics would; one that is not in ``pages`` does not."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path not in pages:
            raise httpx2.ConnectError("refused")
        return httpx2.Response(200, text=pages[request.url.path])

    client = httpx2.AsyncClient
    transport = httpx2.MockTransport(answer)
    monkeypatch.setattr(
        "gateway.doctor.telemetry.httpx2.AsyncClient", lambda **more: client(transport=transport, **more)
    )


ENDPOINT = '[ldv]\nendpoint = "http://127.0.0.1:4328/v1/traces"\n'
WELL = {
    "/healthz": '{"status": "ok"}',
    "/metrics": 'regie_spans_dropped_total{to="store"} 0.0\nregie_ldv_pending 0.0\n',
}


@pytest.mark.parametrize(
    ("pages", "setting", "found"),
    [
        (WELL, "", [("ok", "processing", "no receiver is named"), ("ok", "telemetry", "1 roles publish metrics")]),
        (WELL, ENDPOINT, [("ok", "processing", "every record"), ("ok", "telemetry", "1 roles publish metrics")]),
        ({}, "", [("warn", "telemetry", "the ledger publishes no metrics")]),
        (
            WELL | {"/healthz": '{"status": "starting"}'},
            "",
            [("warn", "telemetry", "says of itself: starting"), ("ok", "processing", "no receiver is named")],
        ),
        (
            WELL
            | {"/metrics": 'regie_spans_dropped_total{to="store"} 3.0\nregie_spans_dropped_total{to="otlp"} 4.0\n'},
            "",
            [("warn", "telemetry", "the ledger lost 7 spans")],
        ),
        (
            WELL | {"/metrics": "regie_ldv_pending 12.0\n"},
            ENDPOINT,
            [("warn", "processing", "12 entries of the log wait for the receiver"), ("ok", "telemetry", "")],
        ),
    ],
)
async def test_what_roles_say_of_themselves(folder, monkeypatch, pages, setting, found):
    _append(folder, f"\n{setting}")
    home = Home.open(folder)
    case = Case(replace(home, metrics={"ledger": home.metrics["ledger"]}), [home.operator("ledger")], system_clock)
    metrics_say(monkeypatch, pages)
    seen = await check_telemetry(case)
    assert [(one.level, one.area) for one in seen] == [(level, area) for level, area, _ in found]
    for one, (level, _, text) in zip(seen, found, strict=True):
        assert text in one.what
        assert bool(one.how) == (level != "ok")


async def test_metrics_of_roles_elsewhere_are_not_asked_for(folder):
    home = Home.open(folder)
    assert set(metrics_here(Case(home, [home.organisation(LAMPJE)], system_clock))) == {"witness"}
    shutil.rmtree(folder / "witness")
    assert metrics_here(Case(home, [home.organisation(LAMPJE)], system_clock)) == {}


@pytest.mark.parametrize(
    ("progress", "findings", "level", "text"),
    [
        ({}, [], "ok", "has read 90 of 100 entries"),
        ({"seen_ms": -600_000}, [], "warn", "has not heard of the ledger for 10 minutes"),
        ({}, [("unopenable", 0), ("unopenable", 0)], "fail", "2 entries of the log could not be opened"),
        ({}, [("forked", 1)], "fail", "stopped: the log forked"),
        ({}, [("went_back", 1)], "fail", "stopped: the log went back"),
    ],
)
def test_the_auditors_index(folder, progress, findings, level, text):
    home, now = Home.open(folder), system_clock()
    engine = create_engine(f"sqlite:///{home.operator('auditor').data / 'audit.db'}", module=dbapi2)
    for table in (PROGRESS, FINDING):
        table.create(engine)
    with engine.begin() as connection:
        reached = {"size": 90, "head_size": 100, "seen_ms": now + progress.get("seen_ms", 0)}
        connection.execute(insert(PROGRESS).values(id=1, **reached))
        for kind, stops in findings:
            connection.execute(insert(FINDING).values(found_ms=now, kind=kind, stops=stops))
    engine.dispose()
    (found,) = check_auditor(Case(home, [], lambda: now))
    assert (found.level, found.area) == (level, "auditor")
    assert text in found.what
