"""The log over gRPC: what anybody can check."""

import pytest

from consent_ledger.events import open_event, parse_leaf
from consent_ledger.log.checkpoint import open_checkpoint
from consent_ledger.log.merkle import leaf_hash, root_of, verify_consistency, verify_inclusion
from consent_ledger.log.proof import Receipt
from consent_ledger.registry import Registry
from consent_ledger.v1 import events_pb2, log_pb2
from consent_ledger.verify.leaves import private_digest_of
from consent_ledger.verify.receipt import verify_receipt
from tests.support.ledger import (
    CITY,
    LEDGER,
    OTHER_CITY,
    OTHER_SUPPLIER,
    PSEUDONYMS,
    SIGNER,
    SUPPLIER,
    VIEWER,
    opening,
    subject,
)
from tests.support.ledger_services import Context, acknowledged, delivered, refused


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


async def events_for(services, oin, indices):
    services.caller = oin
    return await services.log.GetEvents(log_pb2.GetEventsRequest(indices=indices), Context())


@pytest.fixture
async def lived(services):
    """A grant, a decision, a release, an acknowledgement; kind of event -> log index."""
    hh, _ = await delivered(services)
    await acknowledged(services, hh)
    return {event.WhichOneof("body"): index for index, event, _ in services.ledger.events()}


SEEN_BY = {
    LEDGER: {"consent_granted", "exchange_decided", "exchange_released", "exchange_acknowledged"},
    VIEWER: {"consent_granted", "exchange_decided", "exchange_released", "exchange_acknowledged"},
    SUPPLIER: {"exchange_decided"},
    CITY: {"exchange_released", "exchange_acknowledged"},
    OTHER_SUPPLIER: set(),
    OTHER_CITY: set(),
    PSEUDONYMS: set(),
}


@pytest.mark.parametrize(("oin", "kinds"), SEEN_BY.items())
async def test_events_are_opened_for_those_who_may_see_them(services, lived, oin, kinds):
    assert set(lived) == SEEN_BY[LEDGER]
    response = await events_for(services, oin, [0, *lived.values()])
    public, *committed = response.entries
    assert not public.HasField("opened")
    assert parse_leaf(public.entry).HasField("public")
    seen = {name for name, entry in zip(lived, committed, strict=True) if entry.HasField("opened")}
    assert seen == kinds
    for entry in committed:
        if entry.HasField("opened"):
            event = events_pb2.Event.FromString(entry.opened.event)
            open_event(entry.entry, entry.opened.salt, entry.opened.event)
            private = entry.opened.private_part
            assert bool(private) == (oin == LEDGER)
            assert not private or private_digest_of(private) == event.private_digest


async def test_receipts_are_made_of_opened_events(services, lived):
    """A sender's, a recipient's, a resident's (by the viewer): what anybody can check offline."""
    for oin, name in ((SUPPLIER, "exchange_decided"), (CITY, "exchange_released"), (VIEWER, "consent_granted")):
        response = await events_for(services, oin, [lived[name]])
        (entry,) = response.entries
        path = tuple(entry.path[at : at + 32] for at in range(0, len(entry.path), 32))
        receipt = Receipt(entry.opened.salt + entry.opened.event, entry.index, path, response.checkpoint)
        assert verify_receipt(receipt.format(), SIGNER.verifier.format()).event.WhichOneof("body") == name


async def test_every_entry_comes_with_its_proof(services, lived):
    indices = list(reversed(range(services.ledger.sequencer.head.size)))[:256]
    response = await events_for(services, OTHER_CITY, indices)
    checkpoint = open_checkpoint(response.checkpoint, [SIGNER.verifier])
    assert [entry.index for entry in response.entries] == indices
    for entry in response.entries:
        path = [entry.path[at : at + 32] for at in range(0, len(entry.path), 32)]
        verify_inclusion(entry.index, checkpoint.size, leaf_hash(entry.entry), checkpoint.root, path)


async def test_events_beyond_the_end(services):
    size = services.ledger.sequencer.head.size
    for indices in ([size], [0, 2**64 - 1]):
        assert await refused(events_for(services, LEDGER, indices)) == ("FIELD_INVALID", "indices")
