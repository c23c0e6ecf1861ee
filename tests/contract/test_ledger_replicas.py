"""Several replicas of the ledger over one PostgreSQL: one log, whoever appends, whatever becomes of the database."""

import signal
import threading
from time import monotonic

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.log.errors import VerificationError
from consent_ledger.sequencer import create_ledger
from consent_ledger.storage import connection
from consent_ledger.storage.engines import open_for_writing
from consent_ledger.storage.ports import StoreLostError, UnreachableError
from consent_ledger.storage.postgres import PostgresStore
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.verify import verify_database
from tests.support.backends import make
from tests.support.ledger import (
    CITY,
    NOW,
    SIGNER,
    SUPPLIER,
    Ledger,
    Time,
    change,
    decide_work,
    first_events,
    grant,
    header,
    held,
    listed,
    reason_of,
    record_work,
    results,
)
from tests.support.postgres import running, wheel_programs

VKEY = SIGNER.verifier.format()


@pytest.fixture
def location(request, tmp_path):
    return make("postgres18", request, tmp_path).location


@pytest.fixture
def replicas(location):
    clock = Time()
    both = Ledger(location, clock), Ledger(location, clock)
    yield both
    for each in both:
        each.close()


def within(seconds, condition):
    """Wait until a condition holds, looking often; False when it did not in time."""
    end, pause = monotonic() + seconds, threading.Event()
    while not condition():
        if monotonic() > end:
            return False
        pause.wait(0.02)
    return True


def indices_or_none(ledger, work):
    """The indices that a batch got, or None while the ledger refuses because it has no database."""
    try:
        return list(listed(ledger.sequencer.submit(work).result(10)).log_indices)
    except RegieError as error:
        if error.reason != "LEDGER_UNAVAILABLE":
            raise
        return None


def ends_sessions(server, database, *, but=0):
    server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'regie-ledger' "
        f"AND datname = '{database}' AND pid <> {but}"
    )


def database_of(uri):
    return uri.split("?", maxsplit=1)[0].rsplit("/", maxsplit=1)[1]


def test_replicas_append_to_one_log_in_turns(replicas, location):
    first, second = replicas
    start = first.sequencer.head.size
    first.record("anna", grant=grant())
    _, answer = second.decide(["anna", "bert"], 1)
    assert list(answer.log_indices) == [start + 1, start + 2]
    assert second.reasons() == ["ALLOWED", "NO_CONSENT"]  # the grant went in through the other one
    for turn in range(2, 12):
        asked = replicas[turn % 2]
        _, answer = asked.decide(["anna"], turn)
        assert list(answer.log_indices) == [start + 1 + turn]
    for each in replicas:
        each.close()
    report = verify_database(location, VKEY)
    assert report.log.size == start + 13


def test_a_group_of_one_replica_across_full_tiles_is_taken_over_by_the_other(replicas, location):
    first, second = replicas
    people = [f"p{n}" for n in range(700)]
    first.decide(people, 1)
    second.decide(["anna"], 2)
    first.decide(people, 3)
    second.decide(people, 4)
    assert second.sequencer.head.size == first.sequencer.head.size + 700
    verify_database(location, VKEY)


def test_the_same_bytes_get_one_answer_from_any_replica(replicas):
    work = decide_work(["anna"], header(1))
    answers = [listed(each.sequencer.submit(work).result(10)) for each in replicas]
    assert answers[0] == answers[1]
    other = decide_work(["anna"], header(1), request=b"other")
    assert reason_of(lambda: replicas[1].sequencer.submit(other).result(10)) == "BATCH_ID_REUSED"
    changes = record_work(change(9, "chris", NOW + 9, grant=grant()))
    indices = [results(each.sequencer.submit(changes).result(10))[0].log_index for each in replicas]
    assert indices[0] == indices[1]


def test_a_replica_that_nobody_asks_follows_the_others(replicas):
    first, second = replicas
    first.sequencer.publish([pb.PublicEvent(participant_suspended=pb.ParticipantSuspended(oin=CITY))]).result(10)
    assert within(5, lambda: second.sequencer.registry.participant(CITY).suspended)
    assert second.sequencer.head == first.sequencer.head


