"""A resident's own view: pages by index, single entries, proofs, chains and copies; nobody else's, at the same price."""

import time
from contextlib import contextmanager

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.events import chain_hash, commitment
from consent_ledger.service import own
from consent_ledger.service.entries import Row
from consent_ledger.service.exchanges import LOOKED_AT, Page
from consent_ledger.service.records import record_of
from consent_ledger.service.summary import summary_of
from consent_ledger.storage.reader import Snapshot
from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.v1 import decisions_pb2, events_pb2
from consent_ledger.verify.receipt import verify_receipt
from consent_ledger.writing.afterwards import OutcomeWork
from tests.support.ledger import (
    ARREARS,
    CITY,
    INCOME,
    NOW,
    OTHER_SUPPLIER,
    SIGNER,
    SUPPLIER,
    Ledger,
    grant,
    opening,
    subject,
)
from tests.support.ledger_services import Context, Services, acknowledged, delivered, refused

ANNA = [Row(ARREARS, subject("anna")), Row(INCOME, subject("anna", INCOME))]
BERT = [Row(ARREARS, subject("bert"))]


@pytest.fixture
def services(tmp_path):
    opened = Services(tmp_path / "ledger.db")
    yield opened
    opened.ledger.close()
    opened.pool.shutdown()


def page(ledger, rows=ANNA, **fields):
    with ledger.sequencer.reader.snapshot() as snapshot:
        return record_of(snapshot, ledger.sequencer.registry, rows, ledger.clock(), Page(**{"limit": 20, **fields}))


@contextmanager
def counted(monkeypatch):
    """The questions that a snapshot asks meanwhile."""
    asked = []
    real = Snapshot._all
    monkeypatch.setattr(Snapshot, "_all", lambda self, sql, *values: asked.append(sql) or real(self, sql, *values))
    yield asked
    monkeypatch.undo()


async def report(services, hh):
    said = decisions_pb2.OutcomeReport(position=0, offer="gesprek", channel=events_pb2.CHANNEL_BRIEF, when_ms=NOW)
    services.ledger.sequencer.submit(OutcomeWork(hh, CITY, said, b"n" * 32)).result(10)


async def test_whatever_page_an_exchange_is_on_it_says_what_became_of_it(services):
    ledger = services.ledger
    hh, _ = await delivered(services)
    await acknowledged(services, hh)
    await report(services, hh)
    for batch in range(2, 60):
        ledger.decide(["anna"], batch)
    first = page(ledger)
    pages = [first]
    while pages[-1].next_before_index:
        pages.append(page(ledger, before_index=pages[-1].next_before_index))
    told = [exchange for each in pages for exchange in each.exchanges]
    assert [len(each.exchanges) for each in pages] == [20, 20, 19]
    assert len({exchange.log_index for exchange in told}) == 59
    assert [e.log_index for e in told] == sorted((e.log_index for e in told), reverse=True)
    oldest = told[-1]
    assert oldest.released_index
    assert oldest.acknowledged_ms == NOW
    assert oldest.outcome.offer == "gesprek"
    assert (oldest.outcome_index, oldest.outcome_due_ms) == (oldest.acknowledged_index + 1, 0)


def test_a_page_chooses_by_organisation_and_purpose(services):
    ledger = services.ledger
    for batch in range(1, 31):
        ledger.decide(["anna"], batch, sender=SUPPLIER if batch % 3 else OTHER_SUPPLIER)
    ledger.decide(["anna"], 99, purpose=INCOME, sender="00000099000000000013")
    assert len(page(ledger, organisation=OTHER_SUPPLIER).exchanges) == 10
    assert len(page(ledger, organisation=CITY, limit=50).exchanges) == 31
    assert [e.purpose for e in page(ledger, purpose=INCOME).exchanges] == [INCOME]
    assert not page(ledger, BERT).exchanges


