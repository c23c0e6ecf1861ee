"""The port of the residents' pages through real services: rows, records, proofs, copies, codes, representatives."""

import json
from contextlib import asynccontextmanager
from datetime import date
from decimal import Decimal
from hashlib import sha256

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.events import chain_hash, commitment
from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.v1 import events_pb2
from consent_ledger.v1.events_pb2 import PrivatePart
from consent_ledger.verify.receipt import verify_receipt
from consent_ledger.viewer.port import Person, presence_proof
from gateway.crypto.identifiers import AddressBirthDate
from gateway.sdk.agency import Agency
from gateway.sdk.resident import open_portal
from gateway.sdk.rows import ArrearsRow, Resident, ResidentRow
from gateway.server import serving
from tests.support.sdk import CITY, PURPOSE, SUPPLIER

ROLES = ("witness", "ledger", "pseudonyms", "gateway")
ANNA = Person(bsn="999990019", postcode="1234 ab", house_number="1", birth_date="1980-02-29")
BEN = Person(postcode="1234AB", house_number="2", birth_date="1980-02-29")
WEB = events_pb2.Capture(via=events_pb2.CAPTURED_VIA_WEB, by="self", language="nl")
DESK = events_pb2.Capture(via=events_pb2.CAPTURED_VIA_DESK, by="balie-7", language="nl")
SCOPE = events_pb2.Scope(sender=SUPPLIER, recipient=CITY, purpose=PURPOSE)
GRANT = pb.Grant(scope=SCOPE, items=["betalingsachterstand"], mode=events_pb2.MODE_JA, months=6)


@asynccontextmanager
async def served(home):
    async with serving(home, ROLES), open_portal(home) as portal:
        yield portal


def address(number: int) -> AddressBirthDate:
    return AddressBirthDate("1234AB", str(number), "", "", "1980-02-29")


async def send(home, number):
    """Report arrears of somebody, under a reference of its own: the same row again would get the same answer."""
    fact = (Decimal(2), True, False, date(2026, 11, 1), ("reminder",))
    async with Agency.open(home, SUPPLIER) as agency:
        row = ArrearsRow(agency.rng(8).hex(), address(number), *fact)
        (answer,) = (await agency.sender().send([row], purpose=PURPOSE, recipient=CITY)).answers.values()
        return answer


async def receive(home):
    async with Agency.open(home, CITY) as agency:
        await agency.enrolment().enrol([ResidentRow("R1", Resident(None, address(1)))])
        found = []
        async for delivery in agency.recipient().deliveries():
            found.append(delivery)
            await delivery.done()
        return found


async def reason(awaitable) -> str:
    with pytest.raises(RegieError) as caught:
        await awaitable
    return caught.value.reason


async def test_rows_are_of_every_purpose_the_identifiers_fit(home):
    async with served(home) as portal:
        both, address_only = await portal.rows(ANNA), await portal.rows(BEN)
        purposes = {purpose.id: purpose.schemes for purpose in (await portal.registry()).purposes}
        assert {row.purpose: len(row.elements) for row in both} == {name: len(s) for name, s in purposes.items()}
        assert {row.purpose for row in address_only} == {n for n, s in purposes.items() if "nl.addr-dob" in s}
        assert await portal.rows(ANNA) == both, "the same person has the same rows"
        assert await reason(portal.rows(Person(bsn="999990018"))) == "FIELD_INVALID"
        assert await reason(portal.rows(Person())) == "FIELD_INVALID"


async def test_a_choice_shown_proven_and_stopped(home):
    async with served(home) as portal:
        rows = await portal.rows(ANNA)
        (granted,) = await portal.change(rows, WEB, GRANT)
        assert await send(home, 1) == "accepted"
        record = await portal.record(rows)
        (exchange,) = record.exchanges
        assert (exchange.waiting, exchange.released_index) == (True, 0)
        entry = await portal.entry(rows, exchange.log_index)
        assert [event.log_index for event in entry.deciding] == [granted]
        assert entry.deciding[0].event.consent_granted.capture.language == "nl"
        await receive(home)
        entry = await portal.entry(rows, exchange.log_index)
        assert [each.kind for each in entry.followed] == ["exchange_released", "exchange_acknowledged"]
        for index in (granted, exchange.log_index, *(each.log_index for each in entry.followed)):
            proof = await portal.proof(rows, index)
            assert verify_receipt(proof.proof, portal.log_verifier_keys).index == index
        (stopped,) = await portal.change(rows, WEB, pb.Withdraw(scope=SCOPE))
        assert stopped > granted
        assert await send(home, 1) == "geen_toestemming"


async def test_nobody_elses_entry_is_shown(home):
    async with served(home) as portal:
        anna, ben = await portal.rows(ANNA), await portal.rows(BEN)
        (granted,) = await portal.change(anna, WEB, GRANT)
        await send(home, 1)
        (exchange,) = (await portal.record(anna)).exchanges
        for index in (granted, exchange.log_index, 0, 10**6, 2**63):
            for ask in (portal.entry, portal.proof, portal.copy):
                assert await reason(ask(ben, index)) == "ENTRY_UNKNOWN"
        assert not (await portal.record(ben)).exchanges


