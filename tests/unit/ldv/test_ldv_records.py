"""Records of the ledger's log: field by field, one for each entry, always the same, and nothing personal in them."""

from __future__ import annotations

from hashlib import sha256

import pytest
from pysqlite3 import dbapi2

from consent_ledger.v1 import consents_pb2
from consent_ledger.v1 import events_pb2 as pb
from gateway.ldv.book import LdvError, Seen, Standing
from gateway.ldv.ledgerbook import ENTRIES, SUBJECT_KIND
from gateway.ldv.record import Record, json_line, request_of, span_id, trace_id
from gateway.ldv.settings import LdvSettings
from tests.support.ldv import SETTINGS, SUBJECTS, acknowledge, book_of, check, held, read_lines, report
from tests.support.ledger import CITY, NOW, SIGNER, SUPPLIER, Ledger, grant, scope, subject
from tests.support.otlp import Received, values

OFFER = "Regeling voor Jansen, 4321,99 euro"


@pytest.fixture
def ledger(tmp_path):
    """Anna's signal is used, Ben never agreed, Carla withdraws before delivery."""
    made = Ledger(tmp_path / "ledger.db")
    for person in ("anna", "carla"):
        made.record(person, grant=grant())
    hh, _ = made.decide(["anna", "ben", "carla"])
    made.record("carla", withdraw=consents_pb2.Withdraw(scope=scope()))
    made.release(hh)
    acknowledge(made, hh)
    report(made, hh, 0, OFFER)
    yield made
    made.close()


def records(ledger, settings=SETTINGS, standing=None):
    return book_of(ledger, settings).read(standing or Standing()).items


def as_received(item, settings=SETTINGS):
    book_resource = {"service.name": "regie-ledger"} | ({"nl.regie.oin": "x"} if settings.extension else {})
    return Received(item.record.span(), book_resource, "regie.ldv", 1)


def erase(ledger, index):
    """What an erasure takes out."""
    connection = dbapi2.connect(ledger.path)
    connection.execute("DELETE FROM payload WHERE idx = ?", (index,))
    connection.commit()
    connection.close()


def test_one_record_for_each_entry_that_is_processing_in_the_order_of_the_log(ledger):
    items = records(ledger)
    assert [item.place for item in items] == [index for index, _ in held(ledger)]
    names = [item.record.name for item in items]
    decided = ["uitwisseling-beoordelen"] * 3
    assert names == [
        *decided,
        "signaal-vrijgeven",
        "signaal-tegenhouden",
        "ontvangst-vastleggen",
        "uitkomst-vastleggen",
    ]


@pytest.mark.parametrize("extension", [True, False])
def test_every_field_of_the_standards_table(ledger, extension):
    settings = LdvSettings(None, extension, SETTINGS.register, SIGNER.name)
    items = records(ledger, settings)
    assert len(items) == 7
    for item in items:
        check(as_received(item, settings), extension=extension)


def test_a_record_is_about_one_person_whom_only_the_key_finds_again(ledger):
    items = records(ledger)
    texts = [str(item.record.attributes["dpl.core.data_subject_id"]) for item in items]
    assert [SUBJECTS.decrypt(SUBJECT_KIND, text) for text in texts[:3]] == [
        subject(p) for p in ("anna", "ben", "carla")
    ]
    assert len(set(texts)) == 3, "the records of one person are found by one text"
    assert {item.record.attributes["dpl.core.data_subject_id_type"] for item in items} == {"regie-ledger-pseudonym"}
    everything = request_of({}, [item.record for item in items])
    for person in ("anna", "ben", "carla"):
        assert subject(person) not in everything
        assert subject(person).hex().encode() not in everything


def test_a_refusal_is_no_error_and_its_reason_stays_in_the_ledger(ledger):
    refused = records(ledger)[1].record
    assert refused.status == "Ok"
    assert refused.attributes["nl.regie.permitted"] is False
    assert refused.attributes["nl.regie.outcome"] == "geen_toestemming"
    assert b"NO_CONSENT" not in request_of({}, [refused])


def test_times_are_the_events_in_milliseconds_and_exact_in_nanoseconds(ledger):
    for item, (_, event, _) in zip(
        records(ledger),
        [e for e in ledger.events() if e[1].WhichOneof("body") in dict.fromkeys(k for _, k in held(ledger))],
        strict=True,
    ):
        assert item.record.start_ms == item.record.end_ms == event.time_ms
        assert item.record.span().start_time_unix_nano == event.time_ms * 10**6
    odd = Record(bytes(16), bytes(8), "Ok", "x", 1_767_225_600_001, 1_767_225_600_999)
    assert odd.span().start_time_unix_nano == 1_767_225_600_001_000_000
    assert odd.span().end_time_unix_nano == 1_767_225_600_999_000_000


def test_the_callers_trace_goes_on_through_what_follows_a_decision(ledger):
    decided, _, _, released, withheld, acknowledged, outcome = (item.record for item in records(ledger))
    assert decided.trace_id == bytes(range(16)), "of the caller's traceparent"
    assert decided.parent_span_id == bytes(range(8))
    assert {one.trace_id for one in (released, withheld, acknowledged, outcome)} == {decided.trace_id}
    assert released.parent_span_id == decided.span_id
    assert acknowledged.parent_span_id == outcome.parent_span_id == released.span_id
    assert decided.attributes["nl.regie.trace_source"] == "traceparent"


