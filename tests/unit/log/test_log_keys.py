"""The keys of a log, and what it publishes with them."""

import random

import pytest
from tlog_scales.tlog import Checkpoint as ForeignCheckpoint

from consent_ledger.log.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from consent_ledger.log.cosignature import Ed25519CosignatureSigner, MlDsa44Signer
from consent_ledger.log.errors import NoteError
from consent_ledger.log.keys import LogKeys
from consent_ledger.log.note import Signer, open_note
from consent_ledger.log.publication import GREASE_NAME, add_lines, grease_line, publish_note

OLD, NEW = Signer("log.example/one", b"\1" * 32), Signer("log.example/one", b"\2" * 32)
QUANTUM = MlDsa44Signer("log.example/one", b"\3" * 32)
WITNESS = Ed25519CosignatureSigner("witness.example", b"\4" * 32)
KEYS = LogKeys((OLD, NEW), (QUANTUM,))
HEAD = Checkpoint(OLD.name, 70, b"\x55" * 32)


def test_as_text():
    assert LogKeys.parse(KEYS.format()) == KEYS
    assert LogKeys.parse(f"{QUANTUM.format()}\n\n{OLD.format()}\n{NEW.format()}") == KEYS
    assert LogKeys.of(OLD) == LogKeys.parse(OLD.format())
    assert LogKeys.of(KEYS) is KEYS
    assert KEYS.name == OLD.name
    assert KEYS.names == (OLD.verifier.format(), NEW.verifier.format(), QUANTUM.verifier.format())


def test_keys_that_are_no_logs():
    other = Signer("log.example/two", b"\1" * 32)
    for text in (
        "",
        QUANTUM.format(),
        f"{OLD.format()}\n{other.format()}",
        f"{other.format()}\n{QUANTUM.format()}",
        f"{OLD.format()}\n{WITNESS.format()}",
        f"{OLD.format()}\n{OLD.format()}",
        f"{OLD.format()}\nhello",
    ):
        with pytest.raises(NoteError):
            LogKeys.parse(text)


def test_every_ed25519_key_signs_a_head_and_any_of_them_is_enough():
    note = KEYS.sign_head(HEAD)
    assert [one.key_id for one in open_note(note, KEYS.verifiers).signatures] == [
        OLD.verifier.key_id,
        NEW.verifier.key_id,
    ]
    for key in (OLD, NEW):
        assert open_checkpoint(note, [key.verifier]) == HEAD


def test_a_retired_key_signs_no_more():
    left = KEYS.without({OLD.verifier.format()})
    assert left == LogKeys((NEW,), (QUANTUM,))
    with pytest.raises(NoteError, match="no known key"):
        open_checkpoint(left.sign_head(HEAD), [OLD.verifier])
    assert KEYS.without({QUANTUM.verifier.format()}) == LogKeys((OLD, NEW))
    assert KEYS.without(()) is KEYS
    with pytest.raises(NoteError, match="needs an Ed25519 key"):
        KEYS.without(KEYS.names[:2])


def test_what_is_published():
    head = KEYS.sign_head(HEAD)
    note = publish_note(head, KEYS, 1_767_139_200, random.Random(5).randbytes)
    assert note.startswith(head)
    assert open_checkpoint(note, [QUANTUM.verifier]) == HEAD
    cosigned = {one.key_id: one.signature for one in open_note(note, KEYS.verifiers).signatures}
    made = cosigned[QUANTUM.verifier.key_id]
    assert QUANTUM.verifier.cosigned(HEAD.body(), made) == 1_767_139_200
    *_, grease, end = note.split("\n")
    assert end == ""
    assert grease.startswith(f"— {GREASE_NAME} ")
    witnessed = add_lines(note, WITNESS.line(HEAD.body(), 1_767_139_201))
    assert {one.name for one in open_note(witnessed, [NEW.verifier, WITNESS.verifier]).signatures} == {
        OLD.name,
        WITNESS.name,
    }


def test_only_what_the_log_signed_is_published():
    for head in (sign_checkpoint(HEAD, [Signer(OLD.name, b"\7" * 32)]), "hello", ""):
        with pytest.raises(NoteError):
            publish_note(head, KEYS, 0, random.Random(5).randbytes)


def test_grease_is_a_line_that_every_reader_can_skip():
    rng = random.Random(1).randbytes
    lines = {grease_line(rng) for _ in range(200)}
    assert len(lines) == 200
    head = sign_checkpoint(HEAD, [OLD])
    for line in lines:
        assert open_checkpoint(head + line, [OLD.verifier]) == HEAD
        assert ForeignCheckpoint.from_text(head + line).signatures[1].name == GREASE_NAME