async def test_the_copy_says_what_the_recipient_was_told_and_is_gone_when_refused(home):
    async with served(home) as portal:
        rows = await portal.rows(ANNA)
        assert await send(home, 1) == "geen_toestemming"
        (refused,) = (await portal.record(rows)).exchanges
        assert await reason(portal.copy(rows, refused.log_index)) == "COPY_GONE"
        (granted,) = await portal.change(rows, WEB, GRANT)
        assert await reason(portal.copy(rows, granted)) == "COPY_GONE", "a choice has no copy"
        await send(home, 1)
        exchange = (await portal.record(rows)).exchanges[0]
        waiting = await portal.copy(rows, exchange.log_index)
        (delivery,) = await receive(home)
        delivered = await portal.copy(rows, exchange.log_index)
        assert delivered == waiting, "also when the gateway erased the recipient's part"
        words = {line.label.nl: line.value.nl for line in delivered.lines}
        assert delivery.values()["signal"]["months"] == "1-2"
        assert words["Zo lang is er een achterstand"] == "1 tot 2 maanden"
        assert words["De levering stopt misschien"] == "Ja"
        assert words["Wat er al is gedaan"] == "u kreeg een herinnering"
        assert delivered.not_shared.nl.startswith("Niet gedeeld")


async def test_a_copy_that_was_changed_on_its_way_is_refused(home):
    async with served(home) as portal:
        rows = await portal.rows(ANNA)
        await portal.change(rows, WEB, GRANT)
        await send(home, 1)
        (exchange,) = (await portal.record(rows)).exchanges
        real = portal._agency.remote.get_copy

        def lying(field):
            async def get_copy(request):
                answer = await real(request)
                value = bytearray(getattr(answer, field))
                value[-1] ^= 1
                setattr(answer, field, bytes(value))
                return answer

            return get_copy

        expected = {"path": "PROOF_INVALID", "root": "PROOF_INVALID", "sealed_viewer": "SIGNATURE_INVALID"}
        for field in ("header", "root", "sealed_viewer", "signature_recipient", "commitment", "ciphertext", "path"):
            portal._agency.remote.get_copy = lying(field)
            assert await reason(portal.copy(rows, exchange.log_index)) in {
                "PROOF_INVALID",
                "SIGNATURE_INVALID",
                expected.get(field),
            }


async def test_the_chain_holds_together_and_its_newest_is_in_the_log(home):
    async with served(home) as portal:
        rows = await portal.rows(ANNA)
        await portal.change(rows, WEB, GRANT)
        await portal.change(rows, WEB, pb.Pause())
        await portal.change(rows, WEB, pb.Resume())
        chains = (await portal.chain(rows, PURPOSE)).chains
        for chain in chains:
            expected_seq, expected_hash = chain.newest_seq, chain.newest
            for link in chain.links:
                assert chain_hash(commitment(link.salt, link.event)) == expected_hash
                (mine,) = [
                    each for each in PrivatePart.FromString(link.private_part).links if each.subject == chain.subject
                ]
                assert mine.subject_seq == expected_seq
                expected_seq, expected_hash = expected_seq - 1, mine.previous
            assert (expected_seq, expected_hash) == (0, b"")
        assert await reason(portal.chain(rows, "geen-doel")) == "PURPOSE_UNKNOWN"


async def test_a_desk_grant_needs_the_code_that_went_to_the_resident(home):
    async with served(home) as portal:
        rows = await portal.rows(ANNA)
        (refused,) = await portal.change(rows, DESK, GRANT)
        assert refused.reason == "PRESENCE_REQUIRED"
        case = await portal.send_code(rows, DESK, events_pb2.CODE_CHANNEL_PHONE, ANNA)
        (order,) = (portal._agency.organisation.data / "post").glob("*.json")
        assert order.stat().st_mode & 0o077 == 0
        code = json.loads(order.read_text("utf-8"))["code"]
        capture = events_pb2.Capture()
        capture.CopyFrom(DESK)
        capture.presence_proof = presence_proof(case.case_id, f" {code.lower()} ")
        (granted,) = await portal.change(rows, capture, GRANT)
        (choice,) = (await portal.record(rows)).choices
        assert choice.captured_via == events_pb2.CAPTURED_VIA_DESK
        assert choice.awaits_confirmation
        assert await send(home, 1) == "geen_toestemming", "not yet: seven days, or the resident's confirmation"
        await portal.change(rows, WEB, pb.Confirm(scope=SCOPE, granted_index=granted))
        assert await send(home, 1) == "accepted"
        entry = await portal.entry(rows, granted)
        assert (
            entry.entry.event.consent_granted.capture.presence_proof
            == sha256(b"regie/presence/v1" + presence_proof(case.case_id, code)).digest()
        ), "the log does not give the code away"
        (attempt,) = (await portal.others(rows)).attempts
        assert (attempt.attempt.what, attempt.attempt.capture.by) == ("grant", "balie-7")


