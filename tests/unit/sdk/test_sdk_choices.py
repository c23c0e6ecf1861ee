"""Choices at the portal: recorded once, on a signed receipt, checked against the directory, beaten by a pause."""

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.v1 import consents_pb2
from gateway.crypto.identifiers import Bsn
from gateway.sdk import choices
from gateway.sdk.rows import ChoiceRow, Resident
from gateway.server import serving
from tests.support.sdk import CITY, PURPOSE, SUPPLIER
from tests.support.sdk_served import ROLES, Lying, choose, portal, resident, row, send, yes
from tests.support.servers import registry_of


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
