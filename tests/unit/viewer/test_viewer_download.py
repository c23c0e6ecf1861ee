"""What a resident takes along or has erased: /mijn/download, /mijn/afdruk, /mijn/wissen (R23, R24, R41)."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
from starlette.testclient import TestClient

from consent_ledger.v1 import consents_pb2, events_pb2
from consent_ledger.verify.receipt import verify_receipt
from consent_ledger.viewer.export import everything as whole
from consent_ledger.viewer.export import proofs, receipts
from tests.support.ledger import ARREARS, CITY, OTHER_SUPPLIER, SUPPLIER, scope
from tests.support.portal import ANNA, BY_WEB, MemoryPortal, grant
from tests.support.viewer import ORIGIN, log_in, post, viewer_client

PATH = "/nl/mijn/download"
FIELDS_27560 = [
    "schema_version",
    "record_id",
    "pii_principal_id",
    "notice",
    "language",
    "purpose",
    "lawful_basis",
    "pii_information",
    "pii_controllers",
    "storage_locations",
    "retention_period",
    "jurisdiction",
    "recipient_third_parties",
    "withdrawal_method",
    "event_time",
    "validity_duration",
    "entity_id",
    "event_type",
    "event_state",
]


@pytest.fixture
async def portal() -> MemoryPortal:
    """Anna said yes, no, and stopped something; one signal was shared and one stopped; she asked a question."""
    made = MemoryPortal()
    rows = await made.rows(ANNA)
    other = scope(sender=OTHER_SUPPLIER)
    await made.change(rows, BY_WEB, grant(), events_pb2.Preferences(same_person=True))
    made.collect(made.send(ANNA))
    await made.change(rows, BY_WEB, consents_pb2.Refuse(scope=other))
    made.send(ANNA, sender=OTHER_SUPPLIER)
    await made.ask(rows, BY_WEB, organisation=CITY, purpose=ARREARS, text="Waarom?")
    return made


@pytest.fixture
def anna(portal: MemoryPortal) -> Iterator[TestClient]:
    client = viewer_client(portal)
    log_in(client)
    yield client
    portal.close()


def keys_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for each in value.values():
            yield from keys_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from keys_in(each)


async def test_everything_is_in_the_file_with_names_and_times(portal: MemoryPortal, anna: TestClient) -> None:
    answer = anna.get(f"{PATH}/gegevens.json")
    assert answer.headers["content-disposition"] == 'attachment; filename="regie-gegevens.json"'
    assert answer.headers["cache-control"] == "no-store"
    found = answer.json()
    assert (found["format"], found["made"], found["complete"]) == ("regie/download/1", "2026-01-01T00:00:00.000Z", True)
    assert len(found["choices"]) == 2
    assert [each["reason"] for each in found["exchanges"]] == ["REASON_REFUSED", "REASON_ALLOWED"]
    assert found["exchanges"][1]["released_index"] > 0
    assert found["questions"][0]["text"] == "Waarom?"
    assert set(found["organisations"]) == {SUPPLIER, OTHER_SUPPLIER, CITY}
    assert found["preferences"]["same_person"]
    assert not [key for key in keys_in(found) if key.endswith("_ms") or "sealed" in key]
    assert "999990019" not in answer.text


async def test_a_long_history_is_whole_or_says_that_it_is_not(
    portal: MemoryPortal, anna: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole, "_PAGE", 1)
    assert len(anna.get(f"{PATH}/gegevens.json").json()["exchanges"]) == 2
    monkeypatch.setattr(whole, "MOST_PAGES", 1)
    found = anna.get(f"{PATH}/gegevens.json").json()
    assert (len(found["exchanges"]), found["complete"]) == (1, False)


async def test_a_receipt_has_every_field_of_the_standard(portal: MemoryPortal, anna: TestClient) -> None:
    await portal.change(await portal.rows(ANNA), BY_WEB, consents_pb2.Withdraw(scope=scope()))
    answer = anna.get(f"{PATH}/toestemmingen.json")
    assert answer.headers["content-type"] == "application/ld+json"
    found = answer.json()
    records = {each["record_id"]: each for each in found["@graph"]}
    assert len(records) == 2
    given = next(each for each in records.values() if len(each["events"]) == 2)
    assert set(FIELDS_27560) <= set(keys_in(given))
    assert set(FIELDS_27560) <= set(found["@context"])  # each has a meaning in DPV
    assert [each["event_state"] for each in given["events"]] == ["dpv:ConsentGiven", "dpv:ConsentWithdrawn"]
    refused = next(each for each in records.values() if each is not given)
    assert [each["event_state"] for each in refused["events"]] == ["dpv:ConsentRefused"]
    assert given["schema_version"] == receipts.PROFILE
    assert given["withdrawal_method"].startswith(f"{ORIGIN}/nl/mijn/toestemmingen/")
    assert given["processing"]["purpose"]["purpose_type"].endswith("#DebtManagement")
    assert {"@id": "eu-gdpr:A6-1-a"} in given["processing"]["lawful_basis"]


async def test_the_proofs_hold_without_us(portal: MemoryPortal, anna: TestClient) -> None:
    answer = anna.get(f"{PATH}/bewijzen-1.zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        vkey = archive.read("log.keys").decode().strip()
        indices = sorted(int(name.split(".")[0]) for name in names if name.endswith(".tlog-proof"))
        for index in indices:
            proven = verify_receipt(archive.read(f"{index}.tlog-proof").decode(), vkey)
            private = sha256(b"regie/private/v1" + archive.read(f"{index}.private")).digest()
            assert (proven.index, proven.event.private_digest) == (index, private)
    assert indices
    assert indices == sorted(await proofs.entries(portal, await portal.rows(ANNA)))[: len(indices)]


async def test_many_proofs_come_in_parts(
    portal: MemoryPortal, anna: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consent_ledger.viewer.pages.download.PER_FILE", 3)
    assert "bewijzen-1.zip" not in anna.get(PATH).text, "they are counted off when that is asked for"
    parts = re.findall(r"bewijzen-(\d+)\.zip", anna.get(f"{PATH}?bewijzen=alle").text)
    assert len(parts) > 1
    found: list[str] = []
    for part in parts:
        with zipfile.ZipFile(io.BytesIO(anna.get(f"{PATH}/bewijzen-{part}.zip").content)) as archive:
            found += [name for name in archive.namelist() if name.endswith(".tlog-proof")]
    assert len(found) == len(set(found))
    assert anna.get(f"{PATH}/bewijzen-{len(found)}.zip").status_code == 404
    assert anna.get(f"{PATH}/bewijzen-0.zip").status_code == 404


async def test_a_download_is_in_the_access_log(portal: MemoryPortal, anna: TestClient) -> None:
    anna.get(PATH)  # looking is no download
    kinds = [each.kind for each in (await portal.others(await portal.rows(ANNA))).views]
    assert events_pb2.VIEW_KIND_DOWNLOAD not in kinds
    anna.get(f"{PATH}/toestemmingen.json")
    kinds = [each.kind for each in (await portal.others(await portal.rows(ANNA))).views]
    assert kinds.count(events_pb2.VIEW_KIND_DOWNLOAD) == 1


async def test_somebody_else_takes_nothing_of_it_along(portal: MemoryPortal) -> None:
    ben = viewer_client(portal)
    log_in(ben, "ben")
    found = ben.get(f"{PATH}/gegevens.json").json()
    assert (found["choices"], found["exchanges"], found["questions"]) == ([], [], [])
    assert ben.get(f"{PATH}/toestemmingen.json").json()["@graph"] == []
    portal.close()


async def test_on_paper_is_what_counts_with_a_slip_to_stop(anna: TestClient) -> None:
    shown = anna.get("/nl/mijn/afdruk").text
    for expected in ("Ja (Geldt nu)", "Nee (Nee)", "Gedeeld. U gaf hiervoor", "Stoppen op papier", "Handtekening"):
        assert expected in shown


async def test_erasing_shows_first_what_disappears_and_needs_a_yes(portal: MemoryPortal, anna: TestClient) -> None:
    shown = anna.get("/nl/mijn/wissen").text
    assert "uw keuzes, wat er gedeeld of tegengehouden is" in shown
    assert 'href="/nl/mijn/wissen?tellen=ja"' in shown
    counted = anna.get("/nl/mijn/wissen?tellen=ja").text
    assert "Wat er gedeeld of tegengehouden is" in counted
    assert " checked" not in shown + counted
    assert post(anna, "/nl/mijn/wissen").status_code == 422
    assert len((await portal.record(await portal.rows(ANNA))).choices) == 2


async def test_before_erasing_one_reads_who_received_something_and_whom_to_ask(
    portal: MemoryPortal, anna: TestClient
) -> None:
    """GDPR art. 19: the recipients are told by pausing first; a notice of the erasure would name its entries."""
    shown = anna.get("/nl/mijn/wissen").text
    received = shown[shown.index("Wie al iets van u kreeg") : shown.index("Daarna</h2>")]
    registry = await portal.registry()
    assert registry.participant(CITY).name in received
    assert registry.participant(SUPPLIER).name not in received
    assert 'href="/nl/mijn/pauze"' in received
    assert 'href="/nl/mijn/vragen/nieuw"' in received
    post(anna, "/nl/mijn/wissen", {"zeker": "ja"})
    assert "Wie al iets van u kreeg" not in anna.get("/nl/mijn/wissen").text


async def test_pausing_before_erasing_tells_who_has_something_to_stop(portal: MemoryPortal, anna: TestClient) -> None:
    post(anna, "/nl/mijn/pauze", {"doe": "pauze"})
    notices = (await portal.record(await portal.rows(ANNA))).notices
    assert {notice.recipient for notice in notices} == {CITY}


async def test_after_erasing_nothing_is_left_and_nothing_is_shared(portal: MemoryPortal, anna: TestClient) -> None:
    done = post(anna, "/nl/mijn/wissen", {"zeker": "ja"})
    assert "Alles is gewist" in done.text
    record = await portal.record(await portal.rows(ANNA))
    assert not record.choices
    assert not record.exchanges
    portal.send(ANNA)
    (newest,) = (await portal.record(await portal.rows(ANNA))).exchanges
    assert newest.reason == events_pb2.REASON_NO_CONSENT


async def test_pages_that_are_not_in_the_menu_can_be_found(anna: TestClient) -> None:
    reached, todo = set[str](), ["/nl/mijn"]
    while todo:
        here = todo.pop()
        if here not in reached and not here.endswith((".json", ".zip")):
            reached.add(here)
            todo += re.findall(r'href="(/nl/mijn[^"?#]*)', anna.get(here).text)
    for page in ("verandering", "machtigingen", "machtigingen/nieuw", "afdruk", "download", "wissen", "vragen/nieuw"):
        assert f"/nl/mijn/{page}" in reached
