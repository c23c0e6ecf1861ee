"""A town that is filled in bulk has a ledger as sound as one that was asked."""

import pytest

from consent_ledger.verify.fsck import fsck
from consent_ledger.verify.replay import replay
from gateway.sdk.agency import Agency
from tests.bench import town
from tests.bench.entries import _found_apart, _ports
from tests.support.command import Regie, served


@pytest.fixture
def home(tmp_path):
    home = town.found(tmp_path / "home", senders=2)
    with town.filling(home) as writer:
        writer.agree(town.LAMPJE.oin, [town.person(number) for number in range(8)])
        begun = writer.finish()
        writer.exchanges(20)
        writer.consents(15)  # ten of them said yes already
        assert writer.finish() == begun + 35
    return home


def test_every_decision_of_it_is_made_again(home):
    report = replay(home.ledger, home.log_verifier_key)
    assert report.counts == {"decided": {"match": 10}}
    assert (report.findings, report.gaps) == ([], 0)


def test_its_tables_are_those_of_its_log(home):
    report = fsck(home.ledger, home.log_verifier_key, check_signature=lambda *_: None)
    assert report.log.log.size > 35


async def test_people_who_agreed_are_known_to_the_parties_that_are_served(home):
    with served(Regie(home.folder), *town.PATH):
        async with Agency.open(home, town.LAMPJE.oin) as agency:
            rows = [town.row(number, 0) for number in range(8)]
            summary = await agency.sender().send(rows, purpose=town.PURPOSE, recipient=town.ZONNEVEEN.oin)
    assert (summary.counts["accepted"], summary.counts["geen_toestemming"]) == (6, 2)


def test_homes_that_are_served_together_share_no_port(tmp_path):
    homes = _found_apart(tmp_path, {"a": 1, "b": 2})
    assert not _ports(homes["a"]) & _ports(homes["b"])
    assert len(_ports(homes["a"])) == len(homes["a"].addresses) + len(homes["a"].metrics)
