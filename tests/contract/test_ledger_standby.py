"""What the ledger may answer where commits wait for a synchronous standby: nothing that only one machine has."""

import signal

import psycopg
import pytest

from consent_ledger.errors import RegieError
from consent_ledger.sequencer import create_ledger
from consent_ledger.storage import connection, postgres
from consent_ledger.storage.engines import open_for_writing
from consent_ledger.storage.ports import StoreLostError, UnreachableError
from consent_ledger.storage.postgres_reads import known_outcome
from consent_ledger.verify import verify_database
from tests.contract.test_ledger_replicas import indices_or_none, within
from tests.support.ledger import SIGNER, Ledger, Time, decide_work, first_events, header, listed, reason_of
from tests.support.postgres import running, wheel_programs

WORK = decide_work(["anna"], header(1))


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(connection, "STANDBY_SECONDS", 0.3)
    with running(wheel_programs(), in_memory=True) as server:
        yield server


@pytest.fixture
def location(server):
    location = server.uri(server.database())
    create_ledger(location, SIGNER, first_events(), Time())
    return location


def standby(server, name):
    """Say which standby commits wait for; there is none, so they wait until the name is taken back."""
    server.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
    server.execute("SELECT pg_reload_conf()")
    assert within(10, lambda: server.execute("SHOW synchronous_standby_names") == [(name,)])


def waiting(server):
    """The processes of the server that wait for a standby."""
    rows = server.execute("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
    return [pid for (pid,) in rows]


def asked_in_vain(server, ledger):
    """Ask for something whose commit waits for a standby that does not come; returns the future."""
    standby(server, "nobody")
    asked = ledger.sequencer.submit(WORK)
    assert within(10, lambda: waiting(server))
    assert not asked.done()
    return asked


def leaves(server, location):
    return server.execute("SELECT count(*) FROM leaf", location.split("?")[0].rpartition("/")[2])[0][0]


def test_what_only_a_crashed_server_has_is_answered_once_a_standby_has_it(server, location):
    ledger = Ledger(location)
    before = ledger.sequencer.head
    asked = asked_in_vain(server, ledger)
    server.stop(signal.SIGQUIT)
    assert reason_of(lambda: asked.result(10)) == "LEDGER_UNAVAILABLE"
    server.start()
    assert leaves(server, location) == before.size + 1  # it is there, and nobody was told
    assert within(10, lambda: indices_or_none(ledger, WORK) is None and waiting(server))
    assert ledger.sequencer.head == before
    with pytest.raises(RegieError, match="no standby"), ledger.sequencer.reader.snapshot():
        pass
    with pytest.raises(UnreachableError, match="no standby"):
        open_for_writing(location)
    assert ledger.sequencer.failure is None
    standby(server, "")
    assert within(10, lambda: indices_or_none(ledger, WORK) == [before.size])
    ledger.close()
    assert verify_database(location, SIGNER.verifier.format()).log.size == before.size + 1


def test_a_commit_whose_wait_was_cancelled_is_no_answer(server, location):
    ledger = Ledger(location)
    before = ledger.sequencer.head
    asked = asked_in_vain(server, ledger)
    for pid in waiting(server):
        server.execute(f"SELECT pg_cancel_backend({pid})")
    assert reason_of(lambda: asked.result(10)) == "LEDGER_UNAVAILABLE"
    assert ledger.sequencer.head == before
    standby(server, "")
    assert within(10, lambda: indices_or_none(ledger, WORK) == [before.size])
    ledger.close()


def test_an_answer_that_another_replica_stored_waits_for_the_standby_too(server, location):
    """The other one's session was ended while it waited: what it wrote is seen, and no standby has it."""
    first, second = Ledger(location), Ledger(location)
    before = first.sequencer.head
    asked_in_vain(server, first)
    (waited,) = waiting(server)
    again = second.sequencer.submit(WORK)
    server.execute(f"SELECT pg_terminate_backend({waited})")
    assert within(10, lambda: leaves(server, location) == before.size + 1)
    assert within(10, lambda: [pid for pid in waiting(server) if pid != waited])
    assert not again.done()
    standby(server, "")
    assert list(listed(again.result(10)).log_indices) == [before.size]
    first.close()
    second.close()


def test_a_server_that_goes_away_while_it_is_looked_at_is_asked_again_later(server, location, monkeypatch):
    def gone(*_):
        raise psycopg.errors.AdminShutdown

    monkeypatch.setattr(postgres, "check_schema", gone)
    with pytest.raises(UnreachableError, match="went away"):
        open_for_writing(location)


def test_a_leader_that_became_a_standby_is_one_that_went_away():
    with pytest.raises(StoreLostError), known_outcome():
        raise psycopg.errors.ReadOnlySqlTransaction
