"""The console over a served town: traces, the log, witnesses, replay and what stands out (A4, A6-A12)."""

import asyncio
import html
import random
import re
import shutil
from contextlib import asynccontextmanager

import httpx2
import pytest
from typer.testing import CliRunner

from consent_ledger.log.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from consent_ledger.log.keys import parse_verifiers
from consent_ledger.log.note import Signer
from consent_ledger.registry import Registry
from consent_ledger.v1 import events_pb2
from consent_ledger.verify.leaves import read_entry
from consent_ledger.verify.snapshot import open_snapshot
from gateway.auditor.reports import open_report
from gateway.cli.app import app
from gateway.home import Home
from gateway.logkeys import KeyFile
from gateway.sdk.agency import Agency
from gateway.sdk.enrolfile import enrol_file
from gateway.sdk.importfile import import_file
from gateway.sdk.sendfile import send_file
from gateway.server import serving
from gateway.settings import Settings
from gateway.town.participants import LAMPJE, VIEWER, ZONNEVEEN
from tests.support import people
from tests.support.servers import entries_of, make_home
from tests.support.tampering import flipped_in, rows_of, set_column

PURPOSE, ITEM = "vroegsignalering-energie", "betalingsachterstand"
PERSONS = people.people(5)
FAST = Settings(directory_seconds=0.2, publish_seconds=0.2, grace_seconds=0.5)
PAGES = (
    *("/logboek", "/logboek?van=3&tot=20", "/getuigen", "/naspelen", "/opvallend", "/opvallend?dagen=28"),
    *("/doorlooptijd", "/doorlooptijd?dienst=ledger&uren=1", "/balie", "/wensen", "/wensen?stand=", "/traces"),
)


async def play(home, folder):
    """Five signals: four residents said yes; one delivery gets an outcome by a way that nobody chose."""
    async with serving(home, ("witness", "ledger", "pseudonyms", "gateway"), settings=FAST):
        async with Agency.open(home, ZONNEVEEN.oin) as municipality:
            await enrol_file(municipality, people.residents(folder / "residents.csv", PERSONS))
        answers = zip(PERSONS, ["JA"] * 4 + ["NEE"], strict=True)
        path = people.choices(folder / "choices.csv", answers, LAMPJE.oin, ZONNEVEEN.oin, PURPOSE, ITEM)
        async with Agency.open(home, VIEWER.oin) as portal:
            await import_file(portal, path)
        async with Agency.open(home, LAMPJE.oin) as sender:
            path = people.arrears(folder / "arrears.csv", PERSONS)
            await send_file(sender, path, purpose=PURPOSE, recipient=ZONNEVEEN.oin)
        async with Agency.open(home, ZONNEVEEN.oin) as agency:
            got = [delivery async for delivery in agency.recipient().deliveries() if not await delivery.done()]
            report = agency.recipient().report
            await report(got[0].delivery_id, offer="gesprek", channel="telefoon", when_ms=agency.clock())


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    folder = tmp_path_factory.mktemp("played")
    home = make_home(folder / "home")
    asyncio.run(play(home, folder))
    return home


@pytest.fixture
def home(played, tmp_path):
    """A copy of the town, which a test may do anything to."""
    return Home.open(shutil.copytree(played.folder, tmp_path / "home"))


@asynccontextmanager
async def console(home, *more):
    """The console of a home, and a browser that is logged in there for a case."""
    origin = f"http://{home.addresses['auditor']}"
    async with serving(home, ("witness", "ledger", *more, "auditor"), settings=FAST) as served:
        await served.ready()
        async with httpx2.AsyncClient(base_url=origin, headers={"Origin": origin}, timeout=30) as browser:
            entered = await browser.post("/nl/audit/inloggen", data={"zaak": "2026-001", "hoe": "demo", "wie": "femke"})
            assert entered.status_code == 303, entered.text
            size = open_checkpoint(head_note(home), parse_verifiers(home.log_verifier_key)).size
            await until(browser, "/nl/audit/logboek", lambda text: followed(text) >= size)
            yield browser


async def until(browser, path, is_there):
    """Look at a page until it shows something; the console works in the background."""
    for _ in range(200):
        text = shown(await browser.get(path))
        if is_there(text):
            return text
        await asyncio.sleep(0.05)
    raise AssertionError(f"{path} never showed it: {text}")


def shown(response):
    """The words of a page's content."""
    assert response.status_code == 200, response.text
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", response.text.partition("<main")[2])).split())


def followed(text):
    found = re.search(r"Regels die wij zelf controleerden ([0-9.]+)", text)
    return int(found[1].replace(".", "")) if found else 0


