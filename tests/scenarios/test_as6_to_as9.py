"""AS6-AS9 over real gRPC: the desk, and operators that change or hide what is in the log.

What the resident's own browser says about a changed or hidden entry: tests/browser/test_browser_verifier.py.
"""

from contextlib import asynccontextmanager

import pysqlite3.dbapi2 as sqlite
import pytest

from consent_ledger.errors import RegieError
from consent_ledger.log.errors import VerificationError
from consent_ledger.v1 import consents_pb2, events_pb2
from consent_ledger.verify.fsck import LedgerDamaged, fsck
from consent_ledger.verify.replay import replay
from consent_ledger.viewer.port import Person, presence_proof
from gateway.sdk.resident import open_portal
from tests.support.scenario import BILL, reason

DESK = {"via": events_pb2.CAPTURED_VIA_DESK, "by": "balie-7", "language": "nl"}
BY_WEB = events_pb2.Capture(via=events_pb2.CAPTURED_VIA_WEB, by="self", language="nl")


class Letterbox:
    """The resident's own phone or letterbox: what was sent there, nobody else sees."""

    def __init__(self):
        self.codes = []

    def send(self, _channel, _person, code, _expires_ms):
        self.codes.append(code)


@asynccontextmanager
async def desk(town, person):
    """The portal as staff of the desk have it, with somebody's rows."""
    letterbox = Letterbox()
    async with open_portal(town.home, town.portal, letterbox) as portal:
        yield portal, await portal.rows(Person(**person.login)), letterbox


async def a_yes(town):
    purpose = (await town.registry()).purpose(BILL.purpose)
    scope = events_pb2.Scope(
        sender=BILL.sender, recipient=BILL.recipient, purpose=purpose.id, purpose_version=purpose.version
    )
    items = [item.name for item in purpose.items]
    return consents_pb2.Grant(scope=scope, items=items, mode=events_pb2.MODE_JA, months=6)


async def test_as6_a_desk_grant_without_proof_is_impossible_and_leaves_a_trace(town):
    person = await town.someone()
    async with desk(town, person) as (portal, rows, letterbox):
        for proof in (b"", presence_proof(bytes(16), "AAAA-BBBB")):
            capture = events_pb2.Capture(**DESK, presence_proof=proof)
            (result,) = await portal.change(rows, capture, await a_yes(town))
            assert isinstance(result, RegieError)
            assert result.reason == "PRESENCE_REQUIRED"
        others = await portal.others(rows)
        (withdrawn,) = await portal.change(rows, events_pb2.Capture(**DESK), consents_pb2.Pause())
        assert isinstance(withdrawn, int)  # stopping needs nobody's proof
    assert letterbox.codes == []
    assert {one.attempt.reason for one in others.attempts} == {"PRESENCE_REQUIRED"}
    assert await town.report(person, BILL) == "geen_toestemming"
    assert (await town.record(person)).choices == []


@pytest.mark.parametrize("how", ["confirmed by the resident", "after seven days"])
async def test_as7_a_desk_grant_with_the_residents_code_counts_later_or_once_confirmed(town, how):
    person = await town.someone()
    async with desk(town, person) as (portal, rows, letterbox):
        issued = await portal.send_code(
            rows, events_pb2.Capture(**DESK), events_pb2.CODE_CHANNEL_PHONE, Person(**person.login)
        )
        (code,) = letterbox.codes
        capture = events_pb2.Capture(**DESK, presence_proof=presence_proof(issued.case_id, code))
        (index,) = await portal.change(rows, capture, await a_yes(town))
        assert isinstance(index, int), index
        (choice,) = (await town.record(person)).choices
        assert choice.awaits_confirmation
        assert choice.captured_via == events_pb2.CAPTURED_VIA_DESK
        assert await town.report(person, BILL) == "geen_toestemming"
        assert reason(await town.newest(person)) == "NOT_YET_VALID"
        if how == "after seven days":
            town.clock.forward(days=7.01)
            (again,) = await portal.change(rows, capture, await a_yes(town))
            assert isinstance(again, RegieError)  # the code was for that visit
            assert again.reason == "PRESENCE_REQUIRED"
        else:
            confirm = consents_pb2.Confirm(scope=(await a_yes(town)).scope, granted_index=index)
            (confirmed,) = await portal.change(rows, BY_WEB, confirm)
            assert isinstance(confirmed, int), confirmed
    assert await town.report(person, BILL) == "accepted"


def copy_of(town, folder):
    """A copy of the ledger's database that an operator works on, its own protection taken off."""
    source, path = town.home.operator("ledger").data / "ledger.db", folder / "ledger.db"
    with sqlite.connect(source) as live, sqlite.connect(path) as copy:
        live.backup(copy)
    database = sqlite.connect(path)
    for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        database.execute(f"DROP TRIGGER {name}")
    return path, database


async def test_as8_an_edited_entry_is_found_by_replay_and_fsck(town, tmp_path):
    person = await town.someone()
    await town.chooses(person, BILL, "NEE")
    index = (await town.record(person)).choices[0].log_index
    path, database = copy_of(town, tmp_path)
    (event,) = database.execute("SELECT event FROM payload WHERE idx = ?", (index,)).fetchone()
    changed = events_pb2.Event.FromString(event)
    scope = changed.consent_refused.scope
    changed.consent_granted.scope.CopyFrom(scope)  # a no becomes a yes
    changed.consent_granted.mode = events_pb2.MODE_JA
    database.execute("UPDATE payload SET event = ? WHERE idx = ?", (changed.SerializeToString(), index))
    database.commit()
    database.close()
    with pytest.raises(LedgerDamaged) as damaged:
        fsck(path, town.home.log_verifier_key)
    assert any(str(index) in str(problem) for problem in damaged.value.report.problems)
    with pytest.raises(VerificationError):
        replay(path, town.home.log_verifier_key)


async def test_as9_a_hidden_entry_is_a_gap_in_the_residents_own_chain(town, tmp_path):
    person = await town.someone()
    await town.chooses(person, BILL, "JA")
    await town.report(person, BILL)
    async with desk(town, person) as (portal, rows, _):
        (chain,) = [one for one in (await portal.chain(rows, BILL.purpose)).chains if one.newest_seq]
    hidden = chain.links[1]
    sequences = [
        link.subject_seq
        for one in chain.links
        for link in events_pb2.PrivatePart.FromString(one.private_part).links
        if link.subject == chain.subject
    ]
    assert sequences == list(range(chain.newest_seq, 0, -1))  # nothing is missing
    path, database = copy_of(town, tmp_path)
    database.execute("DELETE FROM payload WHERE idx = ?", (hidden.log_index,))
    database.commit()
    database.close()
    with pytest.raises(LedgerDamaged) as damaged:
        fsck(path, town.home.log_verifier_key)
    assert any(str(hidden.log_index) in str(problem) for problem in damaged.value.report.problems)
