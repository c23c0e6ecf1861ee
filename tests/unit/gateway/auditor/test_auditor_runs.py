"""A6, A8: runs over a ledger with progress, signed reports, and a tampered row that makes both red."""

import json
import random
import shutil
import threading

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.log.quorum import NOBODY
from consent_ledger.registry import Key, Participant, Registry
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.verify.fsck import fsck as real_fsck
from gateway.auditor import runs as module
from gateway.auditor.percentiles import latencies, latency_of, percentile
from gateway.auditor.reports import open_report, sign_report
from gateway.auditor.ruletrace import ORDER, Result, rule_trace
from gateway.auditor.runs import AlreadyRunningError, Check, Place, Runs, Signer, Verdict
from gateway.crypto.signatures import USAGE_SIGN, key_id, public_bytes, signing_key
from tests.support.ledger import LEDGER, SIGNER, Time
from tests.support.lively import check_fake_signature, lively_ledger
from tests.support.tampering import delete, flipped_in, rows_of, set_column

AUDITOR, SEED = "00000099000000000091", bytes(range(32))
PUBLIC = public_bytes(signing_key(SEED))


@pytest.fixture(scope="module")
def lively(tmp_path_factory):
    return lively_ledger(tmp_path_factory.mktemp("lively") / "ledger.db", 120, seed=3, erasing=True)


@pytest.fixture
def ledger(lively, tmp_path):
    return shutil.copy(lively, tmp_path / "ledger.db")


@pytest.fixture(autouse=True)
def transparent_crypto(monkeypatch):
    """The small ledger of the tests signs its answers in a way of its own."""
    checked = {"check_signature": check_fake_signature}
    monkeypatch.setattr(module, "fsck", lambda *args, **named: real_fsck(*args, **named, **checked))


@pytest.fixture
def made(ledger, tmp_path):
    place = Place(ledger, SIGNER.verifier.format(), NOBODY)
    runs = Runs(place, tmp_path / "reports", Signer(AUDITOR, SEED), Time())
    yield runs
    runs.close()


def directory(*, retired=False):
    key = Key(key_id(USAGE_SIGN, PUBLIC), "sign", PUBLIC, b"", retired)
    who = Participant(AUDITOR, "auditor", "Toezicht", False, b"", keys=(key,))
    return Registry(_participants={AUDITOR: who})


def ended(runs, check, within=None):
    run = runs.start(check, within)
    runs.join()
    return run


def test_a_run_that_ends_while_it_is_looked_at_stays_as_it_was_seen(made, monkeypatch):
    """A page that read the figures before the end and the verdict after it would say that nothing is all well."""
    goes_on = threading.Event()
    monkeypatch.setattr(module, "_checked", lambda *_: (goes_on.wait(20), (Verdict.SOUND, {"size": 7}))[1])
    number = made.start(Check.REPLAY).number
    seen = [made.get(number), *made.all, made.current]
    goes_on.set()
    made.join()
    assert [(run.verdict, run.report) for run in seen] == [(Verdict.RUNNING, {})] * 3
    assert (made.get(number).verdict, made.get(number).report["size"]) == (Verdict.SOUND, 7)


def test_a_replay_shows_progress_and_leaves_a_signed_report(made):
    run = ended(made, Check.REPLAY)
    assert (run.verdict, run.percent, run.problem) == (Verdict.SOUND, 100, "")
    assert run.done == run.total == run.report["size"] > 100
    report, signer, _ = open_report(made.file(run.number).decode(), directory())
    assert (signer, report) == (AUDITOR, run.report)
    assert report["verified"] is True
    assert report["match"] > 30
    assert 0 < report["chains_with_gap"] <= report["chains"]
    assert ended(made, Check.FSCK).verdict is Verdict.SOUND


def test_a_tampered_row_makes_both_red_and_is_named(made, ledger):
    row = next(row for row in rows_of(ledger, "payload") if row["event"])
    set_column(ledger, "payload", row, "event", flipped_in(ledger, "payload", row, "event", random.Random(1)))
    replayed, checked = ended(made, Check.REPLAY), ended(made, Check.FSCK)
    assert (replayed.verdict, checked.verdict) == (Verdict.BROKEN, Verdict.BROKEN)
    assert row["idx"] in [one["index"] for one in replayed.report["findings"] if one["verdict"] == "unopenable"]
    assert [(one["table"], one["key"]) for one in checked.report["problems"]][:1] == [("payload", str(row["idx"]))]
    assert open_report(made.file(checked.number).decode(), directory())[0]["problem_count"] >= 1


def test_a_log_that_is_not_the_signed_one_is_broken_not_failed(made, ledger):
    delete(ledger, "leaf", rows_of(ledger, "leaf")[-1])
    run = ended(made, Check.REPLAY)
    assert run.verdict is Verdict.BROKEN
    assert "leaf" in run.report["problem"]


def test_a_range_is_judged_and_the_rest_only_folded(made):
    whole = ended(made, Check.REPLAY).report
    half = whole["size"] // 2
    parts = [ended(made, Check.REPLAY, within).report for within in (range(half), range(half, whole["size"]))]
    assert [(part["from"], part["to"]) for part in parts] == [(0, half), (half, whole["size"])]
    for name in ("match", "erased", "mismatch"):
        assert sum(part[name] for part in parts) == whole[name]
    assert all(0 < part["match"] < whole["match"] for part in parts)


