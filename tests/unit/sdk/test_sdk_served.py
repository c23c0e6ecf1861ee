"""Enrolment, portal and recipient against running services, and against services that lie."""

from contextlib import aclosing, asynccontextmanager, closing
from datetime import date
from decimal import Decimal

import pysqlite3.dbapi2 as sqlite
import pytest

from consent_ledger.clock import system_clock
from consent_ledger.errors import RegieError
from consent_ledger.v1 import consents_pb2, events_pb2
from consent_ledger.verify.receipt import verify_receipt
from gateway.crypto.identifiers import AddressBirthDate, Bsn
from gateway.sdk import choices
from gateway.sdk.agency import Agency
from gateway.sdk.enrolment import enrolment_database
from gateway.sdk.inbox import Inbox
from gateway.sdk.remote import GrpcRemote
from gateway.sdk.rows import ArrearsRow, ChoiceRow, Resident, ResidentRow
from gateway.server import serving
from tests.support.sdk import CITY, PURPOSE, SUPPLIER
from tests.support.servers import registry_of

ROLES = ("witness", "ledger", "pseudonyms", "gateway")


def person(number: int) -> AddressBirthDate:
    return AddressBirthDate("1234AB", str(number + 1), "", "", "1980-02-29")


def resident(number: int) -> Resident:
    return Resident(None, person(number))


def row(number: int, reference: str = "") -> ArrearsRow:
    return ArrearsRow(reference or f"K{number}", person(number), Decimal(2), True, False, date(2026, 11, 1))


def yes(number: int, answer: str = "JA") -> ChoiceRow:
    return ChoiceRow(resident(number), SUPPLIER, CITY, PURPOSE, (), answer, 12)


@asynccontextmanager
async def city(home, remote=None):
    async with Agency.open(home, CITY, remote=remote) as agency:
        yield agency


@asynccontextmanager
async def portal(home, remote=None):
    async with Agency.open(home, home.operators["viewer"], remote=remote) as agency:
        yield agency


async def choose(home, *rows, **options):
    async with portal(home) as agency:
        purpose = (await agency.registry()).purpose(PURPOSE)
        return await agency.portal().record([choices.choice(found, purpose) for found in rows], **options)


async def send(home, *rows):
    async with Agency.open(home, SUPPLIER) as agency:
        return await agency.sender().send(rows, purpose=PURPOSE, recipient=CITY)


async def receive(agency, refused=lambda _batch, _error: None, *, done=True):
    found = []
    async with aclosing(agency.recipient().deliveries(refused=refused)) as stream:
        async for delivery in stream:
            found.append(delivery)
            if done:
                await delivery.done()
    return found


async def enrol(home, *numbers, **options):
    async with city(home) as agency:
        rows = [ResidentRow(f"R{number}", resident(number)) for number in numbers]
        return await agency.enrolment().enrol(rows, **options)


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


class Lying(GrpcRemote):
    """The real services, seen through somebody who changes what they say."""

    def __init__(self, home, oin, change):
        super().__init__(home, home.organisation(oin), system_clock)
        self.change, self.acknowledged = change, 0

    async def pull(self, request):
        answer = await super().pull(request)
        for delivery in answer.deliveries:
            self.change(delivery)
        return answer

    async def acknowledge(self, request):
        self.acknowledged += 1
        await super().acknowledge(request)

    async def evaluate_rows(self, request):
        answer = await super().evaluate_rows(request)
        self.change(answer)
        return answer

    async def record(self, request):
        answer = await super().record(request)
        self.change(answer)
        return answer


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


async def test_enrolled_residents_cost_nothing_again(home):
    async with serving(home, ROLES):
        first = await enrol(home, 0, 1)
        second = await enrol(home, 0, 1, 2)
    assert (first.enrolled, first.unchanged) == (2, 0)
    assert (second.enrolled, second.unchanged) == (1, 2)


async def _references(home):
    with enrolment_database(home.organisation(CITY)) as database:
        rows = await database.run(lambda c: c.exec_driver_sql("SELECT resident_ref FROM enrolled").all())
    return sorted((reference or "-") for (reference,) in rows)


async def _enrol_rows(home, *rows, **options):
    async with city(home) as agency:
        return await agency.enrolment().enrol(rows, **options)


async def test_two_residents_that_cannot_be_told_apart_are_not_matched(home):
    twins = [ResidentRow("A", resident(0)), ResidentRow("B", resident(0)), ResidentRow("C", resident(1))]
    async with serving(home, ROLES):
        summary = await _enrol_rows(home, *twins)
        assert set(summary.ambiguous) == {"A", "B"}
        assert await _references(home) == ["C"]


