"""The loop between residents and agencies through running services: questions, notices, thresholds; and what is sealed."""

import json
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from hashlib import sha256

import pytest
from typer.testing import CliRunner

from consent_ledger import questions
from consent_ledger.errors import RegieError
from consent_ledger.service.tasks import LIST_BYTES
from consent_ledger.v1 import consents_pb2, decisions_pb2, events_pb2
from gateway.cli.app import app
from gateway.crypto import hpke, signatures
from gateway.crypto.ledger_side import INFO_TASKS
from gateway.sdk.agency import Agency
from gateway.sdk.remote import GrpcRemote
from gateway.sdk.resident import open_portal
from gateway.sdk.rows import prepare
from gateway.sdk.severity import severity_of
from gateway.sdk.tasks import Asked, Notice, Tasks
from gateway.server import serving
from gateway.v1 import signals_pb2
from tests.support.sdk import CITY, PURPOSE, SUPPLIER, TAX_OFFICE
from tests.support.sdk_served import ROLES, choose, city, enrol, receive, resident, row, send, yes

CAPTURE = events_pb2.Capture(via=events_pb2.CAPTURED_VIA_WEB, language="nl")
SCOPE = events_pb2.Scope(sender=SUPPLIER, recipient=CITY, purpose=PURPOSE)
TEXT = "Waarom belt u mij? Dat wil ik niet. 😀"


@asynccontextmanager
async def at(home, oin, remote=None):
    async with Agency.open(home, oin, remote=remote) as agency:
        yield Tasks(agency)


async def rows_of(portal):
    """The rows of resident 0 of test_sdk_served."""
    from consent_ledger.viewer.port import Person  # noqa: PLC0415  (imports the pages' port)

    person = resident(0).address
    return await portal.rows(
        Person(postcode=person.postcode, house_number=person.house_number, birth_date=person.birth_date)
    )


