"""Batches of a few signals: claims and evaluations run side by side, and nothing leaves before it is durable."""

import pysqlite3.dbapi2 as sqlite
import pytest

from consent_ledger.errors import RegieError
from gateway.evaluator import rules, second
from gateway.exchange import submit
from tests.support.crypto import NOW, valid_bsns
from tests.support.exchange import Town

FEW, MANY = rules.FEW, rules.FEW + 1
BSNS = valid_bsns(MANY)
both = pytest.mark.parametrize("count", [1, FEW, MANY])


@pytest.fixture
def town(tmp_path):
    town = Town(tmp_path)
    yield town
    town.close()


def on_disk(town, name, table):
    """What another process sees of a database at this moment: what is committed."""
    connection = sqlite.connect(f"file:{town.folder / name}?mode=ro", uri=True)
    try:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    finally:
        connection.close()


def seen_by(monkeypatch, servicer, method, look):
    """Note what ``look`` sees when a call reaches this operator."""
    seen, inner = [], getattr(servicer, method)

    async def call(request, context):
        seen.append(look())
        return await inner(request, context)

    monkeypatch.setattr(servicer, method, call)
    return seen


@both
async def test_a_claim_is_durable_before_the_next_operator_hears_of_the_batch(town, monkeypatch, count):
    def claimed():
        return on_disk(town, "gateway.db", "once"), on_disk(town, "gateway.db", "quota")

    seen = seen_by(monkeypatch, town.to_second.servicer, "EvaluateSignals", claimed)
    await town.submit(town.world.seal(BSNS[:count]).batch)
    assert seen == [(1, 1)]


@both
async def test_the_second_evaluator_answers_only_what_it_claimed(town, monkeypatch, count):
    def claimed():
        return on_disk(town, "pseudonyms.db", "once"), on_disk(town, "pseudonyms.db", "quota")

    seen = seen_by(monkeypatch, town.ledger, "Decide", claimed)
    await town.submit(town.world.seal(BSNS[:count]).batch)
    assert seen == [(1, 1)]


@both
async def test_what_the_second_evaluator_may_not_claim_it_does_not_answer(town, monkeypatch, count):
    def full(*_):
        raise RegieError("QUOTA_EXCEEDED", "full")

    monkeypatch.setattr(second.stores, "claim_and_charge", full)
    with pytest.raises(RegieError) as refused:
        await town.submit(town.world.seal(BSNS[:count]).batch)
    assert refused.value.reason == "QUOTA_EXCEEDED"
    assert not town.ledger.answers


@both
async def test_an_answer_is_stored_before_it_is_given(town, count):
    await town.submit(town.world.seal(BSNS[:count]).batch)
    assert (on_disk(town, "gateway.db", "answer"), on_disk(town, "gateway.db", "waiting")) == (1, 1)


@both
async def test_a_batch_that_does_not_verify_is_neither_claimed_nor_charged(town, count):
    batch = town.world.seal(BSNS[:count]).batch
    other = town.world.seal(BSNS[:count]).batch
    with pytest.raises(RegieError) as refused:
        await town.submit(submit.SealedBatch(**{**fields(batch), "signature_gateway": other.signature_gateway}))
    assert refused.value.reason == "SIGNATURE_INVALID"
    assert (on_disk(town, "gateway.db", "once"), on_disk(town, "gateway.db", "quota")) == (0, 0)
    assert not town.to_second.requests


@both
async def test_what_was_answered_keeps_its_answer_when_it_would_be_refused_by_now(town, count):
    sealing = town.world.seal(BSNS[:count])
    first = await town.submit(sealing.batch)
    town.restart()
    town.now = NOW + 72 * 3_600_000
    assert await town.submit(sealing.batch) == first
    assert len(town.ledger.answers) == 1


@both
async def test_what_was_answered_is_not_asked_or_charged_again(town, count):
    sealing = town.world.seal(BSNS[:count])
    first = await town.submit(sealing.batch)
    assert await town.submit(sealing.batch) == first
    assert len(town.to_second.requests) == 1
    connection = sqlite.connect(town.folder / "gateway.db")
    assert connection.execute("SELECT used FROM quota").fetchall() == [(count,)]
    assert connection.execute("SELECT asked, pending FROM asked").fetchall() == [(count, 0)]
    connection.close()


def fields(batch):
    return {name: getattr(batch, name) for name in submit.SealedBatch.__dataclass_fields__}