def test_without_a_traceparent_the_batch_gives_the_trace_the_same_everywhere():
    batch = bytes(range(16))
    assert trace_id(b"", batch) == trace_id(bytes(16), batch) == sha256(b"regie/ldv/trace/v1" + batch).digest()[:16]
    assert trace_id(b"\1" * 16, batch) == b"\1" * 16


def test_ids_are_those_of_the_log_and_its_index(ledger):
    items = records(ledger)
    for item in items:
        place = item.place.to_bytes(8, "big")
        assert item.record.span_id == sha256(b"regie/ldv/v1" + SIGNER.name.encode() + place).digest()[:8]
    assert len({item.record.span_id for item in items}) == len(items)
    assert span_id(b"another.example/log", 1) != span_id(SIGNER.name.encode(), 1)


def test_a_record_is_the_same_whenever_and_by_whom_it_is_made(ledger):
    first = request_of({}, [item.record for item in records(ledger)])
    assert first == request_of({}, [item.record for item in records(ledger)])


def test_own_attributes_say_between_whom_and_leave_no_trace_when_they_are_off(ledger):
    told = records(ledger)[5].record.attributes
    assert told["nl.regie.sender"] == SUPPLIER, "an acknowledgement names only its release, and the record both"
    assert told["nl.regie.recipient"] == CITY
    assert told["nl.regie.purpose"] == "vroegsignalering-energie"
    plain = LdvSettings(None, False, SETTINGS.register, SIGNER.name)
    book = book_of(ledger, plain)
    assert b"nl.regie." not in request_of(book.resource, [item.record for item in book.read(Standing()).items])


def test_nothing_that_was_planted_is_in_a_byte_of_it(ledger):
    items = records(ledger)
    with ledger.sequencer.reader.snapshot() as snapshot:
        rows = snapshot.payloads([item.place for item in items])
    everything = request_of(book_of(ledger).resource, [item.record for item in items])
    everything += "".join(json_line({}, item.record) for item in items).encode()
    for row in rows.values():
        assert row.salt not in everything
        assert row.salt.hex().encode() not in everything
    for planted in (OFFER, "Jansen", "4321", "anna", "ben", "carla"):
        assert planted.encode() not in everything
    assert b"vroegsignalering" in everything, "the search finds what is there"


def test_an_entry_that_was_erased_before_is_a_record_without_a_data_subject(ledger):
    before = records(ledger)
    erase(ledger, before[1].place)
    seen = {before[1].place: Seen(before[1].place, "exchange_decided", NOW, bytes(range(16)))}
    after = records(ledger, standing=Standing(seen=seen))
    assert [item.place for item in after] == [item.place for item in before], "the count still holds"
    gone = after[1]
    assert gone.anonymous
    assert (gone.record.name, gone.record.status) == ("uitwisseling-beoordelen (gewist)", "Unset")
    assert gone.record.trace_id == before[1].record.trace_id
    assert gone.record.span_id == before[1].record.span_id
    check(as_received(gone))
    assert gone.record.attributes["nl.regie.erased"] is True


def test_an_entry_that_was_erased_before_anybody_saw_it_is_a_record_of_unknown_kind(ledger):
    before = records(ledger)
    erase(ledger, before[0].place)
    gone = records(ledger)[0]
    assert gone.place == before[0].place
    assert gone.record.name == "onbekend (gewist)"
    check(as_received(gone))


def test_a_choice_that_was_seen_and_erased_is_no_record(ledger):
    choice = next(index for index, event, _ in ledger.events() if event.HasField("consent_granted"))
    before = records(ledger)
    seen = {one.place: one for one in book_of(ledger).see([choice])}
    assert seen[choice].kind == "consent_granted"
    erase(ledger, choice)
    assert choice in {item.place for item in records(ledger)}, "without what was seen it may have been one"
    assert records(ledger, standing=Standing(seen=seen)) == before


def test_a_cursor_beyond_the_log_refuses(ledger):
    with pytest.raises(LdvError, match=r"says that 99999 entries were exported, and the log has \d+"):
        records(ledger, standing=Standing(next=99_999))


def test_portions_follow_each_other_without_a_gap(tmp_path):
    ledger = Ledger(tmp_path / "ledger.db")
    people = [f"p{n}" for n in range(700)]
    for batch in range(1, 4):
        ledger.decide(people, batch)
    book, standing, places = book_of(ledger), Standing(), []
    left = 1
    while left:
        portion = book.read(standing)
        assert len(portion.items) <= ENTRIES
        places += [item.place for item in portion.items]
        standing, left = Standing(portion.next), portion.left
    assert places == [index for index, _ in held(ledger)]
    assert len(places) == 2_100
    ledger.close()


def test_the_same_in_a_line_of_json(ledger, tmp_path):
    items, resource = records(ledger), book_of(ledger).resource
    file = tmp_path / "records.jsonl"
    file.write_text("".join(json_line(resource, item.record) + "\n" for item in items), "utf-8")
    read = read_lines(file)
    assert [one.span for one in read] == [item.record.span() for item in items]
    assert [one.resource for one in read] == [resource] * len(items)
    assert values(read[0].span.attributes)["nl.regie.position"] == 0
    assert pb.Event.DESCRIPTOR.fields_by_name["outcome_reported"].number == 24