class Tapped(GrpcRemote):
    """Keeps what passes the gateway."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.seen = []

    async def list_tasks(self, request):
        answer = await super().list_tasks(request)
        self.seen.append((request.SerializeToString(), answer.SerializeToString()))
        return answer

    async def report_task(self, request):
        self.seen.append((request.SerializeToString(), b""))
        return await super().report_task(request)


async def delivered(home):
    await enrol(home, 0)
    await choose(home, yes(0))
    await send(home, row(0))
    async with city(home) as agency:
        (delivery,) = await receive(agency)
    return delivery


async def test_a_question_is_read_by_the_organisation_alone_and_the_answer_by_the_resident_alone(home):
    async with serving(home, ROLES), open_portal(home) as portal:
        delivery = await delivered(home)
        rows = await rows_of(portal)
        (exchange,) = (await portal.record(rows)).exchanges
        for about in (exchange.log_index, 0):
            asked = await portal.ask(rows, CAPTURE, organisation=CITY, purpose=PURPOSE, text=TEXT, about_index=about)
        async with at(home, SUPPLIER) as other:
            assert await other.questions() == []
        async with city(home) as agency:
            tap = Tapped(home, agency.organisation, agency.clock)
            tasks = Tasks(replace_remote(agency, tap))
            first, second = await tasks.questions()
            assert (first.text, first.delivery_id, second.delivery_id) == (TEXT, delivery.delivery_id, "")
            assert second.reference == asked.record.reference
            await tasks.answer(second.reference, "Dat spijt ons.")
            assert [left.reference for left in await tasks.questions()] == [first.reference]
            assert len(await tasks.questions(everything=True)) == 2
            with pytest.raises(RegieError, match="no open question"):
                await tasks.answer(second.reference, "Nog een keer.")
            await tap.close()
        newest = (await portal.questions(rows))[0]
        assert (newest.text, newest.answer, newest.record.overdue) == (TEXT, "Dat spijt ons.", False)
        passed = b"".join(part for pair in tap.seen for part in pair)
        for secret in (b"Waarom", b"spijt", bytes.fromhex(delivery.delivery_id.partition("-")[0])):
            assert secret not in passed
        assert len({len(answer) for _, answer in tap.seen if answer}) == 1, "a list does not tell how much is asked"


def replace_remote(agency, remote):
    agency.remote = remote
    return agency


@pytest.mark.parametrize("what", ["withdraw", "pause"])
async def test_what_was_delivered_must_be_used_no_more_once_the_resident_stops(home, what):
    stop = consents_pb2.Withdraw(scope=SCOPE) if what == "withdraw" else consents_pb2.Pause()
    async with serving(home, ROLES), open_portal(home) as portal:
        delivery = await delivered(home)
        rows = await rows_of(portal)
        async with at(home, CITY) as tasks:
            assert await tasks.notices() == []
            (index,) = await portal.change(rows, CAPTURE, stop)
            assert isinstance(index, int)
            (notice,) = await tasks.notices()
            assert (notice.delivery_ids, notice.sender, notice.purpose) == ((delivery.delivery_id,), SUPPLIER, PURPOSE)
            (told,) = (await portal.record(rows)).notices
            assert (told.because_index, told.acknowledged_ms, told.log_index) == (index, 0, notice.log_index)
            with pytest.raises(RegieError, match="expected one of stopped, deleted"):
                await tasks.acknowledge(notice.log_index, how="kept")
            await tasks.acknowledge(notice.log_index, how="deleted")
            assert await tasks.notices() == []
        record = await portal.record(rows)
        assert record.notices[0].how == events_pb2.STOP_USE_DELETED
        (exchange,) = record.exchanges
        assert 0 < exchange.stop_use_noticed_ms <= exchange.stop_use_acknowledged_ms


async def test_what_still_waits_in_the_inbox_is_handed_over_no_more_once_a_notice_is_acknowledged(home):
    """Pulled, and its reader stopped before it was safe with them: the next start would give it again."""
    async with serving(home, ROLES), open_portal(home) as portal:
        await enrol(home, 0)
        await choose(home, yes(0))
        await send(home, row(0))
        async with city(home) as agency:
            assert len(await receive(agency, done=False)) == 1
            assert len(await receive(agency, done=False)) == 1, "it comes again until somebody says that it is safe"
            await portal.change(await rows_of(portal), CAPTURE, consents_pb2.Withdraw(scope=SCOPE))
            (notice,) = await Tasks(agency).notices()
            await Tasks(agency).acknowledge(notice.log_index, how="stopped")
            assert await receive(agency) == []


async def test_a_sender_reaches_a_threshold_by_what_its_signal_says(home):
    """R4: two months are band 3 of 4; the gateway learns neither band nor threshold."""
    wish = replace(yes(0), threshold=3)
    async with serving(home, ROLES):
        await enrol(home, 0)
        await choose(home, wish)
        mild, serious = replace(row(0, "mild"), months=Decimal(1)), replace(row(0, "serious"), months=Decimal("2.5"))
        assert (await send(home, mild, serious)).answers == {"mild": "geen_toestemming", "serious": "accepted"}
        async with city(home) as agency:
            (delivery,) = await receive(agency)
    assert delivery.values()["signal"]["months"] == "2-3"


async def test_a_signal_that_says_less_than_its_sender_stated_is_refused_by_its_recipient(home, monkeypatch):
    """The ledger cannot read the signal; the recipient can, and finds that the threshold was passed by a lie."""
    said = []
    async with serving(home, ROLES):
        await enrol(home, 0)
        await choose(home, replace(yes(0), threshold=4))
        with monkeypatch.context() as lying:
            lying.setattr("gateway.sdk.dispatch.severity_of", lambda _payload: 4)
            assert (await send(home, row(0))).answers == {"K0": "accepted"}
        async with city(home) as agency:
            assert await receive(agency, lambda batch, error: said.append((batch, error.reason))) == []
    ((_, reason),) = said
    assert reason == "PROOF_INVALID"


class Lying(GrpcRemote):
    """A gateway that answers with a list of its own."""

    async def list_tasks(self, request):
        answer = await super().list_tasks(request)
        query = decisions_pb2.TaskQuery.FromString(request.list.query)
        content = decisions_pb2.TaskList().SerializeToString()
        registry = await self.directory()
        public = registry.participant(query.organisation).key("hpke").public
        answer.list.sealed = hpke.seal(public, INFO_TASKS + query.nonce, content)
        return answer


async def test_a_gateway_cannot_hide_a_notice(home):
    async with serving(home, ROLES), Agency.open(home, CITY) as agency:
        agency.remote = Lying(home, agency.organisation, agency.clock)
        with pytest.raises(RegieError, match="SIGNATURE_INVALID"):
            await Tasks(agency).notices()
        await agency.remote.close()


async def test_nobody_asks_or_reports_in_the_name_of_another(home):
    async with serving(home, ROLES), Agency.open(home, TAX_OFFICE) as agency:
        key = signatures.signing_key(agency.organisation.key("sign"))
        query = decisions_pb2.TaskQuery(
            nonce=bytes(32),
            time_ms=agency.clock(),
            organisation=CITY,
            key_id=(await agency.registry()).participant(CITY).key("sign").key_id,
        ).SerializeToString()
        from gateway.v1 import exchange_pb2 as pb  # noqa: PLC0415  (the names of the contract)

        signature = signatures.sign(key, b"regie/s/tasks/v1", sha256(query).digest())
        request = pb.ListTasksRequest(list=decisions_pb2.ListTasksRequest(query=query, signature=signature))
        with pytest.raises(RegieError, match="PEER_MISMATCH"):
            await agency.remote.list_tasks(request)


def test_lists_have_one_size_and_room_for_the_longest_question():
    longest = decisions_pb2.Task(log_index=2**40, question=decisions_pb2.QuestionTask(sealed=bytes(8_192)))
    assert 10 * longest.ByteSize() < LIST_BYTES
    assert questions.TEXT_BYTES > 4 * 1_500


@pytest.mark.parametrize(("months", "band"), [("0.5", 1), ("1", 2), ("2", 2), ("2.5", 3), ("3", 3), ("3.1", 4)])
def test_bands_of_arrears(months, band):
    prepared = prepare(replace(row(0), months=Decimal(months)), signals_pb2.PARTNER_KIND_ENERGIE)
    assert severity_of(prepared.payload) == band


def test_what_says_no_severity_has_none():
    assert severity_of(b"") == severity_of(b"\xff\xff") == 0


@pytest.mark.parametrize("command", [("question", "list"), ("notice", "list")])
def test_commands_say_how_they_are_called(command):
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "--json" in result.output


def test_json_of_values_is_json():
    asked = Asked(5, "VR-1", PURPOSE, "", 1, 10, 0, bytes(16), None)
    assert json.loads(json.dumps(asked.values(11)))["overdue"] is True
    assert asked.values(10)["overdue"] is False
    notice = Notice(7, SUPPLIER, PURPOSE, ("ab-1",), 1, 10, 11)
    assert notice.values(99)["overdue"] is True, "acknowledged after its day"
