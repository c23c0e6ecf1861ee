"""Records of agencies, from their own books: what waits for an answer holds up nothing, and nothing goes twice."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from pysqlite3 import dbapi2

from consent_ledger.v1 import batch_pb2, events_pb2
from gateway.ldv.agencybooks import RECEIVED_KIND, SENT_KIND, Maker, ReceivedBook, SentBook, agency_books
from gateway.ldv.book import LdvError, Standing
from gateway.ldv.collector import LinesFile
from gateway.ldv.follow import Exporter, export_all
from gateway.ldv.settings import LdvSettings
from gateway.ldv.state import State
from gateway.sdk import later, outcomestore
from gateway.sdk.inbox import BatchRecord, Inbox, SignalRecord
from gateway.sdk.outbox import Answer, OpenBatch, Outbox
from gateway.sdk.outcomestore import Reported, outcome_database
from tests.support.ldv import SETTINGS, SUBJECTS, check, organisation, read_lines
from tests.support.ledger import CITY, NOW, SUPPLIER

NO, YES = events_pb2.OUTCOME_GEEN_TOESTEMMING, events_pb2.OUTCOME_ACCEPTED


@pytest.fixture
def supplier(tmp_path):
    return Maker(SETTINGS, SUBJECTS, organisation(tmp_path, SUPPLIER))


@pytest.fixture
def city(tmp_path):
    return Maker(SETTINGS, SUBJECTS, organisation(tmp_path, CITY))


def batch(number: int, keys) -> OpenBatch:
    header = batch_pb2.BatchHeader(created_ms=NOW + number).SerializeToString()
    name = number.to_bytes(16, "big")
    keys = tuple(key.ljust(32, b"\0") for key in keys)
    return OpenBatch(name, CITY, "vroegsignalering-energie", header, b"", b"bytes", keys, NOW + 10**6)


async def answer(outbox, run, sent, *outcomes):
    await outbox.answer(run, sent, Answer(outcomes, b"", b""), later.Changes(b""))


async def exported(book, state) -> list:
    """Export what waits into lines, and read them."""
    text = io.StringIO()
    with ThreadPoolExecutor(1) as thread:
        await export_all(Exporter(book, state, thread), _Memory(text))
    return text.getvalue().splitlines()


class _Memory(LinesFile):
    def _write(self, resource, items) -> None:
        self._file.writelines(f"{item.record.name} {item.place}\n" for item in items)


def reference(name: bytes) -> bytes:
    return name.ljust(16, b"\1")


async def test_a_batch_without_an_answer_holds_up_no_other_and_comes_in_its_turn(supplier):
    ours = supplier.organisation
    with Outbox.open(ours) as outbox, State.open(ours) as state:
        run = await outbox.begin(b"d", NOW)
        first, second, third = batch(1, [b"a", b"b"]), batch(2, [b"c"]), batch(3, [b"d"])
        for sent, names in ((first, [b"a", b"b"]), (second, [b"c"]), (third, [b"d"])):
            await outbox.store(run, sent, [reference(name) for name in names])
        await answer(outbox, run, second, NO)
        book = SentBook(supplier)
        assert book.pending(await state.standing(book)) == 1
        assert await exported(book, state) == ["signaal-aanbieden 131072"]
        await answer(outbox, run, first, YES, NO)
        assert await exported(book, state) == ["signaal-aanbieden 65536", "signaal-aanbieden 65537"]
        assert await exported(book, state) == []
        await outbox.abandon(third)
        assert await exported(book, state) == []
        await outbox.store(run, batch(4, [b"d"]), [reference(b"d")])
        await answer(outbox, run, batch(4, [b"d"]), YES)
        assert await exported(book, state) == ["signaal-aanbieden 262144"]
        standing = await state.standing(book)
        assert (standing.next, standing.beyond) == (5, frozenset()), "nothing is kept of what is done"


async def test_a_sent_row_is_named_by_its_reference_and_one_offered_again_since_by_nobody(supplier):
    ours = supplier.organisation
    with Outbox.open(ours) as outbox:
        run = await outbox.begin(b"d", NOW)
        await outbox.store(run, batch(1, [b"a", b"b"]), [reference(b"a"), reference(b"b")])
        await answer(outbox, run, batch(1, [b"a", b"b"]), NO, NO)
        await outbox.store(run, batch(2, [b"a"]), [reference(b"a")])
        await answer(outbox, run, batch(2, [b"a"]), YES)
    again, kept, newest = SentBook(supplier).read(Standing()).items
    assert again.anonymous
    assert again.record.name == "signaal-aanbieden (betrokkene niet meer bekend)"
    text = str(kept.record.attributes["dpl.core.data_subject_id"])
    assert SUBJECTS.decrypt(SENT_KIND, text) == reference(b"b")
    assert newest.record.attributes["nl.regie.outcome"] == "accepted"
    assert (newest.record.start_ms, newest.record.end_ms) == (NOW + 2, NOW + 2)
    assert again.record.trace_id == kept.record.trace_id != newest.record.trace_id


async def test_a_sent_record_is_in_the_trace_of_its_submission(supplier):
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    sent = replace(batch(1, [b"a"]), traceparent=f"00-{trace}-{span}-01")
    with Outbox.open(supplier.organisation) as outbox:
        run = await outbox.begin(b"d", NOW)
        await outbox.store(run, sent, [reference(b"a")])
        await answer(outbox, run, sent, YES)
    (found,) = SentBook(supplier).read(Standing()).items
    assert (found.record.trace_id.hex(), found.record.parent_span_id.hex()) == (trace, span)
    older = dbapi2.connect(supplier.organisation.data / "outbox.db")
    older.execute("ALTER TABLE sent_batch DROP COLUMN traceparent")
    older.commit()
    older.close()
    (found,) = SentBook(supplier).read(Standing()).items
    assert found.record.parent_span_id == b"", "an outbox made before there were traces is read too"


def signal(at: int) -> SignalRecord:
    name = at.to_bytes(16, "big")
    return SignalRecord(
        name + name,
        name,
        0,
        SUPPLIER,
        name,
        "p",
        b"pseudonym".ljust(32),
        b"secret words",
        b"",
        "",
        "",
        "",
        NOW + at,
    )


async def receive(inbox: Inbox, *numbers: int) -> None:
    for at in numbers:
        one = signal(at)
        await inbox.offered([BatchRecord(one.header_hash, SUPPLIER, at.to_bytes(16, "big"), b"", NOW)])
        await inbox.store(one.header_hash, [one])


async def test_what_was_received_and_reported(city, tmp_path):
    ours = city.organisation
    with Inbox.open(ours) as inbox:
        await receive(inbox, 1, 2)
    with outcome_database(ours) as database:
        for at in (1, 2):
            report = Reported(signal(at).header_hash, 0, NOW + 9, "brief", "gesprek met Jansen", None, "", 0)
            await database.run(lambda c, report=report: outcomestore.claim(c, report, b"same", b"bytes"))
        await database.run(lambda c: outcomestore.answered(c, report, b"same", 77))
    received, reported = agency_books(city)
    with State.open(ours) as state, ThreadPoolExecutor(1) as thread:
        file = LinesFile.create(tmp_path / "records.jsonl")
        for book in (received, reported):
            assert book.pending(await state.standing(book)) == (2 if book is received else 1)
            await export_all(Exporter(book, state, thread), file)
        assert await exported(reported, state) == []
        with outcome_database(ours) as database:
            first = Reported(signal(1).header_hash, 0, NOW + 9, "brief", "gesprek met Jansen", None, "", 0)
            await database.run(lambda c: outcomestore.answered(c, first, b"same", 70))
        assert await exported(reported, state) == ["uitkomst-melden 1"], "answered later, and not left behind"
        file.close()
    lines = read_lines(tmp_path / "records.jsonl")
    assert [one.span.name for one in lines] == ["signaal-ontvangen", "signaal-ontvangen", "uitkomst-melden"]
    for one in lines:
        subject = str(one.attributes["dpl.core.data_subject_id"])
        assert SUBJECTS.decrypt(RECEIVED_KIND, subject) == b"pseudonym".ljust(32)
        check(one, processor=None)
    text = (tmp_path / "records.jsonl").read_bytes()
    assert b"Jansen" not in text
    assert b"secret" not in text


async def test_an_agency_can_leave_out_what_is_ours(city, tmp_path):
    with Inbox.open(city.organisation) as inbox:
        await receive(inbox, 3)
    plain = Maker(LdvSettings(None, False, SETTINGS.register, SETTINGS.origin), SUBJECTS, city.organisation)
    file = LinesFile.create(tmp_path / "records.jsonl")
    book = ReceivedBook(plain)
    await file.take(book.resource, book.read(Standing()).items)
    file.close()
    assert b"nl.regie." not in (tmp_path / "records.jsonl").read_bytes()
    (one,) = read_lines(tmp_path / "records.jsonl")
    check(one, processor=None, extension=False)


async def test_a_cursor_ahead_of_a_book_refuses(city):
    with Inbox.open(city.organisation) as inbox:
        await receive(inbox, 4)
    with pytest.raises(LdvError, match="8 rows of received were exported, and the book has 1"):
        ReceivedBook(city).read(Standing(next=9))


def test_who_has_sent_and_received_nothing_has_no_books_and_gets_none(supplier):
    assert agency_books(supplier) == []
    assert not list(supplier.organisation.data.iterdir())
    dbapi2.connect(supplier.organisation.data / "inbox.db").close()
    assert agency_books(supplier) == [], "an empty file is no book"