def test_a_rare_exchange_is_found_by_going_on(services):
    ledger = services.ledger
    ledger.decide(["anna"], 1, sender=OTHER_SUPPLIER)
    for batch in range(2, 4):
        ledger.decide(["anna"] * 1000, batch)
    found, before = [], 0
    for _ in range(2000 // LOOKED_AT + 1):
        each = page(ledger, organisation=OTHER_SUPPLIER, before_index=before)
        found += each.exchanges
        before = each.next_before_index
    assert len(found) == 1
    assert before == 0


@pytest.fixture(scope="module")
def long_lives(tmp_path_factory):
    """Two residents: anna with more than 10,000 entries, bert with 10."""
    ledger = Ledger(tmp_path_factory.mktemp("long") / "ledger.db")
    for batch in range(1, 12):
        ledger.record("anna", grant=grant())
        ledger.decide(["anna"] * 930, batch)
        ledger.record("bert", grant=grant())
        if batch < 6:
            ledger.decide(["bert"], 100 + batch)
    yield ledger
    ledger.close()


@pytest.mark.parametrize("before", [0, 5000, 200])
def test_a_page_costs_as_many_questions_however_long_the_record(long_lives, monkeypatch, before):
    with counted(monkeypatch) as short:
        assert page(long_lives, BERT).exchanges
    with counted(monkeypatch) as long:
        assert len(page(long_lives, ANNA[:1], before_index=before).exchanges) == 20
    assert len(short) <= 10
    assert len(long) <= len(short) + 3


def test_a_page_of_a_long_record_takes_no_longer(long_lives):
    """10,000 entries within three times of 10 (issue 4): the best of many, so that a busy machine does not decide it."""

    def best(rows, **fields):
        times = []
        for _ in range(30):
            began = time.perf_counter()
            assert page(long_lives, rows, **{"limit": 5, **fields}).exchanges
            times.append(time.perf_counter() - began)
        return min(times)

    short = best(BERT)
    assert best(ANNA[:1]) < 3 * short
    assert best(ANNA[:1], before_index=5000) < 3 * short


def test_a_summary_counts_the_newest_and_says_that_there_are_more(long_lives):
    with long_lives.sequencer.reader.snapshot() as snapshot:
        anna, bert = (summary_of(snapshot, rows, long_lives.clock()) for rows in (ANNA[:1], BERT))
    assert (anna.more, bert.more) == (True, False)
    assert sum((m.count.shared + m.count.blocked + m.count.waiting) for m in bert.months) == 5
    assert [m.month for m in bert.months] == ["2026-01"]


async def test_a_summary_tells_shared_from_blocked_from_waiting(services):
    ledger = services.ledger
    ledger.decide(["anna"], 50)
    await delivered(services)
    ledger.record("anna", grant=grant(events_pb2.MODE_VRAAG_MIJ_EERST))
    ledger.decide(["anna"], 51)
    with ledger.sequencer.reader.snapshot() as snapshot:
        (party,) = summary_of(snapshot, ANNA, ledger.clock()).parties
    assert (party.sender, party.recipient, party.purpose) == (SUPPLIER, CITY, ARREARS)
    assert (party.count.shared, party.count.blocked, party.count.waiting) == (1, 1, 1)


async def test_every_entry_opens_for_its_resident_with_why_and_what_followed(services):
    hh, _ = await delivered(services, ("anna", "bert"))
    await acknowledged(services, hh)
    services.caller = "00000099000000000004"
    rows = [pb.Rows(purpose=ARREARS, elements=[b"anna".ljust(32, b"\0")])]
    mine = [index for index, _, private in services.ledger.events() if private.links[0].subject == subject("anna")]
    granted, decided, released, said = mine
    for index in (decided, released, said):
        entry = await services.consents.GetEntry(pb.GetEntryRequest(rows=rows, log_index=index), Context())
        assert entry.entry.log_index == index
        assert list(entry.purposes) == [ARREARS]
        assert entry.exchange.log_index == decided
        assert [each.log_index for each in entry.deciding] == [granted]
        assert [each.log_index for each in entry.followed] == [released, said]
    others = [index for index, _, private in services.ledger.events() if index not in mine]
    for index in (*others, 0, 10**9, 2**64 - 1):
        for call, kind in (
            (services.consents.GetEntry, pb.GetEntryRequest),
            (services.consents.GetProof, pb.GetProofRequest),
            (services.consents.OpenCopy, pb.OpenCopyRequest),
        ):
            assert await refused(call(kind(rows=rows, log_index=index), Context())) == ("ENTRY_UNKNOWN", "log_index")


@pytest.mark.parametrize("caller", ["00000099000000000001", CITY, SUPPLIER])
async def test_only_the_viewer_asks(services, caller):
    services.caller = caller
    rows = [pb.Rows(purpose=ARREARS, elements=[b"anna".ljust(32, b"\0")])]
    for call, kind in (
        (services.consents.GetEntry, pb.GetEntryRequest),
        (services.consents.GetProof, pb.GetProofRequest),
        (services.consents.OpenCopy, pb.OpenCopyRequest),
        (services.consents.GetChain, pb.GetChainRequest),
        (services.consents.GetSummary, pb.GetSummaryRequest),
        (services.consents.GetOthers, pb.GetOthersRequest),
    ):
        assert (await refused(call(kind(rows=rows), Context())))[0] == "PEER_KIND_NOT_SERVED"


async def test_a_proof_holds_and_a_changed_word_does_not(services):
    await delivered(services)
    with services.ledger.sequencer.reader.snapshot() as snapshot:
        for index, event, private in services.ledger.events():
            proof = own.proof_of(snapshot, ANNA, index)
            assert verify_receipt(proof.proof, SIGNER.verifier.format()).event == event
            assert events_pb2.PrivatePart.FromString(proof.private_part) == private
            assert not proof.witnessed


async def test_the_opening_is_for_what_was_permitted_and_not_stopped(services):
    ledger = services.ledger
    _, refusals = ledger.decide(["anna"], 40)
    hh, _ = await delivered(services)
    waiting, permits = ledger.decide(["anna"], 41)
    with ledger.sequencer.reader.snapshot() as snapshot:
        opened = own.opening_of(snapshot, ANNA, permits.log_indices[0])
        assert (opened.header_hash, opened.position, opened.opening) == (waiting, 0, opening(waiting, 0))
        with pytest.raises(RegieError, match="COPY_GONE"):
            own.opening_of(snapshot, ANNA, refusals.log_indices[0])
        with pytest.raises(RegieError, match="ENTRY_UNKNOWN"):
            own.opening_of(snapshot, BERT, permits.log_indices[0])
    ledger.record("anna", pause=pb.Pause())
    ledger.release(waiting)
    with ledger.sequencer.reader.snapshot() as snapshot, pytest.raises(RegieError, match="COPY_GONE"):
        own.opening_of(snapshot, ANNA, permits.log_indices[0])
    assert hh


def test_a_hidden_entry_shows_as_a_gap_in_the_chain(long_lives):
    with long_lives.sequencer.reader.snapshot() as snapshot:
        (whole,) = own.chain_of(snapshot, BERT, 0, 0).chains
        (part,) = own.chain_of(snapshot, BERT, 3, 0).chains
        (rest,) = own.chain_of(snapshot, BERT, 1000, part.next_before_index).chains
        (nobody,) = own.chain_of(snapshot, [Row(ARREARS, b"x" * 32)], 0, 0).chains
    assert [link.log_index for link in (*part.links, *rest.links)] == [link.log_index for link in whole.links]
    assert (nobody.newest_seq, len(nobody.links)) == (0, 0)

    def gaps(links):
        expected, found = whole.newest, 0
        for link in links:
            found += chain_hash(commitment(link.salt, link.event)) != expected
            (mine,) = [
                x for x in events_pb2.PrivatePart.FromString(link.private_part).links if x.subject == whole.subject
            ]
            expected = mine.previous
        return found

    assert gaps(whole.links) == 0
    assert gaps([link for number, link in enumerate(whole.links) if number != 4]) == 1
