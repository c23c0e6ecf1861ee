"""cosignature.py against the vector of ledger.md, against tlog-scales both ways, and every malformed cosignature."""

import base64
import re

import pytest
from cryptography.exceptions import InvalidSignature
from tlog_scales import signing as foreign
from tlog_scales.tlog import Checkpoint as ForeignCheckpoint

from consent_ledger.log.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from consent_ledger.log.cosignature import (
    Ed25519CosignatureSigner,
    Ed25519Cosigner,
    MlDsa44Cosigner,
    MlDsa44Signer,
    ml_dsa_44_message,
)
from consent_ledger.log.encoding import encode_base64
from consent_ledger.log.errors import NoteError
from consent_ledger.log.keys import parse_signer, parse_verifier
from consent_ledger.log.note import Signer, Verifier, open_note

GOLDEN = Signer.parse("PRIVATE+KEY+example.com/log/testdata+33d7b496+AeymY/SZAX0jZcJ8enZ5FY1Dz+wTML2yWSkK+9DSF3eg")
SIZE_2 = Checkpoint(GOLDEN.name, 2, base64.b64decode("T1X2GdkhUjV3iyufF9b0kVsWFxIU0VI4EpNml2Teci4="))
WITNESS = Ed25519CosignatureSigner("witness.example/w1", bytes(range(32)))
LINE = "— witness.example/w1 519lMgAAAABpVGeAJriLPY7atI3fwQ1ETcz03B8u5aTflFeIAJGG5h0RadYRRuy12k/rWJt3c7+I4FUkn+AD7kdpg4Z7mSrySEp8CQ==\n"
QUANTUM = MlDsa44Signer("witness.example/w2", b"\7" * 32)
LOG_QUANTUM = MlDsa44Signer(GOLDEN.name, b"\5" * 32)
COSIGNERS = [WITNESS, QUANTUM]
TIME = 1767139200


def payload(line: str) -> bytes:
    """What stands behind the key id of a signature line."""
    return base64.b64decode(line.split(" ")[2])[4:]


def test_golden_cosignature():
    assert WITNESS.line(SIZE_2.body(), TIME) == LINE
    assert WITNESS.verifier.cosigned(SIZE_2.body(), payload(LINE)) == TIME
    opened = open_note(sign_checkpoint(SIZE_2, [GOLDEN]) + LINE, [WITNESS.verifier])
    assert [(one.name, one.key_id) for one in opened.signatures] == [(WITNESS.name, WITNESS.verifier.key_id)]


def test_the_ml_dsa_44_message_byte_for_byte():
    message = ml_dsa_44_message("w.example", SIZE_2, 258)
    assert message == (
        b"subtree/v1\n\x00"
        b"\x09w.example"
        b"\x00\x00\x00\x00\x00\x00\x01\x02"
        b"\x18example.com/log/testdata" + bytes(8) + b"\x00\x00\x00\x00\x00\x00\x00\x02" + SIZE_2.root
    )


@pytest.mark.parametrize("signer", COSIGNERS, ids=["ed25519", "ml-dsa-44"])
def test_cosignatures_verify_and_tell_their_time(signer):
    for seconds in (0, 1, TIME, 2**63 - 1):
        line = signer.line(SIZE_2.body(), seconds)
        assert signer.verifier.cosigned(SIZE_2.body(), payload(line)) == seconds


@pytest.mark.parametrize("signer", COSIGNERS, ids=["ed25519", "ml-dsa-44"])
def test_what_a_cosignature_binds(signer):
    made = payload(signer.line(SIZE_2.body(), TIME))
    key = signer.verifier
    others = [
        Checkpoint(SIZE_2.origin, 3, SIZE_2.root),
        Checkpoint(SIZE_2.origin, 2, bytes(32)),
        Checkpoint("example.com/log/other", 2, SIZE_2.root),
    ]
    for other in others:
        with pytest.raises(NoteError, match="wrong signature by known key"):
            key.verify(other.body(), made)
    later = (TIME + 1).to_bytes(8) + made[8:]
    flipped = made[:-1] + bytes([made[-1] ^ 1])
    for bad in (later, flipped):
        with pytest.raises(NoteError, match="wrong signature by known key"):
            key.verify(SIZE_2.body(), bad)
    for bad in (b"", made[:8], made[:-1], made + b"\0"):
        with pytest.raises(NoteError, match=f"of {len(made)} bytes, got {len(bad)}"):
            key.verify(SIZE_2.body(), bad)
    with pytest.raises(NoteError, match="at most"):
        key.verify(SIZE_2.body(), b"\x80" + made[1:])


def test_an_ml_dsa_44_cosignature_binds_the_cosigners_name():
    made = payload(QUANTUM.line(SIZE_2.body(), TIME))
    namesake = MlDsa44Cosigner("witness.example/w3", QUANTUM.verifier.public)
    with pytest.raises(NoteError, match="wrong signature"):
        namesake.verify(SIZE_2.body(), made)


def test_the_log_may_speak_by_its_ml_dsa_44_key_alone_and_a_witness_may_not():
    note = sign_checkpoint(SIZE_2, [GOLDEN]) + LOG_QUANTUM.line(SIZE_2.body(), TIME) + LINE
    assert open_checkpoint(note, [LOG_QUANTUM.verifier]) == SIZE_2
    assert open_checkpoint(note, [LOG_QUANTUM.verifier, GOLDEN.verifier, WITNESS.verifier]) == SIZE_2
    with pytest.raises(NoteError, match="expected a signature by the log"):
        open_checkpoint(note, [WITNESS.verifier])
    wrong = note.replace(LINE, LOG_QUANTUM.line(Checkpoint(GOLDEN.name, 9, SIZE_2.root).body(), TIME))
    with pytest.raises(NoteError, match="wrong signature by known key"):
        open_checkpoint(wrong, [GOLDEN.verifier, LOG_QUANTUM.verifier])
    assert open_checkpoint(wrong, [GOLDEN.verifier]) == SIZE_2


