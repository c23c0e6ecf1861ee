import pytest

from consent_ledger.clock import DAY_MS
from consent_ledger.errors import RegieError
from consent_ledger.hashing import sha256
from gateway.crypto import signatures
from gateway.exchange.unresolved import LABEL_UNRESOLVED, OLDEST_DAYS, day_counts
from gateway.v1 import exchange_pb2 as pb
from gateway.validation import validate
from tests.support.crypto import NOW, PURPOSE, RECIPIENT, SENDER
from tests.support.exchange import CONTEXT, Town

TODAY = NOW // DAY_MS


@pytest.fixture
def town(tmp_path):
    town = Town(tmp_path)
    town.caller = RECIPIENT
    yield town
    town.close()


def request(town, *, signer=RECIPIENT, **changed):
    fields = {
        "recipient": RECIPIENT,
        "recipient_key_id": town.directory.participant(RECIPIENT).key("sign").key_id,
        "purpose": PURPOSE,
        "day": TODAY - 1,
        "unresolved": 20,
    }
    report = pb.UnresolvedReport(**(fields | changed)).SerializeToString()
    signature = signatures.sign(town.world.sign[signer], LABEL_UNRESOLVED, sha256(report))
    return pb.ReportUnresolvedRequest(report=report, signature=signature)


async def tell(town, **changed):
    message = request(town, **changed)
    validate(message)
    return await town.exchange.ReportUnresolved(message, CONTEXT)


async def reason(awaitable):
    with pytest.raises(RegieError) as caught:
        await awaitable
    return caught.value.reason


def kept(town):
    return [(found.day, found.unresolved) for found in day_counts(town.folder / "gateway.db", 0)]


async def test_a_count_is_kept_once_and_survives_a_restart(town):
    await tell(town)
    await tell(town)
    town.restart()
    await tell(town)
    await tell(town, day=TODAY - 2, unresolved=0)
    assert kept(town) == [(TODAY - 1, 20), (TODAY - 2, 0)]


async def test_another_count_of_a_day_is_refused(town):
    await tell(town)
    assert await reason(tell(town, unresolved=30)) == "FIELD_INVALID"
    assert kept(town) == [(TODAY - 1, 20)]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"unresolved": 7}, "FIELD_INVALID"),  # fine enough to be about somebody
        ({"day": TODAY}, "NOT_FRESH"),
        ({"day": TODAY + 1}, "NOT_FRESH"),
        ({"day": TODAY - OLDEST_DAYS - 1}, "NOT_FRESH"),
        ({"recipient": SENDER}, "PEER_MISMATCH"),
        ({"recipient_key_id": bytes(8)}, "KEY_UNKNOWN"),
        ({"signer": SENDER}, "SIGNATURE_INVALID"),
        ({"purpose": "onbekend"}, "PURPOSE_UNKNOWN"),
        ({"purpose": "Ongeldig"}, "FIELD_INVALID"),
    ],
)
async def test_what_is_not_a_count_of_the_callers_closed_day_is_refused(town, changed, expected):
    assert await reason(tell(town, **changed)) == expected
    assert kept(town) == []


async def test_only_who_receives_for_a_purpose_counts(town):
    town.directory.change(RECIPIENT, kind="tax_office")
    assert await reason(tell(town)) == "DOMAIN_NOT_OWN"


@pytest.mark.parametrize("field", ["report", "signature"])
def test_messages_have_rules(town, field):
    message = request(town)
    message.ClearField(field)
    with pytest.raises(RegieError, match=field):
        validate(message)