def head_note(home):
    with open_snapshot(home.operator("ledger").data / "ledger.db") as snapshot:
        return snapshot.head().checkpoint


def signers(home):
    return KeyFile.read(home.operator("ledger")).keys.signers


def events(home):
    with open_snapshot(home.operator("ledger").data / "ledger.db") as snapshot:
        return [events_pb2.Event.FromString(row.event) for rows in snapshot.rows() for row in rows if row.event]


def registry(home):
    found = enumerate(map(read_entry, entries_of(home)))
    return Registry.fold([(index, entry) for index, entry in found if not isinstance(entry, bytes)])


async def verified(home, path):
    """What `regie audit report verify` says of a file, in its first line."""
    command = ["audit", "report", "verify", str(path), "--as", home.operators["auditor"]]
    runner = CliRunner(env={"REGIE_HOME": str(home.folder)})
    found = await asyncio.to_thread(lambda: runner.invoke(app, command))
    return found.exit_code, found.stdout.partition("\n")[0]


def trace_id(home):
    (found,) = {e.exchange_decided.trace_id.hex() for e in events(home) if e.HasField("exchange_decided")}
    return found


async def test_every_page_in_both_languages_tells_nothing_of_residents_and_is_recorded(home):
    path = f"/traces/{trace_id(home)}"
    secrets = [value for person in PERSONS for value in (person.bsn, person.ref, person.address["postcode"])]
    with open_snapshot(home.operator("ledger").data / "ledger.db") as snapshot:
        rows = [row for rows in snapshot.rows() for row in rows if row.salt]
    links = [link.subject for row in rows for link in events_pb2.PrivatePart.FromString(row.private).links]
    secrets += [value.hex() for value in (*(row.salt for row in rows), *links)]
    async with console(home) as browser:
        for language, page in [(language, page) for language in ("nl", "en") for page in (*PAGES, path)]:
            response = await browser.get(f"/{language}/audit{page}")
            assert response.status_code == 200, (page, response.text)
            assert not [secret for secret in secrets if secret.lower() in response.text.lower()], page
        wishes = shown(await browser.get("/nl/audit/wensen"))
    assert re.search(r"R-[A-Z2-7]{4}-[A-Z2-7]{4}", wishes), "residents have a number of the case"
    assert "een andere weg dan gekozen" in wishes
    pages = {event.audit_accessed.page for event in events(home) if event.HasField("audit_accessed")}
    assert pages >= {
        *("audit_log", "audit_witness", "audit_replay", "audit_unusual", "audit_latency"),
        *("audit_desk", "audit_wishes", "audit_traces", "audit_trace"),
    }


async def test_an_address_that_means_nothing_says_so(home):
    async with console(home) as browser:
        for page in (
            "/opvallend?dagen=3",
            "/doorlooptijd?uren=x",
            "/wensen?stand=x",
            "/logboek?van=x",
            "/traces?trace=x",
        ):
            assert (await browser.get(f"/nl/audit{page}")).status_code == 400, page
        for page in ("/naspelen/77", "/naspelen/77/verslag", f"/traces/{'0' * 32}", "/traces/x"):
            assert (await browser.get(f"/nl/audit{page}")).status_code == 404, page
        proof = shown(await browser.get("/nl/audit/logboek?van=5000"))
        assert "Dit is niet bewezen" in proof
        found = await browser.get(f"/nl/audit/traces?trace={trace_id(home).upper()}")
        assert found.headers["location"] == f"/nl/audit/traces/{trace_id(home)}"


async def test_the_waterfall_shows_the_organisations_in_order(home):
    async with console(home) as browser:
        text = shown(await browser.get(f"/nl/audit/traces/{trace_id(home)}"))
        order = ["submission", "SubmitBatch", "EvaluateSignals", "Decide", "5 besluiten", "keep", "delivery", "Release"]
        places = [text.index(word) for word in order]
        assert places == sorted(places)
        whose = [text.index(name) for name in ("Lampje Energie", "Doorgeefluik", "Keuzeregister", "Zonneveen")]
        assert whose == sorted(whose)
        assert "Geen spoor ontvangen" not in text
        assert "5 besluiten bij dit spoor" in text
        for path in home.organisation(ZONNEVEEN.oin).data.glob("spans.db*"):
            path.unlink()
        text = shown(await browser.get(f"/nl/audit/traces/{trace_id(home)}"))
        assert text.count("Geen spoor ontvangen van") == 1
        assert "Geen spoor ontvangen van Gemeente Zonneveen" in text