async def test_what_is_sent_twice_under_one_id_is_done_once(home):
    name = [bytes([number]) * 16 for number in range(1, 6)]
    async with served(home) as portal:
        rows = await portal.rows(ANNA)
        assert await portal.change(rows, WEB, GRANT, change_ids=name[:1]) == await portal.change(
            rows, WEB, GRANT, change_ids=name[:1]
        )
        to = {"organisation": SCOPE.sender, "purpose": PURPOSE, "text": "Wie belt mij?"}
        asked = [await portal.ask(rows, WEB, **to, change_id=name[1]) for _ in range(2)]
        assert asked[0].record == asked[1].record
        assert asked[1].text == "Wie belt mij?"
        how = {"mandate": events_pb2.MANDATE_LOOK, "relation": events_pb2.RELATION_FAMILY, "months": 3}
        invited = [await portal.invite(rows, WEB, **how, change_id=name[2]) for _ in range(2)]
        assert invited[0] == invited[1]
        codes = [
            await portal.send_code(rows, DESK, events_pb2.CODE_CHANNEL_PHONE, ANNA, change_id=name[3]) for _ in range(2)
        ]
        assert codes[0].case_id == codes[1].case_id
        orders = (portal._agency.organisation.data / "post").glob("*.json")
        assert len({json.loads(each.read_text("utf-8"))["code"] for each in orders}) == 1
        links = (await portal.chain(rows, PURPOSE)).chains[0].links
        kinds = [events_pb2.Event.FromString(link.event).WhichOneof("body") for link in links]
        assert len(kinds) == len(set(kinds))
        assert await portal.erase(rows, WEB, change_id=name[4]) == await portal.erase(rows, WEB, change_id=name[4])


async def test_a_representative_with_a_login_of_their_own(home):
    async with served(home) as portal:
        rows = await portal.rows(ANNA)
        invitation = await portal.invite(
            rows,
            WEB,
            mandate=events_pb2.MANDATE_STOP,
            relation=events_pb2.RELATION_FAMILY,
            months=3,
        )
        login = portal.login_hash("sub-of-the-daughter")
        assert await reason(portal.mandate(rows, login)) == "BEYOND_MANDATE"
        assert await reason(portal.accept(rows, login, "0000-0000")) == "BEYOND_MANDATE"
        record = await portal.accept(rows, login, invitation.code)
        assert record.reference == invitation.reference
        acting = events_pb2.Capture(via=events_pb2.CAPTURED_VIA_REPRESENTATIVE, by=record.reference.hex())
        granted, stopped = await portal.change(rows, acting, GRANT, pb.Refuse(scope=SCOPE))
        assert granted.reason == "BEYOND_MANDATE"
        assert isinstance(stopped, int)
        await portal.change(rows, WEB, pb.EndRepresentative(reference=invitation.reference))
        assert await reason(portal.mandate(rows, login)) == "BEYOND_MANDATE"
        (after,) = await portal.change(rows, acting, pb.Pause())
        assert after.reason == "BEYOND_MANDATE"


async def test_views_are_recorded_once_a_day_for_each_who_looks(home):
    async with served(home) as portal:
        rows = await portal.rows(ANNA)
        first = await portal.view(rows, WEB, events_pb2.VIEW_KIND_PAGES)
        assert await portal.view(rows, WEB, events_pb2.VIEW_KIND_PAGES) == first
        desk = await portal.view(rows, DESK, events_pb2.VIEW_KIND_PAGES)
        copy = await portal.view(rows, WEB, events_pb2.VIEW_KIND_COPY)
        others = await portal.others(rows)
        assert [view.log_index for view in others.views] == [copy, desk, first]
        assert not (await portal.others(await portal.rows(BEN))).views


async def test_a_question_is_sealed_and_comes_back_in_words(home):
    async with served(home) as portal:
        rows = await portal.rows(ANNA)
        await portal.change(rows, WEB, GRANT)
        await send(home, 1)
        await receive(home)
        exchange = (await portal.record(rows)).exchanges[0]
        asked = await portal.ask(
            rows,
            WEB,
            organisation=CITY,
            purpose=PURPOSE,
            text="Wat heeft u hiermee gedaan?",
            about_index=exchange.log_index,
        )
        (found,) = await portal.questions(rows)
        assert found == asked
        assert (found.text, found.answer) == ("Wat heeft u hiermee gedaan?", "")


async def test_erasure_leaves_nothing_and_the_chain_says_so(home):
    async with served(home) as portal:
        rows = await portal.rows(ANNA)
        (granted,) = await portal.change(rows, WEB, GRANT)
        preview = await portal.preview_erasure(rows)
        assert [entry.log_index for entry in preview.entries] == [granted]
        erased = await portal.erase(rows, WEB)
        assert erased.entries == 1
        assert not (await portal.record(rows)).choices
        assert await reason(portal.entry(rows, granted)) == "ENTRY_UNKNOWN"
        (chain,) = (await portal.chain(rows, PURPOSE)).chains
        assert [link.log_index for link in chain.links] == list(erased.log_indices)
        assert chain.newest_seq == 2