def test_many_callers_of_both_replicas_get_contiguous_indices(replicas, location):
    start = replicas[0].sequencer.head.size
    works = [decide_work([f"p{n}"], header(n + 1)) for n in range(120)]
    futures = [replicas[n % 2].sequencer.submit(work) for n, work in enumerate(works)]
    indices = [index for future in futures for index in listed(future.result(20)).log_indices]
    assert sorted(indices) == list(range(start, start + 120))
    verify_database(location, VKEY)


# -- a database that goes away ----------------------------------------------------------------------------------------


def test_an_idle_connection_that_was_cut_is_made_anew(location, postgres18):
    ledger = Ledger(location)
    before = ledger.sequencer.head
    ends_sessions(postgres18, database_of(location))
    work = decide_work(["anna"], header(1))

    def answered():
        return indices_or_none(ledger, work) == [before.size]

    assert within(10, answered)
    assert ledger.sequencer.failure is None
    ledger.close()
    verify_database(location, VKEY)


class Lost(PostgresStore):
    """A store whose connection is lost at a chosen point; at a commit, before or after it is durable."""

    point = ""

    def _lose(self):
        self.point = ""
        self.close()
        raise StoreLostError("OperationalError")

    def append(self, writes, completed):
        super().append(writes, completed)
        if self.point == "append":
            self._lose()

    def project(self, writes):
        if self.point == "project":
            self._lose()
        super().project(writes)

    def commit(self):
        if self.point == "commit":
            self._lose()
        super().commit()
        if self.point == "commit, but durable":
            self._lose()


@pytest.mark.parametrize("point", ["append", "project", "commit", "commit, but durable"])
def test_what_became_of_a_lost_commit_is_read_again(location, point):
    """Nobody is told anything of the group; afterwards the same bytes get one answer, whether or not it was durable."""
    ledger = Ledger(location)
    start = ledger.sequencer.head.size
    work, grants = decide_work(["anna", "bert"], header(1)), record_work(change(9, "chris", NOW + 9, grant=grant()))
    with held(ledger):
        ledger.sequencer._store.__class__ = Lost
        ledger.sequencer._store.point = point
        futures = [ledger.sequencer.submit(work), ledger.sequencer.submit(grants)]
    assert {reason_of(lambda f=f: f.result(10)) for f in futures} == {"LEDGER_UNAVAILABLE"}
    assert within(10, lambda: ledger.sequencer._store.__class__ is PostgresStore)
    durable = "durable" in point
    assert within(10, lambda: ledger.sequencer.head.size == start + (3 if durable else 0))
    assert list(listed(ledger.sequencer.submit(work).result(10)).log_indices) == [start, start + 1]
    assert results(ledger.sequencer.submit(grants).result(10))[0].log_index == start + 2
    assert ledger.sequencer.head.size == start + 3
    assert ledger.sequencer.failure is None
    ledger.close()
    verify_database(location, VKEY)


def test_closing_while_the_database_is_away_ends(location, monkeypatch):
    ledger = Ledger(location)

    def away(_):
        raise UnreachableError("LEDGER_UNAVAILABLE", "away")

    monkeypatch.setattr(ledger.sequencer, "_again", away)
    with held(ledger):
        ledger.sequencer._store.__class__ = Lost
        ledger.sequencer._store.point = "commit"
        lost = ledger.sequencer.submit(decide_work(["anna"], header(1)))
    assert reason_of(lambda: lost.result(10)) == "LEDGER_UNAVAILABLE"
    begun = monotonic()
    ledger.close()
    assert monotonic() - begun < 5
    assert reason_of(lambda: ledger.sequencer.submit(decide_work(["anna"], header(2)))) == "LEDGER_UNAVAILABLE"


def test_a_server_that_crashes_comes_back_with_everything_that_was_answered(tmp_path):
    """SIGQUIT is the server's power cut: what it answered as committed it recovers from its log."""
    with running(wheel_programs(), in_memory=True) as server:
        ledger = None
        try:
            location = server.uri(server.database())
            create_ledger(location, SIGNER, first_events(), Time())
            ledger = Ledger(location)
            _, answer = ledger.decide(["anna"], 1)
            server.stop(signal.SIGQUIT)
            work = decide_work(["bert"], header(2))
            assert reason_of(lambda: ledger.sequencer.submit(work).result(10)) == "LEDGER_UNAVAILABLE"
            assert ledger.sequencer.failure is None
            server.start()

            def answered():
                return indices_or_none(ledger, work) == [answer.log_indices[0] + 1]

            assert within(15, answered)
            verify_database(location, VKEY)
        finally:
            if ledger:
                ledger.close()


