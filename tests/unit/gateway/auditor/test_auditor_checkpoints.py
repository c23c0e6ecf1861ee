"""A6, A7: a pasted checkpoint is the same, older, newer or a fork; and what is none is told apart from all of these."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_ledger.log.errors import VerificationError
from consent_ledger.log.merkle import verify_consistency
from consent_ledger.log.note import Signer
from consent_ledger.log.quorum import NOBODY, Quorum, WitnessKeys
from consent_ledger.log.tiles import inclusion_path
from gateway.auditor.checkpoints import Known, Standing, compare, consistency_of, root_at
from tests.support.ledger import SIGNER
from tests.support.witness import SmallLog, witness_signers

TRUSTED = 40
QUORUM = Quorum(1, (WitnessKeys.parse([signer.verifier.format() for signer in witness_signers()]),))


class Served(SmallLog):
    """A small log as it is read over gRPC; ``size`` is what it shows now."""

    def __init__(self, size=60, label="entry"):
        super().__init__(label)
        self.size = size

    async def entries(self, start, count):
        return [f"{self.label} {index}".encode() for index in range(start, min(start + count, self.size))]

    async def inclusion(self, index, size):
        return inclusion_path(index, size, self.tile)

    async def consistency(self, old_size, new_size):
        return self.proof(old_size, new_size)


class Split(Served):
    """A log that goes on otherwise after leaf ``at``: what was signed before still holds."""

    def __init__(self, at, size=60):
        super().__init__(size)
        self.at = at

    def hashes(self, size):
        return SmallLog("entry").hashes(self.at)[:size] + SmallLog("other").hashes(size)[self.at :]

    async def entries(self, start, count):
        return [f"other {index}".encode() for index in range(start, start + count)]


def known(log, trusted=TRUSTED, keys=(SIGNER.verifier,), quorum=NOBODY):
    return Known(SmallLog().checkpoint(trusted), log.checkpoint(log.size), keys, quorum)


async def test_old_new_same_and_foreign_are_told_apart():
    log, elsewhere = Served(), Signer("elsewhere.example/log", bytes(32))
    for text, expected in {
        log.note(TRUSTED): Standing.SAME,
        log.note(7): Standing.OLDER,
        log.note(0): Standing.OLDER,
        log.note(55): Standing.NEWER,
        SmallLog().note(61): Standing.AHEAD,
        SmallLog(signer=elsewhere).note(7): Standing.FOREIGN,
        SmallLog(signer=Signer(SIGNER.name, bytes(32))).note(7): Standing.UNKNOWN_KEY,
        log.note(7).replace("\n7\n", "\n8\n"): Standing.FORGED,
        "what is this": Standing.NONE,
        "": Standing.NONE,
    }.items():
        assert (await compare(text, known(log), log)).standing is expected


@given(shown=st.integers(0, 60), trusted=st.integers(1, 60))
async def test_every_size_of_an_honest_log_is_consistent(shown, trusted):
    log = Served()
    found = await compare(log.note(shown), known(log, trusted), log)
    wanted = Standing.SAME if shown == trusted else Standing.OLDER if shown < trusted else Standing.NEWER
    assert (found.standing, found.expected_root) == (wanted, log.checkpoint(shown).root)


@pytest.mark.parametrize("size", [13, TRUSTED, 50])
async def test_a_fork_is_named_with_both_roots_and_who_signed(size):
    log, other = Served(), SmallLog("another history")
    body = other.checkpoint(size).body()
    note = other.note(size) + "".join(signer.line(body, 1_700_000_000) for signer in witness_signers())
    found = await compare(note, known(log, quorum=QUORUM), log)
    assert found.standing is Standing.FORK
    assert found.shown.root == other.checkpoint(size).root
    assert found.expected_root == log.checkpoint(size).root
    assert [(one.name, one.kind) for one in found.signed_by] == [(SIGNER.name, "Ed25519")]
    assert found.witnessed == (("witness.example/w1", 1_700_000_000),)


async def test_a_log_that_went_on_otherwise_since_we_followed_it_is_a_fork():
    """The ledger shows another history now, and proves its own checkpoint with it: ours does not fit."""
    split = Split(at=20)
    found = await compare(split.note(50), known(split), split)
    assert found.standing is Standing.FORK
    assert "root of size 40" in found.problem


async def test_a_log_that_cannot_prove_its_past_is_not_believed():
    with pytest.raises(VerificationError, match="root of size"):
        await compare(SmallLog().note(7), known(Served()), Served(label="other"))
    with pytest.raises(VerificationError, match="smaller than it was"):
        await root_at(Served(size=5), 7, SmallLog().checkpoint(TRUSTED))


async def test_a_false_cosignature_is_not_passed_over():
    log = Served()
    line = witness_signers()[0].line(log.checkpoint(8).body(), 1_700_000_000)
    found = await compare(log.note(7) + line, known(log, quorum=QUORUM), log)
    assert found.standing is Standing.FORGED
    assert "witness.example/w1" in found.problem


async def test_what_a_browser_does_to_pasted_text_changes_nothing():
    log = Served()
    text = "\r\n  " + log.note(7).strip().replace("\n", "\r\n") + "\r\n\r\n"
    assert (await compare(text, known(log), log)).standing is Standing.OLDER


async def test_consistency_between_any_two_sizes():
    log, trusted = Served(TRUSTED), SmallLog().checkpoint(TRUSTED)
    for old, new in itertools.combinations_with_replacement((0, 1, 2, 7, 8, 31, 32, 33, TRUSTED), 2):
        found = await consistency_of(log, old, new, trusted)
        assert (found.old_root, found.new_root) == (log.checkpoint(old).root, log.checkpoint(new).root)
        verify_consistency(old, new, found.old_root, found.new_root, found.proof)
    for old, new in ((8, 7), (7, TRUSTED + 1), (-1, 3)):
        with pytest.raises(VerificationError):
            await consistency_of(log, old, new, trusted)