@pytest.mark.parametrize("signer", [GOLDEN, *COSIGNERS, LOG_QUANTUM], ids=["0x01", "0x04", "0x06", "0x06 of a log"])
def test_keys_as_text(signer):
    assert parse_signer(signer.format()) == signer
    assert type(signer).parse(signer.format()) == signer
    verifier = signer.verifier
    assert parse_verifier(verifier.format()) == verifier
    assert type(verifier).parse(verifier.format()) == verifier
    assert "seed" not in repr(signer)
    for other in {Verifier, Ed25519Cosigner, MlDsa44Cosigner} - {type(verifier)}:
        with pytest.raises(NoteError, match=r"expected an .* key \(type"):
            other.parse(verifier.format())
    for other in {Signer, Ed25519CosignatureSigner, MlDsa44Signer} - {type(signer)}:
        with pytest.raises(NoteError, match=r"expected an .* key \(type"):
            other.parse(signer.format())


def test_one_key_of_two_types_has_two_ids():
    assert Verifier(WITNESS.name, WITNESS.verifier.public).key_id != WITNESS.verifier.key_id


BAD_KEYS = {
    "no parts": "witness.example",
    "two parts": "witness.example+e75f6532",
    "no key": "witness.example/w1+e75f6532+",
    "type only": "witness.example/w1+e75f6532+BA==",
    "unknown type": f"witness.example/w1+e75f6532+{encode_base64(bytes([2]) + bytes(32))}",
    "short": f"witness.example/w1+e75f6532+{encode_base64(bytes([4]) + bytes(31))}",
    "long": f"witness.example/w1+e75f6532+{encode_base64(bytes([6]) + bytes(1313))}",
    "wrong id": WITNESS.verifier.format().replace("e75f6532", "e75f6533"),
    "id in capitals": WITNESS.verifier.format().replace("e75f6532", "E75F6532"),
    "name with a space": WITNESS.verifier.format().replace("/w1", " w1"),
    "private": WITNESS.format(),
}


@pytest.mark.parametrize("text", BAD_KEYS.values(), ids=BAD_KEYS.keys())
def test_malformed_verifier_keys(text):
    with pytest.raises(NoteError):
        parse_verifier(text)


def test_malformed_private_keys():
    for text in [*(f"PRIVATE+KEY+{bad}" for bad in BAD_KEYS.values()), WITNESS.verifier.format(), ""]:
        with pytest.raises(NoteError) as caught:
            parse_signer(text)
        assert not re.search(r"[A-Za-z0-9+/]{40}", str(caught.value)), "an error must not show key bytes"


def test_names_that_an_ml_dsa_44_message_cannot_carry():
    MlDsa44Signer("é" * 127, bytes(32))
    with pytest.raises(NoteError, match="1 to 255 bytes"):
        MlDsa44Signer("é" * 128, bytes(32)).line(SIZE_2.body(), 0)
    with pytest.raises(NoteError, match="1 to 255 bytes"):
        QUANTUM.line(Checkpoint("o" * 256, 2, bytes(32)).body(), 0)


def test_only_checkpoints_are_cosigned():
    for signer in COSIGNERS:
        with pytest.raises(NoteError, match="over a checkpoint"):
            signer.line("hello\n", TIME)
    with pytest.raises(NoteError, match="over a checkpoint"):
        QUANTUM.verifier.verify("hello\n", bytes(8 + 2420))


def foreign_key(text: str) -> foreign.VkeyVerifier:
    return foreign.Vkey.from_string(text).get_verifier()


def test_tlog_scales_verifies_ours():
    body = SIZE_2.body()
    lines = [GOLDEN.line(body), *(signer.line(body, TIME) for signer in (WITNESS, QUANTUM, LOG_QUANTUM))]
    read = ForeignCheckpoint.from_text(f"{body}\n{''.join(lines)}")
    keys = [signer.verifier.format() for signer in (GOLDEN, WITNESS, QUANTUM, LOG_QUANTUM)]
    for key, signature in zip(keys, read.signatures, strict=True):
        foreign_key(key).verify_note(signature, read)


def test_tlog_scales_refuses_a_wrong_one_of_ours():
    read = ForeignCheckpoint.from_text(f"{SIZE_2.body()}\n{QUANTUM.line(Checkpoint('o', 2, SIZE_2.root).body(), TIME)}")
    with pytest.raises(InvalidSignature):
        foreign_key(QUANTUM.verifier.format()).verify_note(read.signatures[0], read)


def test_we_verify_those_of_tlog_scales():
    ours = ForeignCheckpoint.make_signed(
        SIZE_2.origin,
        2,
        SIZE_2.root,
        [
            foreign.PlainEd25519Signer(GOLDEN.name, GOLDEN.seed),
            foreign.MLDSA44CosignatureSigner(QUANTUM.name, QUANTUM.seed),
        ],
    )
    opened = open_note(ours.serialize(), [GOLDEN.verifier, QUANTUM.verifier])
    assert [one.name for one in opened.signatures] == [GOLDEN.name, QUANTUM.name]
    assert opened.text == SIZE_2.body()