def test_what_the_rules_say_stands_beside_what_was_recorded(made, ledger, monkeypatch):
    """Somebody who changes a rule afterwards sees both: here the rule for pauses is gone."""
    monkeypatch.setattr("consent_ledger.state.SubjectState.paused", lambda *_: False)
    run = ended(made, Check.REPLAY)
    assert run.verdict is Verdict.BROKEN
    found = [one for one in run.report["findings"] if one["verdict"] == "mismatch" and "recorded" in one]
    paused = next(one for one in found if one["recorded"]["reason"] == "PAUSED")
    assert paused["expected"]["reason"] != "PAUSED"
    assert [rule["rule"] for rule in paused["recorded"]["rules"] if rule["result"] == "objected"] == ["PAUSED"]
    assert len(paused["expected"]["rules"]) == len(paused["recorded"]["rules"]) == len(ORDER)


def test_one_run_at_a_time_and_a_stopped_console_leaves_no_half_report(made, monkeypatch):
    reached, go_on = threading.Event(), threading.Event()

    def slow(_location, _keys, progress, **_more):
        progress(1, 10)
        reached.set()
        go_on.wait(10)
        progress(2, 10)
        raise AssertionError("it was to stop")

    monkeypatch.setattr(module, "replay", slow)
    run = made.start(Check.REPLAY)
    assert reached.wait(10)
    assert (made.current, run.percent) == (run, 10)
    with pytest.raises(AlreadyRunningError):
        made.start(Check.FSCK)
    closing = threading.Thread(target=made.close)
    closing.start()
    while not made._stop.is_set():
        pass
    go_on.set()
    closing.join(10)
    assert (run.verdict, run.problem, made.file(run.number)) == (Verdict.FAILED, "interrupted", None)
    assert made.latest(Check.REPLAY) == run


def test_a_failing_run_says_so_and_no_more(made, monkeypatch):
    def fail(*_args, **_named):
        raise ValueError("planted-text")

    monkeypatch.setattr(module, "replay", fail)
    run = ended(made, Check.REPLAY)
    assert (run.verdict, run.problem) == (Verdict.FAILED, "ValueError")


def test_another_start_finds_the_reports(made, tmp_path):
    first, second = ended(made, Check.FSCK), ended(made, Check.REPLAY, range(5, 40))
    (tmp_path / "reports" / "9-replay.json").write_text("{", "utf-8")
    again = Runs(None, tmp_path / "reports", Signer(AUDITOR, SEED), Time())
    assert [(run.number, run.check, run.verdict, run.within) for run in again.all] == [
        (second.number, Check.REPLAY, Verdict.SOUND, range(5, 40)),
        (first.number, Check.FSCK, Verdict.SOUND, None),
    ]
    assert again.file(second.number) == made.file(second.number)
    with pytest.raises(RegieError, match="not on this machine"):
        again.start(Check.REPLAY)


def test_a_changed_report_is_refused():
    text = sign_report({"mismatch": 0, "size": 12, "seconds": 0.25}, AUDITOR, SEED)
    assert open_report(text, directory())[0]["size"] == 12
    assert open_report(json.dumps(json.loads(text)), directory(retired=True))[2].retired
    cases = {
        text.replace('"size": 12', '"size": 13'): "SIGNATURE_INVALID",
        text.replace(AUDITOR, LEDGER): "PARTY_UNKNOWN",
        text.replace(key_id(USAGE_SIGN, PUBLIC).hex(), "00" * 8): "KEY_UNKNOWN",
        text.replace("regie-audit-report/v1", "regie-audit-report/v2"): "FIELD_INVALID",
        text.replace("12", "NaN", 1): "FIELD_INVALID",
        text.replace('"ed25519": "', '"ed25519": "x'): "SIGNATURE_INVALID",
        "[]": "FIELD_INVALID",
        "[" * 100_000: "FIELD_INVALID",
        '{"format": "regie-audit-report/v1", "report": 1, "signature": {}}': "FIELD_INVALID",
    }
    for changed, reason in cases.items():
        with pytest.raises(RegieError) as caught:
            open_report(changed, directory())
        assert caught.value.reason == reason


def test_a_rule_trace_is_the_order_of_the_rules():
    assert [asked.result for asked in rule_trace(pb.REASON_ALLOWED)] == [Result.PASSED] * len(ORDER)
    paused = {asked.rule: asked.result for asked in rule_trace(pb.REASON_PAUSED)}
    assert (paused["PARTY_UNKNOWN"], paused["PAUSED"], paused["NO_CONSENT"]) == ("passed", "objected", "not_asked")
    assert rule_trace(pb.REASON_LEDGER_UNAVAILABLE) == ()


def test_percentiles_are_values_that_were():
    assert [percentile(list(range(1, 101)), point) for point in (50, 95, 99)] == [50, 95, 99]
    assert [percentile([7.5], point) for point in (50, 95, 99)] == [7.5] * 3
    found = latency_of([(3.0, b"c"), (1.0, b"a"), (2.0, b"b")])
    assert (found.count, found.p50, found.p99, found.most, found.slowest) == (3, 2.0, 3.0, 3.0, b"c")
    grouped = latencies([("x", 4.0), ("y", 2.0), (None, 9.0)], lambda row: row[0], lambda row: (row[1], b""))
    assert {key: one.count for key, one in grouped.items()} == {"x": 1, "y": 1}
    with pytest.raises(ValueError, match="no percentile"):
        percentile([], 50)
