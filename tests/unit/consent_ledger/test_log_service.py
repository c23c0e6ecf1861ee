"""The log over gRPC: what anybody can check."""

import pytest

from consent_ledger.events import open_event, parse_leaf
from consent_ledger.log.checkpoint import open_checkpoint
from consent_ledger.log.merkle import leaf_hash, root_of, verify_consistency, verify_inclusion
from consent_ledger.registry import Registry
from consent_ledger.v1 import log_pb2
from tests.support.ledger import (
    SIGNER,
    opening,
    subject,
)
from tests.support.ledger_services import Context, delivered, refused


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