def test_a_database_that_lost_what_was_answered_is_refused(location, postgres18):
    """A standby without the newest commits was promoted, or a backup put back, under a running ledger."""
    name = database_of(location)
    postgres18.execute(f"CREATE DATABASE {name}_old TEMPLATE {name}")
    ledger = Ledger(location)
    ledger.decide(["anna"], 1)
    postgres18.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    ends_sessions(postgres18, name)
    postgres18.execute(f"ALTER DATABASE {name} RENAME TO {name}_new")
    postgres18.execute(f"ALTER DATABASE {name}_old RENAME TO {name}")
    assert within(10, lambda: ledger.sequencer.failure is not None)
    assert "old copy" in str(ledger.sequencer.failure)
    assert reason_of(lambda: ledger.sequencer.submit(decide_work(["bert"], header(2)))) == "LEDGER_UNAVAILABLE"
    ledger.close()


def test_a_log_that_was_changed_under_a_replica_is_not_gone_on_with(location, postgres18):
    """Somebody with all rights rewrites history and signs it with the log's own key: the other replica sees the fork."""
    name = database_of(location)
    postgres18.execute(f"CREATE DATABASE {name}_fork TEMPLATE {name}")
    fork = Ledger(location.replace(name, f"{name}_fork"))
    fork.decide(["mallory", "mallory2", "mallory3"], 7)
    fork.close()
    ledger = Ledger(location)
    ledger.decide(["anna"], 1)
    leaves = postgres18.execute("SELECT idx, entry, hash FROM leaf ORDER BY idx", f"{name}_fork")
    size, root, checkpoint = postgres18.execute("SELECT size, root, checkpoint FROM head", f"{name}_fork")[0]
    values = ", ".join(f"({idx}, '\\x{entry.hex()}', '\\x{leaf_hash.hex()}')" for idx, entry, leaf_hash in leaves)
    postgres18.execute(
        "ALTER TABLE leaf DISABLE TRIGGER ALL; DELETE FROM leaf;"
        f"INSERT INTO leaf VALUES {values};"
        f"UPDATE head SET size = {size}, root = '\\x{root.hex()}', checkpoint = '{checkpoint}'",  # in one transaction
        name,
    )
    assert within(10, lambda: ledger.sequencer.failure is not None)  # it looks by itself
    assert isinstance(ledger.sequencer.failure, VerificationError)
    assert reason_of(lambda: ledger.sequencer.submit(decide_work(["bert"], header(2)))) == "LEDGER_UNAVAILABLE"
    ledger.close()


def test_a_replica_that_hangs_gives_way(location, monkeypatch):
    monkeypatch.setattr(connection, "IDLE_MS", 300)
    hung = open_for_writing(location)
    hung.begin()
    ledger = Ledger(location)
    begun = monotonic()
    assert ledger.decide(["anna"])[1].log_indices
    assert monotonic() - begun < 10
    with pytest.raises(StoreLostError):
        hung.commit()
    hung.close()
    ledger.close()


def test_the_clock_of_another_replica_counts(replicas, location):
    """I6: never an earlier time, also when the earlier one was signed elsewhere."""
    first, _ = replicas
    first.clock.forward(days=1)
    first.decide(["anna"], 1)
    late = Time(NOW)
    assert reason_of(lambda: Ledger(location, late)) == "LEDGER_UNAVAILABLE"


def test_suppliers_see_the_state_that_others_left(replicas):
    """The registry of a group is that at its own start, not at the replica's last answer."""
    first, second = replicas
    first.record("anna", grant=grant())
    first.sequencer.publish([pb.PublicEvent(participant_suspended=pb.ParticipantSuspended(oin=SUPPLIER))]).result(10)
    second.decide(["anna"], 1)
    assert second.reasons() == ["PARTY_UNKNOWN"]
