"""Delivery against running services, and against services that lie."""

from contextlib import closing

import pysqlite3.dbapi2 as sqlite
import pytest

from consent_ledger.clock import system_clock
from consent_ledger.errors import RegieError
from consent_ledger.v1 import events_pb2
from consent_ledger.verify.receipt import verify_receipt
from gateway.sdk import choices
from gateway.sdk.inbox import Inbox
from gateway.sdk.remote import GrpcRemote
from gateway.server import serving
from tests.support.sdk import CITY, PURPOSE, SUPPLIER
from tests.support.sdk_served import ROLES, Lying, choose, city, enrol, portal, receive, resident, row, send, yes


async def test_what_a_resident_allows_arrives_once_and_is_proven(home):
    async with serving(home, ROLES):
        await enrol(home, 0, 1)
        await choose(home, yes(0))
        sent = await send(home, row(0), row(1))
        assert sent.answers == {"K0": "accepted", "K1": "geen_toestemming"}
        async with city(home) as agency:
            (delivery,) = await receive(agency)
            assert await receive(agency) == []
    values = delivery.values()
    assert values["resident_ref"] == "R0"
    assert values["signal"]["months"] == "1-2"
    assert values["preferences"]["channels"] == ["brief"]
    event = verify_receipt(delivery.receipt, home.log_verifier_key).event
    assert event.exchange_released.sender == SUPPLIER


async def test_a_delivery_comes_again_until_the_caller_is_done(home):
    async with serving(home, ROLES):
        await enrol(home, 0)
        await choose(home, yes(0))
        await send(home, row(0))
        async with city(home) as agency:
            assert len(await receive(agency, done=False)) == 1
            assert len(await receive(agency)) == 1
            assert await receive(agency) == []


async def test_an_unknown_resident_comes_again_once_enrolled(home):
    async with serving(home, ROLES):
        await choose(home, yes(0))
        await send(home, row(0))
        async with city(home) as agency:
            (unknown,) = await receive(agency)
            assert await receive(agency) == []
        await enrol(home, 0)
        async with city(home) as agency:
            (known,) = await receive(agency)
            assert await receive(agency) == []
    assert (unknown.resident_ref, known.resident_ref) == (None, "R0")
    assert unknown.delivery_id == known.delivery_id


async def test_a_withdrawal_stops_what_was_accepted(home):
    async with serving(home, ROLES):
        await enrol(home, 0)
        await choose(home, yes(0))
        await send(home, row(0))
        async with portal(home) as agency:
            scope = choices.make_scope(SUPPLIER, CITY, (await agency.registry()).purpose(PURPOSE))
            await agency.portal().record([choices.withdrawal(resident(0), scope)])
        async with city(home) as agency:
            assert await receive(agency) == []


async def test_preferences_travel_with_the_signal(home):
    async with serving(home, ROLES):
        await enrol(home, 0)
        await choose(home, yes(0))
        async with portal(home) as agency:
            purposes = choices.choosable(await agency.registry())
            wanted = events_pb2.Preferences(
                channels=choices.channel_list(["email"], ""), never=choices.channel_list(["telefoon"], "")
            )
            await agency.portal().record([choices.preference(resident(0), purposes, wanted)])
        await send(home, row(0))
        async with city(home) as agency:
            (delivery,) = await receive(agency)
            index = await agency.recipient().report(
                delivery.delivery_id, offer="gesprek", channel="telefoon", when_ms=system_clock()
            )
        async with portal(home) as agency:
            record = await agency.portal().look_up(resident(0))
    assert delivery.values()["preferences"]["never"] == ["telefoon"]
    assert record.exchanges[0].outcome.offer == "gesprek"
    assert record.exchanges[0].outcome.deviation
    assert index > record.exchanges[0].log_index


def _forged(delivery):
    delivery.release.signature = bytes(64)


def _missing(delivery):
    delivery.release.ClearField("signature")


def _other_ciphertext(delivery):
    item = delivery.items[0]
    item.ciphertext = bytes(len(item.ciphertext))


def _other_root(delivery):
    delivery.root = bytes(32)


class Replayed:
    """The release of an earlier pull in the place of this one's."""

    def __init__(self):
        self.first = None

    def __call__(self, delivery):
        self.first = self.first or delivery.release.SerializeToString()
        delivery.release.ParseFromString(self.first)


@pytest.mark.parametrize("change", [_forged, _missing, _other_ciphertext, _other_root])
async def test_a_delivery_that_does_not_verify_is_refused_and_the_rest_goes_on(home, change):
    async with serving(home, ROLES):
        await enrol(home, 0, 1)
        await choose(home, yes(0), yes(1))
        await send(home, row(0))
        await send(home, row(1))
        lies = [change]
        remote = Lying(home, CITY, lambda delivery: lies.pop()(delivery) if lies else None)
        refused = []
        async with city(home, remote) as agency:
            found = await receive(agency, lambda batch, error: refused.append((batch, error)))
        assert len(found) == 1
        assert remote.acknowledged == 1
        assert len(refused) == 1
        with Inbox.open(home.organisation(CITY)) as inbox:
            assert len(await inbox.waiting(0, 1, 2)) == 1


async def test_a_reused_release_is_refused(home):
    async with serving(home, ROLES):
        await enrol(home, 0, 1)
        await choose(home, yes(0), yes(1))
        await send(home, row(0))
        await send(home, row(1))
        refused = []
        async with city(home, Lying(home, CITY, Replayed())) as agency:
            found = await receive(agency, lambda batch, error: refused.append(error.reason))
    assert len(found) == 1
    assert refused == ["PROOF_INVALID"]


async def test_a_crash_between_store_and_acknowledgement_delivers_once(home):
    async with serving(home, ROLES):
        await enrol(home, 0)
        await choose(home, yes(0))
        await send(home, row(0))

        class Dies(GrpcRemote):
            async def acknowledge(self, request):
                raise RegieError("SIGNATURE_INVALID", "the process ends here")

        with pytest.raises(RegieError):
            async with city(home, Dies(home, home.organisation(CITY), system_clock)) as agency:
                await receive(agency)
        remote = Lying(home, CITY, lambda _: None)
        async with city(home, remote) as agency:
            assert len(await receive(agency)) == 1
            assert await receive(agency) == []
        assert remote.acknowledged == 1


async def test_a_batch_is_acknowledged_only_once_it_is_durable(home):
    stored = []

    class Looks(GrpcRemote):
        async def acknowledge(self, request):
            with closing(sqlite.connect(home.organisation(CITY).data / "inbox.db")) as database:
                stored.append(database.execute("SELECT count(*) FROM received_signal").fetchone())
            await super().acknowledge(request)

    async with serving(home, ROLES):
        await enrol(home, 0)
        await choose(home, yes(0))
        await send(home, row(0))
        async with city(home, Looks(home, home.organisation(CITY), system_clock)) as agency:
            await receive(agency)
    assert stored == [(1,)]
