"""checkpoint.py and proof.py: the golden log byte for byte, and every form that must be refused."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_ledger.log.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from consent_ledger.log.errors import FormatError, NoteError
from consent_ledger.log.merkle import leaf_hash, root_of, verify_consistency, verify_inclusion
from consent_ledger.log.note import Signer
from consent_ledger.log.proof import Receipt
from consent_ledger.log.tiles import Frontier, consistency_path, inclusion_path

SIGNER = Signer.parse("PRIVATE+KEY+example.com/log/testdata+33d7b496+AeymY/SZAX0jZcJ8enZ5FY1Dz+wTML2yWSkK+9DSF3eg")
ENTRIES = b"one two three four five six seven eit nain ten ileven twelf threeten fourten fivten".split()
HASHES = [leaf_hash(entry) for entry in ENTRIES]
GOLDEN = {
    0: (
        "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "M9e0lhxJACzE1KoUdqKuPa+9p6R7dSW8BlEvrg/noo8FkGg6PbJoRNOcdjqjOq89wVvTA60eubCc4oufo5BvIVEgtQc=",
    ),
    2: (
        "T1X2GdkhUjV3iyufF9b0kVsWFxIU0VI4EpNml2Teci4=",
        "M9e0llH4NKmlf0u7C8tkJioQOmi7l5ELqljXgKRg6R3G5JJ7vx7emDWo5fpqKuA/Dk/jRrI6il+7QCVirNhyUAWGoAk=",
    ),
    15: (
        "rKbDipCvhuX1GZ7g5BBe8sA6BbJ7ja/1nk427v383cs=",
        "M9e0luh4jTG+UMBqOUo9/q+yAEvx1ilBEniMvjf1zfcBOhg+CKubMt53MvIt/uEWP6zdkdIQzd/fmwlM/dlPWF74ewI=",
    ),
}


def tile(level, index, width):
    assert (level, index) == (0, 0)
    return b"".join(HASHES[:width])


def golden_note(size):
    root, signature = GOLDEN[size]
    return f"example.com/log/testdata\n{size}\n{root}\n\n— example.com/log/testdata {signature}\n"


@pytest.mark.parametrize("size", GOLDEN)
def test_golden_checkpoints(size):
    frontier = Frontier()
    frontier.append(HASHES[:size])
    checkpoint = Checkpoint(SIGNER.name, size, frontier.root())
    assert sign_checkpoint(checkpoint, [SIGNER]) == golden_note(size)
    assert open_checkpoint(golden_note(size), [SIGNER.verifier]) == checkpoint


def test_golden_consistency():
    path = consistency_path(2, 3, tile)
    assert [base64.b64encode(value).decode() for value in path] == ["Zx8UbF5HHooag6PCFM5LqQe486WIjRTMjNPOdbsS75Q="]
    verify_consistency(2, 3, root_of(HASHES[:2]), root_of(HASHES[:3]), path)


ROOT = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "body",
    [
        "",
        "\n",
        f"o\n1\n{ROOT}",
        f"o\n1\n{ROOT}\n\n",
        f"o\n1\n{ROOT}\nextension\n",
        f"o\n1\n{ROOT}\nextension",
        f"\n1\n{ROOT}\n",
        f"o\n01\n{ROOT}\n",
        f"o\n+1\n{ROOT}\n",
        f"o\n-1\n{ROOT}\n",
        f"o\n 1\n{ROOT}\n",
        f"o\n1_0\n{ROOT}\n",
        f"o\n\u0661\n{ROOT}\n",
        f"o\n\n{ROOT}\n",
        f"o\n9223372036854775808\n{ROOT}\n",
        f"o\n99999999999999999999\n{ROOT}\n",
        f"o\n1\n{ROOT[:-1]}\n",
        f"o\n1\n {ROOT}\n",
        f"o\n1\n{ROOT[:-2]}B=\n",
        f"o\n1\n{ROOT[:-4]}\n",
        "o\n1\n\n",
    ],
)
def test_malformed_bodies(body):
    with pytest.raises(FormatError):
        Checkpoint.parse(body)


@pytest.mark.parametrize(
    "parts",
    [("", 0, bytes(32)), ("a\nb", 0, bytes(32)), ("o", -1, bytes(32)), ("o", 2**63, bytes(32)), ("o", 0, bytes(31))],
)
def test_checkpoints_without_a_form(parts):
    with pytest.raises(FormatError):
        Checkpoint(*parts)


def test_largest_size():
    checkpoint = Checkpoint("o", 2**63 - 1, bytes(32))
    assert Checkpoint.parse(checkpoint.body()) == checkpoint


def test_a_witness_cannot_speak_for_the_log():
    witness = Signer("witness.example", b"\7" * 32)
    checkpoint = Checkpoint(SIGNER.name, 3, bytes(32))
    both = sign_checkpoint(checkpoint, [witness, SIGNER])
    assert open_checkpoint(both, [SIGNER.verifier, witness.verifier]) == checkpoint
    with pytest.raises(NoteError, match="expected a signature by the log"):
        open_checkpoint(both, [witness.verifier])
    other_log = sign_checkpoint(Checkpoint("other.example", 3, bytes(32)), [SIGNER])
    with pytest.raises(NoteError, match=r"expected a signature by the log other\.example"):
        open_checkpoint(other_log, [SIGNER.verifier])


def receipt(index=2, size=15, extra=b"salt and event"):
    return Receipt(extra, index, tuple(inclusion_path(index, size, tile)), golden_note(size))


def test_receipt_of_the_golden_log():
    text = receipt().format()
    lines = text.split("\n")
    assert lines[:3] == ["c2sp.org/tlog-proof@v1", "extra c2FsdCBhbmQgZXZlbnQ=", "index 2"]
    assert lines[7] == ""
    assert text.endswith("\n\n" + golden_note(15))
    parsed = Receipt.parse(text)
    assert parsed == receipt()
    checkpoint = open_checkpoint(parsed.checkpoint_note, [SIGNER.verifier])
    verify_inclusion(parsed.index, checkpoint.size, leaf_hash(b"three"), checkpoint.root, parsed.path)


def test_no_extra_line_without_extra_data():
    text = receipt(extra=b"").format()
    assert "extra" not in text
    assert Receipt.parse(text).extra == b""


H = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "c2sp.org/tlog-proof@v1\nindex 0\n",
        "c2sp.org/tlog-proof@v1\nindex 0\n\n",
        "c2sp.org/tlog-proof@v2\nindex 0\n\nnote",
        "\nc2sp.org/tlog-proof@v1\nindex 0\n\nnote",
        "c2sp.org/tlog-proof@v1\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex\n\nnote",
        "c2sp.org/tlog-proof@v1\n0\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex \n\nnote",
        "c2sp.org/tlog-proof@v1\nindex 00\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex 1 \n\nnote",
        "c2sp.org/tlog-proof@v1\nindex -1\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex 9223372036854775808\n\nnote",
        "c2sp.org/tlog-proof@v1\nextra AA==\n\nnote",
        "c2sp.org/tlog-proof@v1\nextra \nindex 0\n\nnote",
        "c2sp.org/tlog-proof@v1\nextra AB==\nindex 0\n\nnote",
        "c2sp.org/tlog-proof@v1\nextra AA\nindex 0\n\nnote",
        "c2sp.org/tlog-proof@v1\nextra AA==\nextra AA==\nindex 0\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex 0\nextra AA==\n\nnote",
        "c2sp.org/tlog-proof@v1\r\nindex 0\r\n\r\nnote",
        f"c2sp.org/tlog-proof@v1\nindex 0\n{H[:-1]}\n\nnote",
        f"c2sp.org/tlog-proof@v1\nindex 0\n{H} \n\nnote",
        "c2sp.org/tlog-proof@v1\nindex 0\nAA==\n\nnote",
        f"c2sp.org/tlog-proof@v1\nindex 0\n{H}{H}\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex 0\n" + f"{H}\n" * 64 + "\nnote",
    ],
)
def test_malformed_receipts(text):
    with pytest.raises(FormatError):
        Receipt.parse(text)


@pytest.mark.parametrize("parts", [(-1, ()), (2**63, ()), (0, (b"short",)), (0, (bytes(32),) * 64)])
def test_receipts_without_a_form(parts):
    with pytest.raises(FormatError):
        Receipt(b"", *parts, "note")


def test_the_largest_receipt():
    value = Receipt(b"", 2**63 - 1, (bytes(32),) * 63, "note")
    assert Receipt.parse(value.format()) == value


@given(st.binary(max_size=200), st.integers(0, 2**63 - 1), st.lists(st.binary(min_size=32, max_size=32), max_size=63))
def test_property_receipts_round_trip(extra, index, path):
    value = Receipt(extra, index, tuple(path), "text\n\n— a b\n")
    assert Receipt.parse(value.format()) == value