async def test_a_pasted_fork_is_named_and_old_new_and_foreign_are_told_apart(home):
    (signer,) = signers(home)
    newest = open_checkpoint(head_note(home), [signer.verifier])
    elsewhere = Signer("elders.example/log", bytes(32))

    async def paste(browser, checkpoint, by=signer):
        note = sign_checkpoint(checkpoint, [by])
        return shown(await browser.post("/nl/audit/getuigen", data={"checkpoint": note.replace("\n", "\r\n")}))

    async with console(home) as browser:
        forked = await paste(browser, Checkpoint(newest.origin, 7, b"\x01" * 32))
        assert "Een vork" in forked
        assert "01" * 32 in forked
        assert f"{signer.name}+{signer.verifier.key_id.hex()}" in forked
        ours = re.search(r"Wortel van ons logboek bij dat aantal ([0-9a-f]{64})", forked)[1]
        assert "een oudere stand van ons logboek" in await paste(
            browser, Checkpoint(newest.origin, 7, bytes.fromhex(ours))
        )
        ahead = await paste(browser, Checkpoint(newest.origin, 9_999, bytes(32)))
        assert "nieuwer dan wat het logboek ons laat zien" in ahead
        assert "een ander logboek" in await paste(browser, Checkpoint(elsewhere.name, 7, bytes(32)), elsewhere)
        false = await paste(browser, newest, Signer(newest.origin, bytes(32)))
        assert "Geen sleutel van ons logboek tekende dit" in false
        assert (await browser.post("/nl/audit/getuigen", data={"checkpoint": " "})).status_code == 422


async def test_a_replay_runs_reports_and_its_report_can_be_shown_elsewhere(home):
    async with console(home, "pseudonyms", "gateway") as browser:
        assert (await browser.post("/nl/audit/naspelen", data={"van": "9", "tot": "3"})).status_code == 422
        started = await browser.post("/nl/audit/naspelen", data={"van": "", "tot": ""})
        assert started.headers["location"] == "/nl/audit/naspelen/1"
        text = await until(browser, "/nl/audit/naspelen/1", lambda text: "Alles klopt" in text)
        assert re.search(r"Besluit 5 0 0 0", text)
        report = await browser.get("/nl/audit/naspelen/1/verslag")
        found, signer, _ = open_report(report.text, registry(home))
        assert (signer, found["mismatch"], found["by_kind"]["decided"]) == (home.operators["auditor"], 0, {"match": 5})
        path = home.folder / "report.json"
        path.write_bytes(report.content)
        assert await verified(home, path) == (0, f"signed by {registry(home).participant(signer).name} ({signer})")
        path.write_text(report.text.replace('"size": ', '"size": 1'), "utf-8")
        assert (await verified(home, path))[0] == 1
        again = await browser.post("/nl/audit/naspelen/verslag", files={"verslag": ("r.json", report.content)})
        assert "Getekend door" in shown(again)
        changed = report.text.replace('"mismatch": 0', '"mismatch": 1')
        refused = await browser.post("/nl/audit/naspelen/verslag", files={"verslag": ("r.json", changed.encode())})
        assert refused.status_code == 422
        assert "het verslag is veranderd" in refused.text
        received = shown(await browser.get("/nl/audit/naspelen"))
        assert "Gemeente Zonneveen 4 4 0 1" in received
    kinds = [event.audit_accessed.act for event in events(home) if event.audit_accessed.page.startswith("replay_")]
    assert set(kinds) == {events_pb2.AUDIT_ACT_REPLAY, events_pb2.AUDIT_ACT_EXPORT}


async def test_a_tampered_row_makes_the_log_and_the_replay_red(home):
    path = home.operator("ledger").data / "ledger.db"
    row = next(
        row
        for row in rows_of(path, "payload")
        if events_pb2.Event.FromString(row["event"]).HasField("exchange_decided")
    )
    set_column(path, "payload", row, "event", flipped_in(path, "payload", row, "event", random.Random(1)))
    async with console(home) as browser:
        await browser.post("/nl/audit/naspelen", data={})
        text = await until(browser, "/nl/audit/naspelen/1", lambda text: "klopt iets niet" in text)
        assert f"Regel {row['idx']}: niet te openen" in text
        await browser.post("/nl/audit/logboek/controle", data={})
        text = await until(browser, "/nl/audit/logboek", lambda text: "rijen die niet kloppen" in text)
        assert f"payload {row['idx']}" in text
        assert 'class="light wrong"' in (await browser.get("/nl/audit/logboek")).text
