"""note.py against the notes of ledger.md and c2sp.org/signed-note, and every malformed note."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_ledger.log.errors import NoteError
from consent_ledger.log.note import MAX_NOTE_BYTES, Signer, Verifier, open_note, sign_note

PETER = Verifier.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
LINE = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
NOTE = f"{TEXT}\n{LINE}"
ALICE, BOB = Signer("alice.example/log", b"\1" * 32), Signer("bob.example", b"\2" * 32)


def test_golden_note():
    opened = open_note(NOTE, [PETER])
    assert opened.text == TEXT
    assert [(s.name, s.key_id.hex()) for s in opened.signatures] == [("PeterNeumann", "c74f20a3")]
    assert open_note(NOTE.encode(), [PETER]) == opened
    assert PETER.format() == "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


def test_example_of_the_specification():
    foo = Verifier.parse("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
    line = "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
    assert open_note(f"This is an example message.\n\n{line}", [foo]).text == "This is an example message.\n"


def test_private_key_round_trip_and_silence():
    text = "PRIVATE+KEY+example.com/log/testdata+33d7b496+AeymY/SZAX0jZcJ8enZ5FY1Dz+wTML2yWSkK+9DSF3eg"
    signer = Signer.parse(text)
    assert signer.format() == text
    assert signer.name == "example.com/log/testdata"
    assert Verifier.parse(signer.verifier.format()) == signer.verifier
    assert "seed" not in repr(signer)
    assert "eca663" not in repr(signer)


def test_signing_by_two():
    note = sign_note("hello\n", [ALICE, BOB])
    assert [s.name for s in open_note(note, [ALICE.verifier, BOB.verifier]).signatures] == [ALICE.name, BOB.name]
    assert [s.name for s in open_note(note, [BOB.verifier]).signatures] == [BOB.name]


def test_text_may_hold_empty_lines_and_what_looks_like_signatures():
    text = f"a\n\n{LINE}\n\nb\n"
    assert open_note(sign_note(text, [ALICE]), [ALICE.verifier, PETER]).text == text
    assert open_note(sign_note("\n", [ALICE]), [ALICE.verifier]).text == "\n"


def test_unknown_keys_are_ignored():
    grease = "— grease.example AAAAAHNvbWV0aGluZw==\n"
    same_name = f"— {ALICE.name} {base64.b64encode(bytes(68)).decode()}\n"
    same_id = f"— other.example {base64.b64encode(ALICE.verifier.key_id + bytes(64)).decode()}\n"
    text = "hello\n"
    note = f"{text}\n{grease}{same_name}{same_id}{ALICE.line(text)}{grease}"
    assert [s.name for s in open_note(note, [ALICE.verifier]).signatures] == [ALICE.name]


def test_a_wrong_signature_by_a_known_key_rejects_the_note():
    text = "hello\n"
    wrong = ALICE.line("other\n")
    short = f"— {ALICE.name} {base64.b64encode(ALICE.verifier.key_id + b'x').decode()}\n"
    for bad in (wrong, short):
        for lines in (bad, bad + BOB.line(text), BOB.line(text) + bad, ALICE.line(text) + bad):
            with pytest.raises(NoteError, match="wrong signature"):
                open_note(f"{text}\n{lines}", [ALICE.verifier, BOB.verifier])


def test_the_same_line_twice_counts_once():
    text = "hello\n"
    opened = open_note(f"{text}\n{ALICE.line(text)}{ALICE.line(text)}", [ALICE.verifier])
    assert len(opened.signatures) == 1


def test_no_known_key():
    for verifiers in ([], [PETER]):
        with pytest.raises(NoteError, match="no known key"):
            open_note(sign_note("hello\n", [ALICE]), verifiers)


def test_every_changed_character_is_noticed():
    for at in range(len(NOTE)):
        changed = NOTE[:at] + chr(ord(NOTE[at]) ^ 1) + NOTE[at + 1 :]
        with pytest.raises(NoteError):
            open_note(changed, [PETER])


MALFORMED = {
    "empty": "",
    "newline": "\n",
    "no signature": TEXT,
    "no signature behind the empty line": TEXT + "\n",
    "no blank line": TEXT + LINE,
    "only signatures": "\n" + LINE,
    "no last newline": NOTE[:-1],
    "blank line at the end": NOTE + "\n",
    "blank line between signatures": NOTE + "\n" + LINE + "\n",
    "line after signatures": NOTE + "more\n",
    "hyphen for the dash": NOTE.replace("—", "-"),
    "en dash": NOTE.replace("—", "\u2013"),
    "no space behind the dash": NOTE.replace("— ", "—"),
    "two spaces behind the dash": NOTE.replace("— ", "—  "),
    "two spaces behind the name": NOTE.replace("PeterNeumann ", "PeterNeumann  "),
    "space at the end": NOTE[:-1] + " \n",
    "no name": NOTE.replace("PeterNeumann ", ""),
    "no-break space in the name": NOTE.replace("PeterNeumann", "Peter\u00a0Neumann"),
    "plus in the name": NOTE.replace("PeterNeumann", "Peter+Neumann"),
    "no base64": f"{TEXT}\n— PeterNeumann \n",
    "no padding": NOTE.replace("=\n", "\n"),
    "bits behind the last byte": NOTE.replace("nAM=\n", "nAN=\n"),
    "url-safe base64": NOTE.replace("x08go/", "x08go_"),
    "base64 with a space": NOTE.replace("x08go/", "x08go /"),
    "only a key id": f"{TEXT}\n— PeterNeumann x08gow==\n",
    "carriage returns": NOTE.replace("\n", "\r\n"),
    "tab": NOTE.replace("you think", "you\tthink"),
    "nul": "\0" + NOTE,
    "escape": NOTE.replace("crypto", "\x1bcrypto"),
    "lone surrogate": NOTE.replace("crypto", "\ud800crypto"),
    "too long": "x" * MAX_NOTE_BYTES + NOTE,
    "too many signatures": NOTE + LINE * 100,
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_notes(name):
    with pytest.raises(NoteError) as raised:
        open_note(MALFORMED[name], [PETER])
    # Without this the case could pass because its signature is wrong, not because its form is.
    assert "wrong signature" not in str(raised.value)
    assert "no known key" not in str(raised.value)


@pytest.mark.parametrize("name", ["empty", "no signature", "no blank line", "no last newline", "blank line at the end"])
def test_the_frame_of_a_note_is_checked_first(name):
    with pytest.raises(NoteError, match="expected a text, an empty line and signature lines"):
        open_note(MALFORMED[name], [PETER])


def test_the_bounds_of_a_note():
    assert open_note(f"{TEXT}\n{LINE * 100}", [PETER]).text == TEXT
    with pytest.raises(NoteError, match="at most 100 signatures, got 101"):
        open_note(f"{TEXT}\n{LINE * 101}", [PETER])
    text = "x" * (MAX_NOTE_BYTES - len(sign_note("\n", [ALICE]).encode())) + "\n"
    assert open_note(sign_note(text, [ALICE]), [ALICE.verifier]).text == text
    with pytest.raises(NoteError, match="at most 1000000 bytes, got 1000001"):
        open_note(sign_note("x" + text, [ALICE]), [ALICE.verifier])


def test_a_key_of_another_type_is_refused_even_with_a_fitting_id():
    with pytest.raises(NoteError, match="type 0x01"):
        Verifier.parse("PeterNeumann+c74f20a3+BBpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")


def test_keys_of_another_length():
    for length in (0, 31, 33):
        with pytest.raises(NoteError, match="32 bytes"):
            Verifier("log.example", bytes(length))
        with pytest.raises(NoteError, match="32 bytes"):
            Signer("log.example", bytes(length))


def test_a_private_key_says_that_it_is_one():
    with pytest.raises(NoteError, match="expected a private note key"):
        Signer.parse(ALICE.format().removeprefix("PRIVATE+KEY+"))


def test_not_utf8():
    with pytest.raises(NoteError, match="UTF-8"):
        open_note(NOTE.encode("utf-8").replace(b"crypto", b"crypt\xff"), [PETER])


@pytest.mark.parametrize("text", ["", "hello", "a\tb\n", "a\r\n", "\0\n"])
def test_texts_that_cannot_be_signed(text):
    with pytest.raises(NoteError):
        sign_note(text, [ALICE])


def test_a_note_needs_a_signer():
    with pytest.raises(NoteError):
        sign_note("hello\n", [])


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "a\nb", "a\0b", "a\x1fb"])
def test_bad_key_names(name):
    with pytest.raises(NoteError):
        Signer(name, bytes(32))
    with pytest.raises(NoteError):
        Verifier(name, bytes(32))


BAD_KEYS = {
    "empty": "",
    "no parts": "PeterNeumann",
    "two parts": "PeterNeumann+c74f20a3",
    "id of another key": "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    "id of another name": "PeterNeuman+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    "upper-case id": "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    "short id": "PeterNeumann+c74f20+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    "other type": "PeterNeumann+c74f20a3+AhpcBQcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    "short key": "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy",
    "no key": "PeterNeumann+c74f20a3+",
    "not base64": "PeterNeumann+c74f20a3+!",
    "no name": "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_bad_keys(name):
    with pytest.raises(NoteError):
        Verifier.parse(BAD_KEYS[name])
    with pytest.raises(NoteError):
        Signer.parse("PRIVATE+KEY+" + BAD_KEYS[name])
    with pytest.raises(NoteError):
        Signer.parse(BAD_KEYS[name])


def test_errors_about_private_keys_do_not_show_them():
    text = "PRIVATE+KEY+example.com/log/testdata+33d7b497+AeymY/SZAX0jZcJ8enZ5FY1Dz+wTML2yWSkK+9DSF3eg"
    with pytest.raises(NoteError) as raised:
        Signer.parse(text)
    assert "AeymY" not in str(raised.value)


@given(
    st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]) | st.just("\n")),
    st.binary(min_size=32, max_size=32),
)
def test_property_round_trip(text, seed):
    signer = Signer("log.example", seed)
    note = sign_note(text + "\n", [signer])
    assert open_note(note, [signer.verifier]).text == text + "\n"