async def test_a_twin_that_is_enrolled_later_unmatches_both_unless_the_register_says_otherwise(home):
    async with serving(home, ROLES):
        await _enrol_rows(home, ResidentRow("A", resident(0)))
        assert set((await _enrol_rows(home, ResidentRow("B", resident(0)))).ambiguous) == {"B"}
        assert await _references(home) == ["-"]
        assert set((await _enrol_rows(home, ResidentRow("B", resident(0)))).ambiguous) == {"B"}
        await _enrol_rows(home, ResidentRow("B", resident(0)), full=True)
        assert await _references(home) == ["B"]


async def test_who_moves_out_makes_room(home):
    async with serving(home, ROLES):
        await _enrol_rows(home, ResidentRow("A", resident(0)))
        await _enrol_rows(home, ResidentRow("A", resident(5)), ResidentRow("B", resident(0)))
        assert await _references(home) == ["A", "B"]


def _other_factor(answer):
    answer.second.proof = bytes(64)


def _other_element(answer):
    answer.second.elements = answer.first.elements


@pytest.mark.parametrize("change", [_other_factor, _other_element])
async def test_an_evaluator_that_cheats_is_found_out(home, change):
    async with serving(home, ROLES):
        with pytest.raises(RegieError) as refused:
            async with city(home, Lying(home, CITY, change)) as agency:
                await agency.enrolment().enrol([ResidentRow("A", resident(0))])
    assert refused.value.reason in {"PROOF_INVALID", "ELEMENT_INVALID"}
    assert await _references(home) == []


async def test_an_evaluator_that_changes_its_key_is_found_out(home):
    async with serving(home, ROLES):
        await enrol(home, 0)
        with enrolment_database(home.organisation(CITY)) as database:
            await database.run(lambda c: c.exec_driver_sql("UPDATE pinned_key SET public = zeroblob(32)"))
        with pytest.raises(RegieError) as refused:
            await enrol(home, 1)
    assert refused.value.reason == "PROOF_INVALID"


def _unsigned(answer):
    if isinstance(answer, consents_pb2.RecordResponse):
        answer.signature = bytes(64)


def _other_receipt(answer):
    if isinstance(answer, consents_pb2.RecordResponse):
        receipt = consents_pb2.RecordReceipt.FromString(answer.receipt)
        receipt.results[0].log_index = 1
        answer.receipt = receipt.SerializeToString()


@pytest.mark.parametrize("change", [_unsigned, _other_receipt])
async def test_a_choice_is_done_only_on_a_signed_receipt(home, change):
    viewer = home.operators["viewer"]
    async with serving(home, ROLES):
        async with portal(home, Lying(home, viewer, change)) as agency:
            wish = choices.choice(yes(0), (await agency.registry()).purpose(PURPOSE))
            with pytest.raises(RegieError) as refused:
                await agency.portal().record([wish])
        assert refused.value.reason == "SIGNATURE_INVALID"
        assert (await choose(home, yes(0))).recorded == 1  # it is not remembered as done


async def test_an_equal_choice_is_recorded_once(home):
    async with serving(home, ROLES):
        first = await choose(home, yes(0), yes(0))
        assert (first.recorded, first.unchanged) == (1, 1)
        assert (await choose(home, yes(0))).unchanged == 1
        assert (await choose(home, yes(0), again=True)).recorded == 1
        assert (await choose(home, yes(0, "NEE"), yes(0))).recorded == 2
        sent = await send(home, row(0))
    assert sent.counts["accepted"] == 1


async def test_a_pause_beats_every_choice_and_ends(home):
    async with serving(home, ROLES):
        await choose(home, yes(0))
        async with portal(home) as agency:
            purposes = choices.choosable(await agency.registry())
            await agency.portal().record([choices.pause(resident(0), purposes, 0)])
            assert (await send(home, row(0, "A"))).counts["geen_toestemming"] == 1
            await agency.portal().record([choices.resumption(resident(0), purposes)])
        assert (await send(home, row(0, "B"))).counts["accepted"] == 1


def test_choices_are_checked_against_the_directory(home):
    registry = registry_of(home)

    def fields(**changes):
        values = {"sender": SUPPLIER, "recipient": CITY, "purpose": PURPOSE, "items": (), "answer": "JA", "months": 12}
        found = ChoiceRow(changes.pop("resident", resident(0)), **{**values, **changes})
        return [error.field for error in choices.check_choice(found, registry)]

    assert fields() == []
    assert fields(purpose="handhaving") == ["purpose"]
    assert fields(purpose="onbekend") == ["purpose"]
    assert fields(sender=CITY, recipient=SUPPLIER) == ["sender", "recipient"]
    assert fields(items=("inkomen_bedrag",)) == ["items"]
    assert fields(resident=Resident(Bsn("123456782"), None)) == ["postcode"]
