"""Rule 9: nobody on the way can tell a canary from a real signal, and no person can have a canary's pseudonym."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_ledger.clock import DAY_MS
from gateway.crypto.batch import SignalInput
from gateway.crypto.identifiers import CANARY, AddressBirthDate, BagBirthDate, Bsn, Canary, Ean, IdentifierError
from gateway.sdk.canary.cards import HeldCanary, smallest_signal
from gateway.sdk.rows import ArrearsRow, IncomeRow, prepare
from gateway.sdk.sealing import address_letter, seal
from gateway.v1 import exchange_pb2, signals_pb2
from gateway.validation import validate
from tests.support.crypto import NOW, valid_bsns
from tests.support.sdk import CITY, PURPOSE, SUPPLIER
from tests.support.servers import make_home, registry_of

TODAY = NOW // DAY_MS
ENERGY = signals_pb2.PARTNER_KIND_ENERGIE
BSN = Bsn(valid_bsns(1)[0])


def canary(signal_type="ARREARS"):
    held = HeldCanary(random.randbytes(32), SUPPLIER, CITY, PURPOSE, 1, NOW, NOW + DAY_MS)
    return held.prepared(TODAY, signal_type)


def row(number, *, steps=("reminder",), crisis=False):
    person = AddressBirthDate("1234AB", str(number + 1), "", "", "1980-02-29")
    return prepare(ArrearsRow(f"K{number}", person, Decimal("0.5"), crisis, False, date(2026, 1, 1), steps), ENERGY)


@pytest.fixture(scope="module")
def letter(tmp_path_factory):
    home = make_home(tmp_path_factory.mktemp("hidden") / "home")
    registry = registry_of(home)
    sender = next(p.oin for p in registry.participants if p.kind == "energy_supplier")
    recipient = next(p.oin for p in registry.participants if p.kind == "municipality")
    items = [item.name for item in registry.purpose(PURPOSE).items]
    return address_letter(
        registry, home.organisation(sender), recipient=recipient, purpose=PURPOSE, items=items, basis="observed"
    )


def sizes(letter, prepared):
    """What the gateway sees of a batch besides what is random or encrypted: the sizes of all its fields."""
    inputs = [
        (random.randbytes(32), SignalInput(one.message, one.signal_ref or random.randbytes(16), one.payload))
        for one in prepared
    ]
    with ThreadPoolExecutor(1) as workers:
        batch, _ = seal(letter, inputs, NOW, random.randbytes, workers)
    request = exchange_pb2.SubmitBatchRequest.FromString(batch.request)
    validate(request)
    found = {field.name: value if isinstance(value, int) else len(value) for field, value in request.ListFields()}
    return found | {"header": len(request.header)}


@pytest.mark.parametrize("steps", [(), ("reminder", "contact", "help_pointed", "offer_made")])
def test_a_batch_with_a_canary_looks_like_one_with_another_real_signal(letter, steps):
    real = [row(number, steps=steps) for number in range(6)]
    assert sizes(letter, [*real[:5], canary()]) == sizes(letter, real)


def test_its_reference_looks_random_and_differs_every_day():
    held = HeldCanary(bytes(32), SUPPLIER, CITY, PURPOSE, 1, NOW, NOW + DAY_MS)
    other = HeldCanary(bytes(31) + b"\1", SUPPLIER, CITY, PURPOSE, 1, NOW, NOW + DAY_MS)
    references = {one.signal_ref(day) for one in (held, other) for day in range(100)}
    assert len(references) == 200
    assert {len(reference) for reference in references} == {16}


ARREARS = st.builds(
    ArrearsRow,
    st.text(),
    st.just(None),
    st.decimals(0, 60, allow_nan=False),
    st.booleans(),
    st.booleans(),
    st.dates(date(1970, 1, 1), date(2100, 1, 1)),
    st.sets(st.sampled_from(("reminder", "contact", "help_pointed", "offer_made"))).map(tuple),
)
BANDS = st.integers(0, 18).flatmap(lambda low: st.integers(low + 2, 20).map(lambda high, low=low: (5 * low, 5 * high)))
PERIODS = st.sampled_from(("2026", "2026-Q1", "2026-03", "2026-01/2026-03"))
INCOMES = st.builds(IncomeRow, st.text(), st.just(None), BANDS, PERIODS)


@given(real=ARREARS | INCOMES, days=st.integers(0, 30_000))
def test_it_is_never_the_largest_signal_of_a_batch(real, days):
    """All ciphertexts of a batch are as large as the largest needs: a larger canary would show."""
    payload = real.signal_of(real.fact, ENERGY).SerializeToString()
    smallest = smallest_signal(real.signal_type.upper(), days)
    validate(smallest)
    assert len(smallest.SerializeToString()) <= len(payload)


@given(secret=st.binary(min_size=32, max_size=32), purpose=st.from_regex(r"[a-z][a-z0-9-]{0,40}", fullmatch=True))
def test_no_person_has_the_message_of_a_canary(secret, purpose):
    """The scheme is a length-prefixed field of what H hashes, and persons' schemes are others, so no inputs meet."""
    message = Canary(CITY, purpose, secret).message()
    born = date(1980, 1, 1) + timedelta(days=secret[0])
    persons = (BSN, AddressBirthDate("1234AB", "1", "", "", born.isoformat()), Ean("871687110000000005"))
    for person in (*persons, BagBirthDate("0344200000012345", born.isoformat())):
        assert not person.scheme.startswith("regie.")
        assert person.message() != message
    scheme = CANARY.encode()
    assert message.startswith(b"\0\0\0\x0bregie/id/v1" + len(scheme).to_bytes(4, "big") + scheme)
    assert Canary(CITY, purpose + "x", secret).message() != message


def test_a_canary_has_a_secret_of_32_bytes():
    with pytest.raises(IdentifierError, match="secret"):
        Canary(CITY, PURPOSE, bytes(31))
