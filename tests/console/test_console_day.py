"""A day of 300 exchanges over real gRPC: the same numbers wherever one counts, and nobody to be recognised."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import sqlite3
import zipfile
from collections import Counter

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.verify.subjects import Subjects
from tests.support.console import PLANTED, auditor_at
from tests.support.scenario import BILL


def figures(text: str) -> list[int]:
    """The figures of a page, in its order."""
    return [int(found.replace(".", "")) for found in re.findall(r"<strong>([\d.]+)</strong> <span>", text)]


def total(text: str) -> int:
    """How many exchanges the list says it chooses."""
    found = re.search(r"<strong>([\d.]+) uitwisseling", text)
    assert found, text
    return int(found[1].replace(".", ""))


async def exported(auditor, path: str) -> tuple[dict, str]:
    """The manifest and the data of an export."""
    with zipfile.ZipFile(io.BytesIO(await auditor.bytes(path))) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        data = archive.read(manifest["file"])
    assert hashlib.sha256(data).hexdigest() == manifest["sha256"]
    return manifest, data.decode()


async def test_overview_ledger_facets_and_export_count_the_same(audited):
    decisions = audited.decisions()
    refused = sum(not body.permitted for body, _ in decisions.values())
    prohibited = sum(reason == pb.REASON_PURPOSE_PROHIBITED for _, reason in decisions.values())
    number = len(decisions)
    assert (audited.day.sent, prohibited) == (300, 1)
    assert number in {300, 301}  # another test may have sent one more

    withheld = sum(one.event.HasField("exchange_withheld") for one in audited.opened())
    assert withheld == 3  # all that waited for the one who withdrew
    assert figures(await audited.auditor.get("/nl/audit"))[:4] == [number, refused, prohibited, withheld]

    text = await audited.auditor.get("/nl/audit/uitwisselingen")
    assert total(text) == number
    groups = re.findall(r'<div class="facet">(.*?)</div>', text, re.DOTALL)
    sums = [sum(int(n) for n in re.findall(r"<span>(\d+)</span></a>", group)) for group in groups]
    permitted = number - refused
    assert sums == [number] * 4 + [number + permitted]  # the last also offers all that are permitted, together

    manifest, data = await exported(audited.auditor, "/nl/audit/uitvoer/csv")
    rows = list(csv.DictReader(io.StringIO(data)))
    assert manifest["rows"] == len(rows) == number
    assert Counter(row["sender"] for row in rows) == Counter(body.sender for body, _ in decisions.values())
    assert {int(row["log_index"]) for row in rows} == set(decisions)
    reasons = {index: pb.Reason.Name(reason).removeprefix("REASON_") for index, (_, reason) in decisions.items()}
    assert {int(row["log_index"]): row["reason"] for row in rows if row["state"] != "withheld"} == {
        index: reason for index, reason in reasons.items() if rows_by(rows)[index]["state"] != "withheld"
    }


def rows_by(rows: list[dict]) -> dict[int, dict]:
    return {int(row["log_index"]): row for row in rows}


async def test_each_number_of_the_matrix_leads_to_exactly_so_many(audited):
    text = await audited.auditor.get("/nl/audit")
    table = text[text.index("matrix") :]
    cells = re.findall(r'<a href="(/nl/audit/uitwisselingen\?[^"]+)"><strong>([\d.]+)</strong></a>', table)
    assert sum(int(number) for _, number in cells) == len(audited.decisions())
    assert len(cells) == 4
    for address, number in cells:
        assert total(await audited.auditor.get(address.replace("&amp;", "&"))) == int(number)


async def test_pages_of_the_list_hold_each_exchange_once(audited):
    seen, address = [], "/nl/audit/uitwisselingen"
    while address:
        text = await audited.auditor.get(address)
        seen += [int(found) for found in re.findall(r'href="/nl/audit/beslissing/(\d+)"', text)]
        older = re.search(r'rel="next" href="([^"]+)"', text)
        address = older[1].replace("&amp;", "&") if older else ""
    assert seen == sorted(audited.decisions(), reverse=True)


async def test_the_fishing_sender_stands_out_among_the_refused(audited):
    text = await audited.auditor.get("/nl/audit/uitwisselingen?stand=refused")
    assert "Stroomtuin" in text[text.index("Wat valt op") : text.index("Lijst, nieuwste eerst")]


async def test_one_decision_is_judged_again_with_its_rules_proof_and_words(audited):
    decisions = audited.decisions()
    for reason, words in (
        (pb.REASON_ALLOWED, "U gaf hiervoor toestemming"),
        (pb.REASON_REFUSED, "U koos"),
        (pb.REASON_PAUSED, "pauze"),
        (pb.REASON_NO_CONSENT, "nog niets gekozen"),
        (pb.REASON_AWAITING_RESIDENT, "vraag"),
        (pb.REASON_PURPOSE_PROHIBITED, "is verboden"),
    ):
        (index, *_) = [index for index, (_, found) in decisions.items() if found == reason]
        text = await audited.auditor.get(f"/nl/audit/beslissing/{index}")
        assert "De uitkomst is dezelfde als in het logboek." in text, reason
        assert text.count('class="objects"') == (reason != pb.REASON_ALLOWED)
        passed = 16 if reason == pb.REASON_ALLOWED else reason - 1
        assert text.count('class="passes"') == passed
        assert words in text


async def test_a_decision_that_was_looked_at_is_in_the_residents_record_and_in_the_access_page(audited):
    (wim,) = audited.town.visitors.values()
    await audited.town.report(wim, BILL)
    exchange = await audited.town.newest(wim)
    await audited.auditor.caught_up(exchange.log_index)
    await audited.auditor.get(f"/nl/audit/beslissing/{exchange.log_index}")
    await audited.auditor.get(f"/nl/audit/beslissing/{exchange.log_index}")  # the same once more: recorded once
    looked = [
        one
        for one in audited.opened()
        if one.event.HasField("audit_accessed") and one.event.audit_accessed.about == exchange.log_index + 1
    ]
    assert len(looked) == 1
    body = looked[0].event.audit_accessed
    assert (body.case, body.page, body.act) == ("2026-014", "decision", pb.AUDIT_ACT_VIEW)
    subjects = {link.subject for link in looked[0].private.links}
    decided = next(one for one in audited.opened() if one.idx == exchange.log_index)
    assert subjects == {link.subject for link in decided.private.links}
    await audited.auditor.caught_up(looked[0].idx)
    text = await audited.auditor.get("/nl/audit/inzage")
    assert f"/nl/audit/beslissing/{exchange.log_index}" in text


async def test_what_is_not_about_one_decision_is_about_nobody(audited):
    await audited.auditor.get("/nl/audit/weigeringen?vanaf=2020-01-01")
    await exported(audited.auditor, "/nl/audit/uitvoer/jsonl?stand=refused")
    found = [one for one in audited.opened() if one.event.HasField("audit_accessed")]
    pages = {(one.event.audit_accessed.page, one.event.audit_accessed.act) for one in found}
    assert {("refusals", pb.AUDIT_ACT_VIEW), ("export", pb.AUDIT_ACT_EXPORT)} <= pages
    assert all(bool(one.private.links) == bool(one.event.audit_accessed.about) for one in found)
    await audited.auditor.caught_up(found[-1].idx)
    with sqlite3.connect(f"file:{audited.audit_db}?mode=ro", uri=True) as database:
        shown = set(database.execute("SELECT idx FROM access"))
    assert {(one.idx,) for one in found} <= shown


async def test_the_same_resident_has_another_number_in_another_case(audited):
    async with auditor_at(audited.town) as other:
        await other.log_in("2026-015")
        here = re.findall(r"R-[A-Z2-7]{4}-[A-Z2-7]{4}", await audited.auditor.get("/nl/audit/uitwisselingen"))
        there = re.findall(r"R-[A-Z2-7]{4}-[A-Z2-7]{4}", await other.get("/nl/audit/uitwisselingen"))
    assert len(here) == len(there) > 0
    assert not set(here) & set(there)


async def test_nothing_that_says_who_is_in_any_page_export_or_file(audited):
    subjects = Subjects()
    salts, known = [], []
    with sqlite3.connect(f"file:{audited.ledger}?mode=ro", uri=True) as ledger:
        salts = [row[0] for row in ledger.execute("SELECT salt FROM payload")]
    for one in audited.opened():
        subjects.add(one.idx, one.commitment, one.private)
    known = list(subjects.all)
    people = audited.day.people
    words = [*PLANTED, *(one.resident.bsn.number for one in people), *(one.resident.address.postcode for one in people)]
    artefacts = [path.read_bytes() for path in audited.audit_db.parent.glob("audit.db*")]
    some = list(audited.decisions())[::60]
    pages = (
        *("/nl/audit", "/nl/audit/uitwisselingen", "/en/audit/uitwisselingen?stand=permitted", "/nl/audit/weigeringen"),
        *("/nl/audit/uitvoer", "/nl/audit/inzage", *(f"/nl/audit/beslissing/{index}" for index in some)),
    )
    files = ("csv", "jsonl", "otlp", f"bewijs/{some[0]}")
    artefacts += [(await audited.auditor.get(path)).encode() for path in pages]
    artefacts += [(await exported(audited.auditor, f"/nl/audit/uitvoer/{path}"))[1].encode() for path in files]
    assert len(artefacts) > 12
    for content in artefacts:
        for word in words:
            assert word.encode() not in content, word
        for secret in (*salts, *known):
            assert secret not in content
            assert secret.hex().encode() not in content


async def test_otlp_lines_are_requests_of_opentelemetry(audited):
    _, data = await exported(audited.auditor, "/nl/audit/uitvoer/otlp?stand=permitted")
    lines = [json.loads(line) for line in data.splitlines()]
    assert lines
    for line in lines:
        request = json_format.ParseDict(line, ExportTraceServiceRequest())
        (span,) = request.resource_spans[0].scope_spans[0].spans
        assert span.end_time_unix_nano >= span.start_time_unix_nano > 0


async def test_nonsense_in_the_address_is_a_clear_page(audited):
    for query in ("van=1", "reden=99", "reden=x", "stand=weg", "vanaf=2026-13-01", "tot=gisteren", "bewoner=-1", "x=1"):
        text = await audited.auditor.get(f"/nl/audit/uitwisselingen?{query}", 400)
        assert f"‘{query.split('=')[0]}’" in text
    assert "Niets gevonden" in await audited.auditor.get("/nl/audit/uitwisselingen?bewoner=999999999")
    await audited.auditor.get("/nl/audit/beslissing/999999999", 404)
    await audited.auditor.get("/nl/audit/beslissing/0", 404)  # a public event
    await audited.auditor.get("/nl/audit/uitvoer/exe", 404)


async def test_nobody_looks_without_logging_in_for_a_case(audited):
    async with auditor_at(audited.town) as stranger:
        for path in ("/nl/audit", "/nl/audit/uitwisselingen", "/nl/audit/uitvoer/csv", "/nl/audit/inzage"):
            answer = await stranger.http.get(path)
            assert (answer.status_code, answer.headers["location"]) == (303, "/nl/audit/inloggen")
        for case in ("", "x", "Jan de Vries", "zonder-cijfer", "1" * 40):
            answer = await stranger.log_in(case)
            assert answer.status_code == 422
        assert (await stranger.http.get("/audit/uitwisselingen?stand=refused")).headers["location"] == (
            "/nl/audit/uitwisselingen?stand=refused"
        )
