import pytest

from consent_ledger.log.cosignature import Ed25519CosignatureSigner
from consent_ledger.log.errors import NoteError
from consent_ledger.log.note import Signer
from consent_ledger.log.quorum import NOBODY, Quorum, WitnessKeys
from tests.support.ledger import SIGNER
from tests.support.witness import SmallLog, witness_signers

LOG = SmallLog()
NAMES = ("w.example/1", "w.example/2", "w.example/3")
SIGNERS = {name: witness_signers(name) for name in NAMES}
KEYS = {name: WitnessKeys.parse([one.verifier.format() for one in SIGNERS[name]]) for name in NAMES}
LOG_KEYS = [SIGNER.verifier]


def note(*lines):
    return LOG.note(5) + "".join(lines)


def line(name, key=0, seconds=100, size=5):
    return SIGNERS[name][key].line(LOG.checkpoint(size).body(), seconds)


def test_a_quorum_counts_witnesses_and_not_lines():
    quorum = Quorum(2, tuple(KEYS.values()))
    one = note(line(NAMES[0]), line(NAMES[0], key=1), line(NAMES[0], seconds=200))
    with pytest.raises(NoteError, match="expected cosignatures of 2 witnesses for size 5, got 1"):
        quorum.open(one, LOG_KEYS)
    assert quorum.cosigned(one) == {NAMES[0]: 100}
    two = note(line(NAMES[0]), line(NAMES[2], key=1, seconds=150))
    assert quorum.open(two, LOG_KEYS) == LOG.checkpoint(5)
    assert quorum.cosigned(two) == {NAMES[0]: 100, NAMES[2]: 150}


def test_either_key_of_a_witness_counts():
    for key in (0, 1):
        assert Quorum(1, (KEYS[NAMES[0]],)).open(note(line(NAMES[0], key=key)), LOG_KEYS).size == 5


def test_a_wrong_cosignature_by_a_known_key_rejects_the_note():
    quorum = Quorum(1, tuple(KEYS.values()))
    with pytest.raises(NoteError, match="wrong signature"):
        quorum.open(note(line(NAMES[0]), line(NAMES[1], size=6)), LOG_KEYS)
    stranger = Ed25519CosignatureSigner(NAMES[1], b"\7" * 32).line(LOG.checkpoint(5).body(), 1)
    assert quorum.cosigned(note(line(NAMES[0]), stranger)) == {NAMES[0]: 100}


def test_witnesses_do_not_replace_the_logs_signature():
    lines = "".join(line(name) for name in NAMES)
    with pytest.raises(NoteError):
        Quorum(1, tuple(KEYS.values())).open(f"{LOG.checkpoint(5).body()}\n{lines}", LOG_KEYS)


def test_nobody_is_needed_where_there_are_no_witnesses():
    assert NOBODY.open(note(), LOG_KEYS).size == 5
    assert NOBODY.enough_to_see_the_latest == 0


@pytest.mark.parametrize(("needed", "of", "to_ask"), [(1, 1, 1), (1, 3, 3), (2, 3, 2), (3, 3, 1)])
def test_how_many_must_be_asked_to_meet_one_that_saw_the_latest(needed, of, to_ask):
    assert Quorum(needed, tuple(KEYS.values())[:of]).enough_to_see_the_latest == to_ask
    assert needed + to_ask == of + 1  # any two such groups share a witness, and no smaller ones need to


@pytest.mark.parametrize(
    ("needed", "witnesses"),
    [
        (0, [NAMES[0]]),
        (2, [NAMES[0]]),
        (-1, []),
        (1, []),
        (1, [NAMES[0], NAMES[0]]),
    ],
)
def test_quorums_that_cannot_be(needed, witnesses):
    with pytest.raises(NoteError):
        Quorum(needed, tuple(KEYS[name] for name in witnesses))


def test_one_key_under_two_names_is_not_two_witnesses():
    other = Ed25519CosignatureSigner("w.example/other", SIGNERS[NAMES[0]][0].seed)
    twin = WitnessKeys.parse([other.verifier.format()])
    with pytest.raises(NoteError, match="two witnesses have one key"):
        Quorum(1, (KEYS[NAMES[0]], twin))


@pytest.mark.parametrize(
    "texts",
    [
        [],
        [SIGNER.verifier.format()],
        [SIGNERS[NAMES[0]][0].verifier.format(), SIGNER.verifier.format()],
        [SIGNERS[NAMES[0]][0].verifier.format(), SIGNERS[NAMES[1]][0].verifier.format()],
        [Signer(NAMES[0], b"\1" * 32).verifier.format()],
        ["nonsense"],
    ],
)
def test_keys_that_are_no_witnesss(texts):
    with pytest.raises(NoteError):
        WitnessKeys.parse(texts)
