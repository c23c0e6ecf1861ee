"""Recording choices through the service, and what a resident is shown of them."""

from consent_ledger.clock import DAY_MS
from consent_ledger.decide import ExchangeRequest, decide
from consent_ledger.hashing import sha256
from consent_ledger.log.checkpoint import open_checkpoint
from consent_ledger.registry import Registry
from consent_ledger.service.consent import record_request_hash
from consent_ledger.service.reasondate import reason_date
from consent_ledger.v1 import consents_pb2 as consents
from consent_ledger.v1 import events_pb2 as pb
from tests.support.ledger import (
    ARREARS,
    CITY,
    NOW,
    SIGNER,
    SUPPLIER,
    Ledger,
    change,
    grant,
    scope,
    subject,
)
from tests.support.ledger_crypto import FakeCrypto
from tests.support.ledger_services import acknowledged, delivered, sign_key


async def test_record_answers_with_a_signed_receipt(services):
    request, response = await services.record(
        change(1, "anna", NOW, grant=grant()), change(2, "bert", NOW, grant=grant(months=5))
    )
    FakeCrypto().verify(sign_key(), b"regie/s/record/v1", response.signature, sha256(response.receipt))
    receipt = consents.RecordReceipt.FromString(response.receipt)
    assert receipt.request_hash == record_request_hash(request)
    assert open_checkpoint(receipt.checkpoint, [SIGNER.verifier]).size == receipt.results[0].log_index + 1
    assert receipt.results[1].error.field == "grant.months"


async def test_a_bad_element_is_its_own_changes_error(services):
    bad = change(2, "", NOW, grant=grant())
    _, response = await services.record(change(1, "anna", NOW, grant=grant()), bad)
    found = consents.RecordReceipt.FromString(response.receipt).results
    assert found[0].log_index
    assert (found[1].error.reason, found[1].error.field) == ("ELEMENT_INVALID", "rows.elements")


async def test_the_residents_record_tells_everything_about_an_exchange(services):
    wishes = pb.Preferences(channels=[pb.CHANNEL_EMAIL], language="en")
    await services.record(change(1, "anna", NOW - 1, preferences=wishes))
    hh, _ = await delivered(services)
    await acknowledged(services, hh)
    record = await services.show()
    assert record.preferences == wishes
    choice = record.choices[0]
    assert (choice.scope.sender, choice.scope.recipient, choice.scope.purpose) == (SUPPLIER, CITY, ARREARS)
    assert (choice.mode, list(choice.items), choice.recorded_ms) == (pb.MODE_JA, ["betalingsachterstand"], NOW)
    (exchange,) = record.exchanges
    assert exchange.reason == pb.REASON_ALLOWED
    assert exchange.text.nl == "Gedeeld. U gaf hiervoor toestemming op 1 januari 2026."
    assert exchange.released_index == exchange.log_index + 1
    assert exchange.acknowledged_ms == NOW
    assert exchange.position == 0
    assert exchange.batch_id == (1).to_bytes(16, "big")


async def test_blocked_attempts_and_stops_are_told_with_their_reason(services):
    ledger = services.ledger
    ledger.decide(["anna"], 1)
    ledger.record("anna", grant=grant())
    waiting, _ = ledger.decide(["anna"], 2)
    ledger.decide(["anna"], 3)
    ledger.record("anna", pause=consents.Pause(until_ms=NOW + 31 * DAY_MS))
    ledger.release(waiting)
    ledger.decide(["anna"], 4)
    record = await services.show()
    assert [each.batch_id[-1] for each in record.exchanges] == [4, 3, 2, 1]  # newest first
    paused, permitted, stopped, blocked = record.exchanges
    assert paused.text.nl == "Tegengehouden. U heeft alles op pauze gezet, tot 1 februari 2026."
    assert permitted.text.nl == "Nog niet opgehaald. U gaf hiervoor toestemming op 1 januari 2026."
    assert stopped.withheld_reason == pb.REASON_PAUSED
    assert stopped.text.nl.startswith("Alsnog tegengehouden, voordat het werd afgeleverd. U heeft alles op pauze")
    assert blocked.text.nl == "Tegengehouden. U heeft hierover nog niets gekozen."
    assert (record.paused_since_ms, record.paused_until_ms) == (NOW, NOW + 31 * DAY_MS)
    ledger.clock.forward(days=31)
    assert (await services.show()).paused_since_ms == 0


async def test_pages_of_the_record(services):
    for number in range(1, 8):
        services.ledger.decide(["anna"] * 50, number)
    seen, before = [], 0
    while page := (await services.show(limit=100, before_index=before)).exchanges:
        seen += [each.log_index for each in page]
        before = seen[-1]
    assert len(seen) == 350
    assert seen == sorted(seen, reverse=True)
    assert len((await services.show()).exchanges) == 100
    assert not (await services.show("nobody")).exchanges
    assert not (await services.show("nobody")).HasField("preferences")


async def test_dates_in_the_record_are_those_of_the_decision(services):
    """GetRecord finds the date again from the events that decided."""
    ledger = services.ledger
    ledger.record("ja", grant=grant())
    ledger.record("later", grant=grant(valid_from_ms=NOW + DAY_MS))
    ledger.record("nee", refuse=consents.Refuse(scope=scope()))
    ledger.record("stop", grant=grant())
    ledger.clock.forward(ms=5)
    ledger.record("stop", withdraw=consents.Withdraw(scope=scope()))
    ledger.record("vraag", grant=grant(pb.MODE_VRAAG_MIJ_EERST))
    ledger.record("zelf", grant=grant(pb.MODE_EERST_ZELF))
    ledger.record("pauze", pause=consents.Pause(until_ms=NOW + 5 * DAY_MS))
    people = ["ja", "later", "nee", "stop", "vraag", "zelf", "pauze"]
    for number, days in enumerate([0, 3, 14, 364], 1):
        ledger.clock.forward(days=days)
        compare_dates(ledger, people, number)
    ledger.record("vraag2", grant=grant(pb.MODE_VRAAG_MIJ_EERST))
    compare_dates(ledger, ["vraag2"], 8)
    ledger.record("vraag2", answer=consents.Answer(scope=scope(), yes=False))
    ledger.clock.forward(ms=7)
    compare_dates(ledger, ["vraag2"], 9)
    told = set(ledger.reasons())
    assert {
        "ALLOWED",
        "NOT_YET_VALID",
        "REFUSED",
        "WITHDRAWN",
        "AWAITING_RESIDENT",
        "SELF_FIRST_WINDOW",
        "PAUSED",
        "EXPIRED",
    } <= told


def compare_dates(ledger: Ledger, people: list[str], number: int) -> None:
    registry: Registry = ledger.sequencer.registry
    asked = ExchangeRequest(SUPPLIER, CITY, ARREARS, 1, ("betalingsachterstand",))
    with ledger.sequencer.reader.snapshot() as snapshot:
        rows = [snapshot.subject(subject(person)) for person in people]
    expected = [decide(registry, row.state if row else None, asked, ledger.clock()) for row in rows]
    _, answer = ledger.decide(people, number)
    events = {index: (event, private) for index, event, private in ledger.events()}
    for decision, index in zip(expected, answer.log_indices, strict=True):
        event, private = events[index]
        deciding = [events[i][0] for i in private.decided_by]
        found = reason_date(private.reason, event.time_ms, deciding, registry.purpose(ARREARS))
        if decision.date_ms:
            assert found == decision.date_ms, pb.Reason.Name(decision.reason)
