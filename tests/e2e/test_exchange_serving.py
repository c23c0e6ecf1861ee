"""Submit, pull, acknowledge through the real roles and SDK, in one process: what arrives, what is withheld, what leaks."""

import asyncio
import io
import logging
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import structlog
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from consent_ledger.hashing import header_hash, sha256
from consent_ledger.v1 import decisions_pb2
from consent_ledger.v1.batch_pb2 import BatchHeader
from consent_ledger.verify import verify_database
from consent_ledger.verify.fsck import fsck
from consent_ledger.verify.replay import replay
from gateway.crypto import signatures
from gateway.directory.channels import open_channel
from gateway.errors import from_rpc
from gateway.exchange.submit import Submitter
from gateway.home import Home
from gateway.sdk.agency import Agency
from gateway.sdk.enrolfile import enrol_file
from gateway.sdk.importfile import import_file
from gateway.sdk.sendfile import send_file
from gateway.server import serving
from gateway.settings import Settings
from gateway.telemetry import logs, traces
from gateway.town.participants import LAMPJE, LEDGER, LINDEWAARD, STROOMTUIN, VIEWER, ZONNEVEEN
from gateway.v1 import exchange_pb2 as pb
from gateway.v1 import exchange_pb2_grpc
from tests.support import people
from tests.support.servers import make_home

PURPOSE = "vroegsignalering-energie"
ITEM = "betalingsachterstand"
ROLES = ("gateway", "pseudonyms", "ledger", "witness")
PERSONS = people.people(6)
ANSWERS = ("JA", "JA", "NEE", "VRAAG_MIJ_EERST", "JA")  # the sixth person chose nothing


@dataclass
class Town:
    home: Home
    folder: Path
    spans: InMemorySpanExporter
    log: io.StringIO

    @asynccontextmanager
    async def agency(self, oin):
        async with Agency.open(self.home, oin) as agency:
            yield agency

    async def choose(self, *answers):
        path = people.choices(self.folder / "choices.csv", answers, LAMPJE.oin, ZONNEVEEN.oin, PURPOSE, ITEM)
        async with self.agency(VIEWER.oin) as portal:
            assert (await import_file(portal, path)).rejected_rows == 0

    async def send(self, persons=PERSONS, name="arrears.csv"):
        path = people.arrears(self.folder / name, persons)
        async with self.agency(LAMPJE.oin) as sender:
            return (await send_file(sender, path, purpose=PURPOSE, recipient=ZONNEVEEN.oin)).sent

    async def receive(self):
        got = []
        async with self.agency(ZONNEVEEN.oin) as recipient:
            async for delivery in recipient.recipient().deliveries():
                got.append(delivery.values())
                await delivery.done()
        return got

    async def pull(self, oin, *, signer=None, claim=None, **request):
        """Pull by hand, as an agency that does not use the SDK."""
        organisation = self.home.organisation(oin)
        async with open_channel(self.home, organisation, "gateway") as channel:
            return await exchange_pb2_grpc.ExchangeServiceStub(channel).Pull(pb.PullRequest(**request), timeout=10)

    async def signed_pull(self, batch, oin, *, signer=None, nonce=None):
        async with self.agency(oin) as agency:
            key_id = (await agency.registry()).participant(oin).key("sign").key_id
            now = agency.clock()
        nonce = nonce or os.urandom(32)
        pull = decisions_pb2.Pull(
            header_hash=batch, nonce=nonce, time_ms=now, recipient=oin, recipient_key_id=key_id
        ).SerializeToString()
        key = signatures.signing_key(self.home.organisation(signer or oin).key("sign"))
        return decisions_pb2.SignedPull(pull=pull, signature=signatures.sign(key, b"regie/s/pull/v1", sha256(pull)))


@pytest.fixture
async def town(tmp_path):
    home = make_home(tmp_path / "home")
    town = Town(home, tmp_path, InMemorySpanExporter(), io.StringIO())
    before, handlers = structlog.get_config(), logging.getLogger().handlers
    logs.configure(town.log)
    provider = traces.make_provider(town.spans)
    async with serving(home, ROLES, settings=Settings(lease_seconds=0.2), provider=provider):
        async with town.agency(ZONNEVEEN.oin) as municipality:
            await enrol_file(municipality, people.residents(tmp_path / "residents.csv", PERSONS))
        await town.choose(*zip(PERSONS, ANSWERS, strict=False))
        yield town
    structlog.configure(**before)
    logging.getLogger().handlers = handlers


async def test_what_residents_allow_arrives_once_and_nothing_else(town):
    summary = await town.send()
    assert summary.counts == {
        **dict.fromkeys(summary.counts, 0),
        "accepted": 3,
        "geen_toestemming": 2,
        "later_opnieuw": 1,
    }
    got = await town.receive()
    assert sorted(one["resident_ref"] for one in got) == [PERSONS[at].ref for at in (0, 1, 4)]
    assert await town.receive() == []
    again = await town.send()
    assert again.counts["accepted"] == 3
    assert await town.receive() == []


async def test_a_withdrawal_before_delivery_stops_it(town):
    await town.send()
    await town.choose((PERSONS[1], "NEE"))
    assert sorted(one["resident_ref"] for one in await town.receive()) == [PERSONS[0].ref, PERSONS[4].ref]
    ledger = (town.home.operator("ledger").data / "ledger.db", town.home.log_verifier_key)
    assert verify_database(*ledger)
    # With signatures that are real: every table is as the log says, and every decision as the rules say.
    assert fsck(*ledger).count == 0
    counts = replay(*ledger).counts
    assert counts["withheld"] == {"match": 1}
    assert {verdict for of_kind in counts.values() for verdict in of_kind} == {"match"}


