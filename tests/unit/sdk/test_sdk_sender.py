"""The outbox: whatever breaks, the same bytes go out, and a row is asked about once."""

import csv
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from consent_ledger.clock import DAY_MS
from consent_ledger.errors import RegieError
from consent_ledger.v1 import batch_pb2, events_pb2
from gateway.crypto.identifiers import AddressBirthDate
from gateway.home import HomeError
from gateway.sdk.agency import Agency
from gateway.sdk.csvfile import ARREARS, FileRefusedError
from gateway.sdk.outbox import Outbox
from gateway.sdk.rows import ArrearsRow
from gateway.sdk.sendfile import send_file
from gateway.v1 import exchange_pb2
from tests.support.sdk import CITY, PURPOSE, SUPPLIER, FakeGateway, lost, lost_after, refusal

NOW = 1_795_000_000_000


def row(number: int) -> ArrearsRow:
    person = AddressBirthDate("1234AB", str(number + 1), "", "", "1980-02-29")
    return ArrearsRow(f"K{number}", person, Decimal(2), False, False, date(2026, 11, 1), ("reminder",))


class Pauses:
    def __init__(self):
        self.seconds = []

    async def __call__(self, seconds):
        self.seconds.append(seconds)


class Kit:
    """A supplier with a gateway of its own making."""

    def __init__(self, home):
        self.home, self.gateway, self.now, self.pauses = home, FakeGateway(home), NOW, Pauses()

    async def send(self, rows, **options):
        async with Agency.open(
            self.home, SUPPLIER, clock=lambda: self.now, pause=self.pauses, remote=self.gateway
        ) as agency:
            return await agency.sender().send(rows, **{"purpose": PURPOSE, "recipient": CITY, **options})

    @property
    def headers(self):
        requests = map(exchange_pb2.SubmitBatchRequest.FromString, self.gateway.calls)
        return [batch_pb2.BatchHeader.FromString(request.header) for request in requests]


@pytest.fixture
def kit(home):
    return Kit(home)


async def test_rows_are_sent_once(kit):
    rows = [row(number) for number in range(3)]
    first = await kit.send(rows)
    again = await kit.send(rows)
    assert first.counts["accepted"] == again.counts["accepted"] == 3
    assert (first.batches, again.batches, len(kit.gateway.calls)) == (1, 0, 1)
    assert again.answers == {"K0": "accepted", "K1": "accepted", "K2": "accepted"}


async def test_the_header_says_what_is_asked(kit):
    await kit.send([row(0)], items=["betalingsachterstand"], basis="inferred")
    (header,) = kit.headers
    assert (header.sender, header.recipient, header.purpose, header.count) == (SUPPLIER, CITY, PURPOSE, 1)
    assert list(header.items) == ["betalingsachterstand"]
    assert header.basis == batch_pb2.BASIS_INFERRED
    assert (header.created_ms, header.expires_ms) == (NOW, NOW + DAY_MS)


async def test_a_thousand_rows_are_a_batch_and_two_are_in_flight(kit):
    summary = await kit.send([row(number) for number in range(1001)])
    assert (summary.batches, summary.rows, summary.counts["accepted"]) == (2, 1001, 1001)
    assert sorted(header.count for header in kit.headers) == [1, 1000]


async def test_more_rows_later_cost_only_themselves(kit):
    await kit.send([row(0), row(1)])
    await kit.send([row(0), row(1), row(2)])
    assert [header.count for header in kit.headers] == [2, 1]


async def test_a_lost_connection_is_retried_with_the_same_bytes(kit):
    kit.gateway.troubles = [lost, lost_after, refusal("INTERNAL"), None]
    summary = await kit.send([row(0)])
    assert summary.counts["accepted"] == 1
    assert len(kit.gateway.calls) == 4
    assert len(set(kit.gateway.calls)) == 1
    assert kit.gateway.decided == 1
    assert kit.pauses.seconds == [0.1, 0.2, 0.4]


async def test_patience_ends_and_the_next_send_goes_on_with_the_same_bytes(kit):
    kit.gateway.troubles = [lost_after] + [lost] * 50
    first = await kit.send([row(0), row(1)], patience=2)
    assert first.counts["probeer_later"] == 2
    assert first.trouble.reason == "GATEWAY_UNAVAILABLE"
    assert 2 <= sum(kit.pauses.seconds) < 5
    kit.gateway.troubles = []
    second = await kit.send([row(0), row(1)])
    assert second.counts["accepted"] == 2
    assert second.batches == 1
    assert len(set(kit.gateway.calls)) == 1
    assert kit.gateway.decided == 2


