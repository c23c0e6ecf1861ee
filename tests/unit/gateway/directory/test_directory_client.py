"""A directory that does not prove itself is not believed, and the one known before stays."""

import pytest

from consent_ledger.clock import system_clock
from consent_ledger.errors import RegieError
from consent_ledger.log.checkpoint import Checkpoint, sign_checkpoint
from consent_ledger.log.keys import LogKeys
from consent_ledger.log.merkle import leaf_hash, root_of
from consent_ledger.log.note import Signer
from consent_ledger.log.tiles import inclusion_path
from consent_ledger.v1 import events_pb2, log_pb2
from gateway.directory.authority import sign_participant_key
from gateway.directory.client import Directory
from gateway.home import Home
from gateway.town.participants import LAMPJE, TAX_OFFICE
from tests.support.servers import certificate, entries_of, make_home


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return make_home(tmp_path_factory.mktemp("directory") / "home")


@pytest.fixture(scope="module")
def entries(home):
    return entries_of(home)


def signer(home: Home) -> Signer:
    return LogKeys.parse(home.operator("ledger").text_key("log")).signers[0]


def answer(home, entries, *, by=None, leave_out=()):
    """What the log would answer with these entries, honestly proven."""
    hashes = [leaf_hash(entry) for entry in entries]
    by = by or signer(home)
    checkpoint = sign_checkpoint(Checkpoint(by.name, len(entries), root_of(hashes)), [by])
    proven = [
        log_pb2.PublicEntry(index=index, entry=entry, path=b"".join(path_of(index, hashes)))
        for index, entry in enumerate(entries)
        if index not in leave_out and events_pb2.Leaf.FromString(entry).HasField("public")
    ]
    return log_pb2.GetPublicEventsResponse(checkpoint=checkpoint, entries=proven)


def path_of(index, hashes):
    def tile(level, number, width):
        nodes = hashes
        for _ in range(8 * level):
            nodes = [root_of(nodes[at : at + 2]) for at in range(0, len(nodes) - 1, 2)]
        return b"".join(nodes[256 * number : 256 * number + width])

    return inclusion_path(index, len(hashes), tile)


def public(entries, **body):
    sequence = sum(events_pb2.Leaf.FromString(entry).HasField("public") for entry in entries) + 1
    event = events_pb2.PublicEvent(time_ms=system_clock(), sequence=sequence, **body)
    return [*entries, events_pb2.Leaf(public=event).SerializeToString()]


def reason(function, *arguments):
    with pytest.raises(RegieError) as caught:
        function(*arguments)
    return caught.value.reason


def test_an_honest_answer(home, entries):
    directory = Directory(home)
    assert reason(lambda: directory.registry) == "LEDGER_UNAVAILABLE"
    registry = directory.accept(answer(home, entries))
    assert registry.participant(LAMPJE.oin).name == LAMPJE.name
    assert directory.registry is registry
    longer = [*entries, events_pb2.Leaf(commitment=bytes(32)).SerializeToString()]
    assert directory.accept(answer(home, longer)) is registry  # only residents' events came: nothing to fold
    assert directory.checkpoint.size == len(longer)


def test_a_checkpoint_of_another_log(home, entries):
    forged = Signer(signer(home).name, bytes(32))
    assert reason(Directory(home).accept, answer(home, entries, by=forged)) == "SIGNATURE_INVALID"


def test_an_entry_that_is_not_in_the_log(home, entries):
    response = answer(home, entries)
    other = public(entries[:-1], participant_suspended={"oin": LAMPJE.oin})[-1]
    response.entries[-1].entry = other
    assert reason(Directory(home).accept, response) == "PROOF_INVALID"