async def offered(town):
    (offer,) = (await town.pull(ZONNEVEEN.oin, max_batches=1)).offers
    return header_hash(offer.header)


async def refusal(awaitable):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await awaitable
    return from_rpc(caught.value).reason


async def test_only_the_recipient_with_its_own_signature_pulls(town):
    await town.send()
    batch = await offered(town)
    other = await town.signed_pull(batch, LINDEWAARD.oin)
    assert await refusal(town.pull(LINDEWAARD.oin, pulls=[other])) == "BATCH_UNKNOWN"
    mine = await town.signed_pull(batch, ZONNEVEEN.oin)
    assert await refusal(town.pull(LINDEWAARD.oin, pulls=[mine])) == "PEER_MISMATCH"
    forged = await town.signed_pull(batch, ZONNEVEEN.oin, signer=LINDEWAARD.oin)
    assert await refusal(town.pull(ZONNEVEEN.oin, pulls=[forged])) == "SIGNATURE_INVALID"
    (delivery,) = (await town.pull(ZONNEVEEN.oin, pulls=[mine])).deliveries
    assert len(delivery.items) == 3


async def test_the_same_pull_gets_the_same_release_and_a_nonce_counts_once(town):
    await town.send()
    batch = await offered(town)
    pull = await town.signed_pull(batch, ZONNEVEEN.oin)
    one = await town.pull(ZONNEVEEN.oin, pulls=[pull])
    assert await town.pull(ZONNEVEEN.oin, pulls=[pull]) == one
    nonce = decisions_pb2.Pull.FromString(pull.pull).nonce
    again = await town.signed_pull(batch, ZONNEVEEN.oin, nonce=nonce)
    if again.pull != pull.pull:
        assert await refusal(town.pull(ZONNEVEEN.oin, pulls=[again])) == "NONCE_REUSED"


async def test_another_supplier_cannot_submit_the_batch_of_a_colleague(town):
    sent = []
    async with town.agency(LAMPJE.oin) as sender:
        submit = sender.remote.submit

        async def record(request):
            sent.append(request)
            return await submit(request)

        sender.remote.submit = record
        path = people.arrears(town.folder / "arrears.csv", PERSONS)
        await send_file(sender, path, purpose=PURPOSE, recipient=ZONNEVEEN.oin)
    (request,) = sent
    assert BatchHeader.FromString(request.header).sender == LAMPJE.oin
    async with open_channel(town.home, town.home.organisation(STROOMTUIN.oin), "gateway") as channel:
        stub = exchange_pb2_grpc.ExchangeServiceStub(channel)
        assert await refusal(stub.SubmitBatch(request, timeout=10)) == "PEER_MISMATCH"
    async with open_channel(town.home, town.home.organisation(LEDGER.oin), "gateway") as channel:
        stub = exchange_pb2_grpc.ExchangeServiceStub(channel)
        assert await refusal(stub.SubmitBatch(request, timeout=10)) == "PEER_KIND_NOT_SERVED"


async def test_one_trace_runs_through_all_three_operators(town):
    town.spans.clear()
    await town.send()
    spans = town.spans.get_finished_spans()
    by_name = {span.name.rsplit("/", 1)[-1]: span for span in spans}
    submit, second, decide = (by_name[name] for name in ("SubmitBatch", "EvaluateSignals", "Decide"))
    assert submit.context.trace_id == second.context.trace_id == decide.context.trace_id
    for asked, stage in ((second, by_name["ask pseudonyms"]), (decide, by_name["ask ledger"])):
        assert asked.parent.span_id == stage.context.span_id
        assert stage.parent.span_id == submit.context.span_id
    assert submit.attributes["regie.count"] == 6
    assert all(set(span.attributes) <= traces.ALLOWED_ATTRIBUTES for span in spans)


async def test_stopping_finishes_what_is_in_flight(tmp_path, monkeypatch):
    town = Town(make_home(tmp_path / "home"), tmp_path, InMemorySpanExporter(), io.StringIO())
    at_ledger, inner = asyncio.Event(), Submitter._ask_ledger

    async def slowly(*arguments):
        at_ledger.set()
        await asyncio.sleep(0.5)
        return await inner(*arguments)

    monkeypatch.setattr(Submitter, "_ask_ledger", slowly)
    async with serving(town.home, ROLES):
        sending = asyncio.create_task(town.send())
        await asyncio.wait_for(at_ledger.wait(), 10)
    assert (await sending).counts["geen_toestemming"] == len(PERSONS)


async def test_nothing_planted_is_found_with_the_operators(town):
    await town.send()
    await town.receive()
    planted = {"arrears.csv"}
    for person in PERSONS:
        planted |= {person.bsn, person.address["postcode"], person.address["birth_date"]}
        if person.number:  # an OIN begins with six zeros, and before it any byte may stand, also a K or an R
            planted |= {f"K{person.number:06d}", person.ref}
    folders = [town.home.operator(role).data for role in ROLES if role != "witness"]
    folders.append(town.home.folder / "witness")
    files = {path: path.read_bytes() for folder in folders for path in folder.iterdir()}
    assert any(PURPOSE.encode() in content for content in files.values())  # the search finds what is there
    texts = {
        "log": town.log.getvalue().encode(),
        "spans": "".join(s.to_json() for s in town.spans.get_finished_spans()).encode(),
    }
    assert b"listening" in texts["log"]
    for name, content in {**files, **texts}.items():
        for value in planted:
            assert value.encode() not in content, (name, value)