async def test_after_expiry_a_new_batch_carries_the_same_reference(kit):
    kit.gateway.troubles = [lost] * 50
    await kit.send([row(0)], patience=0)
    with Outbox.open(kit.home.organisation(SUPPLIER)) as outbox:
        before = await _references(outbox)
    kit.gateway.troubles, kit.now = [], NOW + DAY_MS
    summary = await kit.send([row(0)])
    with Outbox.open(kit.home.organisation(SUPPLIER)) as outbox:
        assert await _references(outbox) == before
    assert summary.counts["accepted"] == 1
    assert len({header.batch_id for header in kit.headers}) == 2


async def _references(outbox):
    return await outbox._database.run(lambda c: c.exec_driver_sql("SELECT key, signal_ref FROM sent_row").all())


async def test_a_completed_run_asks_refused_rows_again_and_never_accepted_ones(kit):
    kit.gateway.outcome = events_pb2.OUTCOME_GEEN_TOESTEMMING
    assert (await kit.send([row(0)])).counts["geen_toestemming"] == 1
    kit.gateway.outcome = events_pb2.OUTCOME_ACCEPTED  # the resident chose otherwise in between
    assert (await kit.send([row(0)])).counts["accepted"] == 1
    assert (await kit.send([row(0)])).batches == 0


async def test_an_interrupted_run_keeps_its_refusals(kit):
    rows = [row(number) for number in range(1500)]
    kit.gateway.outcome = events_pb2.OUTCOME_GEEN_TOESTEMMING
    kit.gateway.troubles = [None] + [lost] * 100
    first = await kit.send(rows, patience=1)
    refused = first.counts["geen_toestemming"]
    assert refused in {500, 1000}
    assert first.counts["probeer_later"] == 1500 - refused
    kit.gateway.troubles = []
    second = await kit.send(rows)
    assert second.counts["geen_toestemming"] == 1500
    assert kit.gateway.decided == 1500  # each row once, over both runs


async def test_an_old_interruption_is_over(kit):
    kit.gateway.outcome = events_pb2.OUTCOME_GEEN_TOESTEMMING
    kit.gateway.troubles = [None] + [lost] * 100
    rows = [row(number) for number in range(1001)]
    await kit.send(rows, patience=0)
    kit.gateway.troubles, kit.now = [], NOW + 4 * DAY_MS
    await kit.send(rows)
    assert kit.gateway.decided > 1001


async def test_try_later_by_the_ledger_is_asked_again_in_the_same_run(kit):
    kit.gateway.outcome = events_pb2.OUTCOME_PROBEER_LATER
    assert (await kit.send([row(0)])).counts["probeer_later"] == 1
    kit.gateway.outcome = events_pb2.OUTCOME_ACCEPTED
    assert (await kit.send([row(0)])).counts["accepted"] == 1


async def test_a_full_quota_leaves_the_rest_for_later(kit):
    kit.gateway.troubles = [refusal("QUOTA_EXCEEDED")]
    summary = await kit.send([row(0)])
    assert summary.counts["probeer_later"] == 1
    assert summary.trouble.reason == "QUOTA_EXCEEDED"


@pytest.mark.parametrize("reason", ["PEER_KIND_NOT_SERVED", "SIGNATURE_INVALID", "FIELD_INVALID"])
async def test_a_refusal_of_the_whole_is_raised_and_leaves_nothing_open(kit, reason):
    kit.gateway.troubles = [refusal(reason)]
    with pytest.raises(RegieError) as refused:
        await kit.send([row(0)])
    assert refused.value.reason == reason
    with Outbox.open(kit.home.organisation(SUPPLIER)) as outbox:
        assert await outbox.open_batches(CITY, PURPOSE) == []


async def test_rows_of_an_abandoned_batch_are_not_taken_for_those_of_the_next(kit):
    kit.gateway.troubles = [refusal("FIELD_INVALID")]
    with pytest.raises(RegieError):
        await kit.send([row(0), row(1)])
    assert (await kit.send([row(2), row(3)])).counts["accepted"] == 2
    again = await kit.send([row(0), row(1)])
    assert (again.batches, again.counts["accepted"], kit.gateway.decided) == (1, 2, 4)


def _other_batch(decisions):
    decisions.header_hash = bytes(32)


def _other_root(decisions):
    decisions.root = bytes(32)


def _too_few(decisions):
    del decisions.outcomes[:]


def _same_place(decisions):
    decisions.log_indices[0] = decisions.log_indices[1]


def _outside_the_log(decisions):
    decisions.log_indices[0] = 10**9


def _no_checkpoint(decisions):
    decisions.checkpoint = "x\n"


def _unknown_outcome(decisions):
    decisions.outcomes[0] = 0