@pytest.mark.parametrize("damage", ["path", "index", "short"])
def test_a_proof_that_does_not_hold(home, entries, damage):
    response = answer(home, entries)
    entry = response.entries[5]
    if damage == "path":
        entry.path = bytes([entry.path[0] ^ 1]) + entry.path[1:]
    elif damage == "index":
        entry.index += 1
    else:
        entry.path = entry.path[:-32]
    assert reason(Directory(home).accept, response) == "PROOF_INVALID"


def test_an_entry_that_is_kept_back(home, entries):
    assert reason(Directory(home).accept, answer(home, entries, leave_out={3})) == "PROOF_INVALID"


def test_the_last_entry_kept_back_from_who_knew_it(home, entries):
    directory = Directory(home)
    directory.accept(answer(home, entries))
    response = answer(home, entries, leave_out={len(entries) - 1})
    assert reason(directory.accept, response) == "PROOF_INVALID"


def test_committed_events_do_not_belong_here(home, entries):
    response = answer(home, entries)
    longer = [*entries, events_pb2.Leaf(commitment=bytes(32)).SerializeToString()]
    hashes = [leaf_hash(entry) for entry in longer]
    response = answer(home, longer)
    response.entries.add(index=len(entries), entry=longer[-1], path=b"".join(path_of(len(entries), hashes)))
    assert reason(Directory(home).accept, response) == "PROOF_INVALID"


def test_a_log_that_goes_back(home, entries):
    directory = Directory(home)
    longer = public(entries, participant_suspended={"oin": LAMPJE.oin})
    directory.accept(answer(home, longer))
    assert reason(directory.accept, answer(home, entries)) == "PROOF_INVALID"
    forked = public(entries, participant_suspended={"oin": TAX_OFFICE.oin})
    assert reason(directory.accept, answer(home, forked)) == "PROOF_INVALID"
    assert directory.registry.participant(LAMPJE.oin).suspended


def test_what_was_seen_is_remembered_over_a_restart(home, entries, tmp_path):
    note = tmp_path / "checkpoint.note"
    longer = public(entries, participant_suspended={"oin": LAMPJE.oin})
    Directory(home, note).accept(answer(home, longer))
    assert reason(Directory(home, note).accept, answer(home, entries)) == "PROOF_INVALID"
    Directory(home, note).accept(answer(home, longer))
    note.write_text("nonsense")
    assert reason(Directory, home, note) == "SIGNATURE_INVALID"


def test_consistency_is_checked_when_it_can_be(home, entries):
    directory = Directory(home)
    directory.accept(answer(home, entries))
    longer = public(entries, participant_suspended={"oin": LAMPJE.oin})
    with pytest.raises(RegieError, match="PROOF_INVALID"):
        directory.accept(answer(home, longer), [bytes(32)])


def key_added(home, oin, *, signed_by=None):
    public_key = bytes(32)
    signature = sign_participant_key(home.organisation(signed_by or oin).tls_key, oin, 1, public_key)
    key = {"key_id": bytes(8), "usage": 1, "public_key": public_key}
    return {"oin": oin, "key": key, "signature": signature}


def test_a_key_that_its_owner_did_not_sign(home, entries):
    good = public(entries, participant_key_added=key_added(home, LAMPJE.oin))
    Directory(home).accept(answer(home, good))
    bad = public(entries, participant_key_added=key_added(home, LAMPJE.oin, signed_by=TAX_OFFICE.oin))
    assert reason(Directory(home).accept, answer(home, bad)) == "SIGNATURE_INVALID"


@pytest.mark.parametrize("odd", [{"foreign": True}, {"serial_numbers": [TAX_OFFICE.oin]}, {"serial_numbers": []}])
def test_a_participant_with_an_odd_certificate(home, entries, odd):
    der = certificate(home, LAMPJE.oin, **odd).der
    registered = {"oin": LAMPJE.oin, "kind": 10, "name": "Lampje", "certificate": der}
    response = answer(home, public(entries, participant_registered=registered))
    assert reason(Directory(home).accept, response) in {"SIGNATURE_INVALID", "PEER_UNIDENTIFIED"}
