"""The ledger's services with a transparent crypto: who may call, what is checked first, and what comes back."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from consent_ledger.clock import DAY_MS
from consent_ledger.decide import ExchangeRequest, decide
from consent_ledger.errors import RegieError
from consent_ledger.events import open_event, parse_leaf
from consent_ledger.hashing import sha256
from consent_ledger.log.checkpoint import open_checkpoint
from consent_ledger.log.merkle import leaf_hash, root_of, verify_consistency, verify_inclusion
from consent_ledger.registry import Registry
from consent_ledger.service.consent import ConsentService, record_request_hash
from consent_ledger.service.decision import DecisionService, decide_request_hash
from consent_ledger.service.log import LogService
from consent_ledger.service.reasondate import reason_date
from consent_ledger.v1 import batch_pb2, log_pb2
from consent_ledger.v1 import consents_pb2 as consents
from consent_ledger.v1 import decisions_pb2 as decisions
from consent_ledger.v1 import events_pb2 as pb
from tests.support.ledger import (
    ARREARS,
    CITY,
    GATEWAY,
    LEDGER,
    NOW,
    OTHER_CITY,
    SIGNER,
    SUPPLIER,
    VIEWER,
    FakeCrypto,
    Ledger,
    change,
    content_of,
    element,
    grant,
    header,
    key_id,
    listed,
    opening,
    pull,
    scope,
    sign,
    subject,
)

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Context:
    def __init__(self, **metadata: str) -> None:
        self.metadata = tuple(metadata.items())

    def invocation_metadata(self):
        return self.metadata


class Services:
    def __init__(self, path) -> None:
        self.ledger = Ledger(path)
        self.crypto = FakeCrypto()
        self.caller = GATEWAY
        self.pool = ThreadPoolExecutor(2)
        parts = (self.ledger.sequencer, self.crypto, self.ledger.clock, self.pool, self.peer)
        self.decisions, self.consents = DecisionService(*parts), ConsentService(*parts)
        self.log = LogService(self.ledger.sequencer, self.pool)

    def peer(self, _context):
        return self.ledger.sequencer.registry.participant(self.caller)

    async def decide(self, request, context=None):
        self.caller = GATEWAY
        return await self.decisions.Decide(request, context or Context())

    async def release(self, wanted, signature=None):
        self.caller = GATEWAY
        data = wanted.SerializeToString()
        signature = signature or sign(wanted.recipient, b"regie/s/pull/v1", sha256(data))
        signed = decisions.SignedPull(pull=data, signature=signature)
        return await self.decisions.Release(decisions.ReleaseRequest(pull=signed), Context())

    async def record(self, *changes):
        self.caller = VIEWER
        request = consents.RecordRequest(changes=changes)
        return request, await self.consents.Record(request, Context())

    async def show(self, person="anna", **fields):
        self.caller = VIEWER
        rows = [consents.Rows(purpose=ARREARS, elements=[element(person)])]
        return await self.consents.GetRecord(consents.GetRecordRequest(rows=rows, **fields), Context())


@pytest.fixture
def services(tmp_path):
    found = Services(tmp_path / "ledger.db")
    yield found
    found.pool.shutdown()
    found.ledger.close()


def request_for(people, head=None, **changes) -> decisions.DecideRequest:
    """A batch as a sender makes it: positions 0, 2, 4, ..."""
    head = head or header(count=len(people))
    data = head.SerializeToString()
    hh = FakeCrypto().header_hash(data)
    sealed = hh + b"".join((2 * n).to_bytes(2, "big") for n in range(len(people)))
    root = sha256(b"root")
    fields = {
        "header": data,
        "sealed_ledger": sealed,
        "root": root,
        "signature": sign(head.sender, b"regie/s/l/v1", hh, sha256(sealed), root),
        "evaluated": b"".join(element(person) for person in people),
    }
    return decisions.DecideRequest(**{**fields, **changes})


async def refused(awaitable) -> tuple[str, str]:
    with pytest.raises(RegieError) as caught:
        await awaitable
    return caught.value.reason, caught.value.field


# -- who may call ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", [SUPPLIER, CITY, LEDGER, VIEWER])
async def test_only_the_gateway_asks_for_decisions(services, caller):
    services.caller = caller
    for method, request in (
        (services.decisions.Decide, request_for(["anna"])),
        (services.decisions.Release, decisions.ReleaseRequest()),
        (services.decisions.Acknowledge, decisions.AcknowledgeRequest()),
        (services.decisions.ReportOutcome, decisions.ReportOutcomeRequest()),
    ):
        assert await refused(method(request, Context())) == ("PEER_KIND_NOT_SERVED", "")


@pytest.mark.parametrize("caller", [SUPPLIER, CITY, GATEWAY, LEDGER])
async def test_only_the_viewer_records_and_reads(services, caller):
    services.caller = caller
    assert (await refused(services.consents.Record(consents.RecordRequest(), Context())))[0] == "PEER_KIND_NOT_SERVED"
    assert (await refused(services.consents.GetRecord(consents.GetRecordRequest(), Context())))[
        0
    ] == "PEER_KIND_NOT_SERVED"


# -- Decide ---------------------------------------------------------------------------------------------------------


async def test_decide_answers_with_a_signed_list(services):
    await services.record(change(1, "anna", NOW, grant=grant()))
    request = request_for(["anna", "bert"])
    response = await services.decide(request, Context(traceparent=TRACE))
    FakeCrypto().verify(sign_key(), b"regie/s/decision/v1", response.signature, sha256(response.decision_list))
    answer = listed(response)
    hh = FakeCrypto().header_hash(request.header)
    assert (answer.header_hash, answer.root) == (hh, request.root)
    assert answer.request_hash == decide_request_hash(request, hh)
    assert list(answer.outcomes) == [pb.OUTCOME_ACCEPTED, pb.OUTCOME_GEEN_TOESTEMMING]
    body = services.ledger.events()[-1][1].exchange_decided
    assert (body.trace_id.hex(), body.span_id.hex()) == (TRACE[3:35], TRACE[36:52])
    assert await services.decide(request) == response


def sign_key() -> bytes:
    return sha256(b"public", LEDGER.encode(), b"sign")


async def test_a_refusal_names_nothing_that_agencies_may_not_tell_apart(services):
    """I7: whatever the reason, the outcome is the same word."""
    await services.record(
        change(1, "anna", NOW, refuse=consents.Refuse(scope=scope())),
        change(2, "bert", NOW, grant=grant()),
        change(3, "chris", NOW, pause=consents.Pause()),
    )
    await services.record(change(4, "bert", NOW + 1, withdraw=consents.Withdraw(scope=scope())))
    answer = listed(await services.decide(request_for(["anna", "bert", "chris", "nobody"])))
    assert set(answer.outcomes) == {pb.OUTCOME_GEEN_TOESTEMMING}
    assert services.ledger.reasons() == ["REFUSED", "WITHDRAWN", "PAUSED", "NO_CONSENT"]


BAD_HEADERS = [
    ({"suite": "other/1"}, ("SUITE_UNKNOWN", "header.suite")),
    ({"version": 2}, ("FIELD_INVALID", "header.version")),
    ({"batch_id": b"short"}, ("FIELD_INVALID", "header.batch_id")),
    ({"sender": "abc"}, ("FIELD_INVALID", "header.sender")),
    ({"ledger": GATEWAY}, ("FIELD_INVALID", "header.ledger")),
    ({"ledger_key_id": b"oldkey00"}, ("KEY_UNKNOWN", "header.ledger_key_id")),
    ({"ledger_epoch": 2}, ("FIELD_INVALID", "header.ledger_epoch")),
    ({"sender_key_id": b"oldkey00"}, ("KEY_UNKNOWN", "")),
    ({"sender_key_id": key_id(SUPPLIER, "hpke")}, ("KEY_UNKNOWN", "header.sender_key_id")),
    ({"sender": "9" * 20}, ("PARTY_UNKNOWN", "")),
    ({"count": 3}, ("SEALED_PART_INVALID", "")),
    ({"created_ms": NOW + 120_001}, ("NOT_FRESH", "header.created_ms")),
    ({"basis": batch_pb2.BASIS_UNSPECIFIED}, ("FIELD_INVALID", "header.basis")),
]


@pytest.mark.parametrize(("changes", "expected"), BAD_HEADERS, ids=lambda each: str(each)[:30])
async def test_a_batch_is_refused_as_a_whole_before_anything_is_logged(services, changes, expected):
    size = services.ledger.sequencer.head.size
    head = header(**{"count": 1, **changes})
    assert await refused(services.decide(request_for(["anna"], head))) == expected
    assert services.ledger.sequencer.head.size == size


async def test_what_does_not_check_is_refused(services):
    good = request_for(["anna"])
    other = request_for(["anna"], header(2))
    for changes, reason in (
        ({"header": b"\xff"}, "FIELD_INVALID"),
        ({"root": bytes(32)}, "SIGNATURE_INVALID"),
        ({"signature": other.signature}, "SIGNATURE_INVALID"),
        ({"sealed_ledger": other.sealed_ledger}, "SIGNATURE_INVALID"),
        ({"evaluated": bytes(32)}, "ELEMENT_INVALID"),
        ({"evaluated": good.evaluated * 2}, "SEALED_PART_INVALID"),
    ):
        assert (await refused(services.decide(request_for(["anna"], **changes))))[0] == reason


async def test_scaled_elements_of_a_decided_batch_are_a_reused_id(services):
    """Resubmission after scaling (pseudonyms.md): once-only at L, whatever E_L says."""
    await services.decide(request_for(["anna"]))
    scaled = request_for(["anna"], evaluated=element("scaled"))
    assert await refused(services.decide(scaled)) == ("BATCH_ID_REUSED", "header.batch_id")


async def test_unknown_and_prohibited_purposes_are_refused_and_logged(services):
    for number, purpose in enumerate(["bestaat-niet", "handhaving"], 1):
        answer = listed(await services.decide(request_for(["anna"], header(number, purpose=purpose))))
        assert len(answer.log_indices) == 1
    assert services.ledger.reasons() == ["PURPOSE_UNKNOWN", "PURPOSE_PROHIBITED"]


# -- Release and after ----------------------------------------------------------------------------------------------


async def delivered(services, people=("anna",)):
    await services.record(*(change(10 + n, person, NOW, grant=grant()) for n, person in enumerate(people)))
    request = request_for(list(people))
    await services.decide(request)
    hh = FakeCrypto().header_hash(request.header)
    return hh, await services.release(pull(hh))


async def test_release_is_sealed_to_the_recipient_and_signed(services):
    hh, response = await delivered(services)
    FakeCrypto().verify(sign_key(), b"regie/s/release/v1", response.signature, sha256(response.statement))
    assert set(services.crypto.sealed_to) == {sha256(b"public", CITY.encode(), b"hpke")}
    assert content_of(response).signals[0].opening == opening(hh, 0)


async def test_a_pull_that_its_recipient_did_not_sign_is_refused(services):
    hh, _ = await delivered(services)
    wanted = pull(hh, 2)
    forged = sign(OTHER_CITY, b"regie/s/pull/v1", sha256(wanted.SerializeToString()))
    assert (await refused(services.release(wanted, forged)))[0] == "SIGNATURE_INVALID"
    acknowledgement = sign(CITY, b"regie/s/ack/v1", sha256(wanted.SerializeToString()))
    assert (await refused(services.release(wanted, acknowledgement)))[0] == "SIGNATURE_INVALID"
    wanted.nonce = b"short"
    assert await refused(services.release(wanted)) == ("FIELD_INVALID", "pull.nonce")
    wanted = pull(hh, 2)
    wanted.recipient_key_id = key_id(CITY, "hpke")
    assert await refused(services.release(wanted)) == ("KEY_UNKNOWN", "recipient_key_id")


async def test_a_key_that_cannot_be_sealed_to_is_this_requests_error(services):
    hh, _ = await delivered(services)
    size = services.ledger.sequencer.head.size

    def broken(*_):
        raise RegieError("KEY_UNKNOWN", "no such point")

    services.crypto.seal_release = broken
    assert (await refused(services.release(pull(hh, 2))))[0] == "KEY_UNKNOWN"
    assert services.ledger.sequencer.failure is None
    assert services.ledger.sequencer.head.size == size


async def test_acknowledge_and_outcome(services):
    hh, _ = await delivered(services)
    await acknowledged(services, hh)
    data = decisions.Acknowledgement(
        header_hash=hh, time_ms=NOW, recipient=CITY, recipient_key_id=key_id(CITY, "sign")
    ).SerializeToString()
    request = decisions.AcknowledgeRequest(acknowledgement=data, signature=bytes(64))
    assert (await refused(services.decisions.Acknowledge(request, Context())))[0] == "SIGNATURE_INVALID"

    sealed = (
        hh
        + decisions.OutcomeReport(
            position=0, offer="gesprek", channel=pb.CHANNEL_TELEFOON, when_ms=NOW
        ).SerializeToString()
    )
    report = decisions.ReportOutcomeRequest(
        header_hash=hh,
        sealed=sealed,
        recipient=CITY,
        recipient_key_id=key_id(CITY, "sign"),
        signature=sign(CITY, b"regie/s/outcome/v1", hh, sha256(sealed)),
    )
    first = await services.decisions.ReportOutcome(report, Context())
    assert await services.decisions.ReportOutcome(report, Context()) == first
    event = services.ledger.events()[-1][1].outcome_reported
    assert (event.offer, event.channel, event.deviation) == ("gesprek", pb.CHANNEL_TELEFOON, True)
    report.sealed = hh + decisions.OutcomeReport(position=0).SerializeToString()
    report.signature = sign(CITY, b"regie/s/outcome/v1", hh, sha256(report.sealed))
    assert (await refused(services.decisions.ReportOutcome(report, Context())))[0] == "FIELD_INVALID"


# -- Record and GetRecord -------------------------------------------------------------------------------------------


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


async def acknowledged(services, hh):
    """The recipient says that it has the batch."""
    said = decisions.Acknowledgement(header_hash=hh, time_ms=NOW, recipient=CITY, recipient_key_id=key_id(CITY, "sign"))
    data = said.SerializeToString()
    services.caller = GATEWAY
    request = decisions.AcknowledgeRequest(acknowledgement=data, signature=sign(CITY, b"regie/s/ack/v1", sha256(data)))
    await services.decisions.Acknowledge(request, Context())
    assert services.ledger.events()[-1][1].WhichOneof("body") == "exchange_acknowledged"


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


# -- the log --------------------------------------------------------------------------------------------------------


async def test_the_log_proves_itself_at_every_size(services):
    services.ledger.decide([f"p{n}" for n in range(700)])
    note = (await services.log.GetCheckpoint(log_pb2.GetCheckpointRequest(), Context())).checkpoint
    checkpoint = open_checkpoint(note, [SIGNER.verifier])
    entries = (await services.log.GetEntries(log_pb2.GetEntriesRequest(start=0, count=4096), Context())).entries
    assert len(entries) == checkpoint.size
    for index, size in ((0, 1), (5, 256), (255, 257), (600, 700), (checkpoint.size - 1, checkpoint.size)):
        old = await services.log.GetConsistencyProof(
            log_pb2.GetConsistencyProofRequest(old_size=size, new_size=checkpoint.size), Context()
        )
        proof = await services.log.GetInclusionProof(
            log_pb2.GetInclusionProofRequest(index=index, size=size), Context()
        )
        root = root_of([leaf_hash(entry) for entry in entries[:size]])
        verify_inclusion(index, size, leaf_hash(entries[index]), root, list(proof.hashes))
        verify_consistency(size, checkpoint.size, root, checkpoint.root, list(old.hashes))


async def test_public_events_come_with_their_proofs(services):
    services.ledger.decide(["anna"])
    response = await services.log.GetPublicEvents(log_pb2.GetPublicEventsRequest(), Context())
    checkpoint = open_checkpoint(response.checkpoint, [SIGNER.verifier])
    events = []
    for each in response.entries:
        path = [each.path[at : at + 32] for at in range(0, len(each.path), 32)]
        verify_inclusion(each.index, checkpoint.size, leaf_hash(each.entry), checkpoint.root, path)
        events.append((each.index, parse_leaf(each.entry).public))
    assert Registry.fold(events) == services.ledger.sequencer.registry


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("GetInclusionProof", log_pb2.GetInclusionProofRequest(index=1, size=10**6), "size"),
        ("GetInclusionProof", log_pb2.GetInclusionProofRequest(index=2, size=2), "index"),
        ("GetConsistencyProof", log_pb2.GetConsistencyProofRequest(old_size=1, new_size=2**64 - 1), "new_size"),
        ("GetConsistencyProof", log_pb2.GetConsistencyProofRequest(old_size=3, new_size=2), "old_size"),
        ("GetEntries", log_pb2.GetEntriesRequest(start=2**63, count=1), "start"),
    ],
)
async def test_questions_about_no_log_of_ours(services, method, request_, field):
    assert await refused(getattr(services.log, method)(request_, Context())) == ("FIELD_INVALID", field)


async def test_entries_beyond_the_end_are_none(services):
    request = log_pb2.GetEntriesRequest(start=10**9, count=5)
    assert not (await services.log.GetEntries(request, Context())).entries


async def test_leaves_hold_nothing_personal(services):
    """I4: no subject, reason or organisation of an exchange in the entries; they open with what is beside them."""
    hh, _ = await delivered(services)
    with services.ledger.sequencer.reader.snapshot() as snapshot:
        size = snapshot.head().size
        entries, rows = snapshot.entries(0, size), snapshot.payloads(range(size))
    for index, row in rows.items():
        assert len(entries[index]) == 34
        open_event(entries[index], row.salt, row.event)
    whole = b"".join(entries)
    assert subject("anna") not in whole
    assert opening(hh, 0) not in whole