@pytest.mark.parametrize(
    "change",
    [_other_batch, _other_root, _too_few, _same_place, _outside_the_log, _no_checkpoint, _unknown_outcome],
)
async def test_an_answer_that_does_not_verify_counts_for_nothing(kit, change):
    kit.gateway.change = change
    with pytest.raises(RegieError) as refused:
        await kit.send([row(0), row(1)])
    assert refused.value.reason == "PROOF_INVALID"
    with Outbox.open(kit.home.organisation(SUPPLIER)) as outbox:
        assert len(await outbox.open_batches(CITY, PURPOSE)) == 1


async def test_an_answer_that_the_ledger_did_not_sign_counts_for_nothing(kit):
    kit.gateway.forge = True
    with pytest.raises(RegieError) as refused:
        await kit.send([row(0)])
    assert refused.value.reason == "SIGNATURE_INVALID"


async def test_two_rows_need_two_references(kit):
    with pytest.raises(RegieError) as refused:
        await kit.send([row(0), row(0)])
    assert refused.value.field == "reference"


async def test_only_one_process_sends_at_a_time(kit):
    with Outbox.open(kit.home.organisation(SUPPLIER)), pytest.raises(HomeError, match="already running"):
        await kit.send([row(0)], patience=3)
    assert 3 <= sum(kit.pauses.seconds) < 6


async def test_another_process_that_sends_is_waited_for(kit):
    with ExitStack() as other:
        other.enter_context(Outbox.open(kit.home.organisation(SUPPLIER)))

        async def pause(_seconds):
            other.close()

        kit.pauses = pause
        assert (await kit.send([row(0)])).counts["accepted"] == 1


async def test_nothing_is_sent_where_operators_are_not_separate(kit):
    same = kit.gateway.registry.operator("gateway").oin
    twin = kit.gateway.registry.operator("pseudonyms")
    registry = kit.gateway.registry
    registry._kinds[same] = frozenset({"gateway", twin.kind, "viewer"})
    with pytest.raises(RegieError) as refused:
        await kit.send([row(0)])
    assert refused.value.reason == "OPERATORS_NOT_SEPARATE"
    assert kit.gateway.calls == []


async def test_the_outbox_holds_no_identifier(kit):
    await kit.send([replace(row(0), reference="KLANT-0815-4711")])
    files = [path for path in kit.home.organisation(SUPPLIER).data.iterdir() if path.name.startswith("outbox")]
    assert files
    for path in files:
        data = path.read_bytes()
        assert b"1234AB" not in data
        assert b"1980-02-29" not in data
        assert b"KLANT-0815-4711" not in data


async def _send_file(kit, path, **options):
    async with Agency.open(kit.home, SUPPLIER, clock=lambda: kit.now, pause=kit.pauses, remote=kit.gateway) as agency:
        return await send_file(agency, path, **{"purpose": PURPOSE, "recipient": CITY, **options})


def _write(path, *lines):
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([ARREARS.columns, *(line.split(",") for line in lines)])
    return path


async def test_a_file_with_bad_rows_sends_the_good_ones(kit, tmp_path):
    good = "K{},1980-02-29,1234AB,12,,,2,ja,nee,2026-11-01,reminder"
    path = _write(tmp_path / "a.csv", good.format(1), good.format(2).replace("1234AB", "0123AB"), good.format(3))
    steps = []
    result = await _send_file(kit, path, progress=lambda done, total: steps.append((done, total)))
    assert (result.rows, result.rejected_rows, result.sent.counts["accepted"]) == (3, 1, 2)
    with result.rejected_file.open(newline="") as stream:
        (rejected,) = csv.DictReader(stream)
    assert (rejected["row"], rejected["field"], rejected["reference"]) == ("3", "postcode", "K2")
    assert steps[-1] == (3, 3)


async def test_an_empty_file_is_refused_and_says_so_in_its_rejected_file(kit, tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"")
    with pytest.raises(FileRefusedError):
        await _send_file(kit, path)
    assert (tmp_path / "a.csv.rejected.csv").read_text().splitlines()[1].startswith("1,header,")


async def test_a_file_of_the_wrong_kind_is_refused(kit, tmp_path):
    path = _write(tmp_path / "a.csv")
    with pytest.raises(RegieError) as refused:
        await _send_file(kit, path, purpose="regelingen-bij-inkomensdaling")
    assert refused.value.field == "purpose"


async def test_a_prohibited_purpose_is_asked_for_all_the_same(kit, tmp_path):
    kit.gateway.outcome = events_pb2.OUTCOME_DOEL_VERBODEN
    path = _write(tmp_path / "a.csv", "K1,1980-02-29,1234AB,12,,,2,ja,nee,2026-11-01,")
    result = await _send_file(kit, path, purpose="handhaving")
    assert result.sent.counts["doel_verboden"] == 1
    assert list(kit.headers[0].items) == ["betalingsachterstand"]
