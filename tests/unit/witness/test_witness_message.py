import pytest

from consent_ledger.log.errors import FormatError
from consent_ledger.witness.message import MAX_PROOF, AddCheckpoint, origin_hash, parse_size

HASH = bytes(range(32))
LINE = b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
NOTE = b"origin\n5\nroot\n\n\xe2\x80\x94 name c2ln\n"


def test_as_the_specification_shows_it():
    """tlog-witness, "add-checkpoint"."""
    request = AddCheckpoint(20852014, (HASH, HASH), NOTE.decode())
    assert request.format() == b"old 20852014\n" + LINE * 2 + b"\n" + NOTE
    assert AddCheckpoint.parse(request.format()) == request


def test_without_a_proof():
    assert AddCheckpoint.parse(b"old 0\n\n" + NOTE) == AddCheckpoint(0, (), NOTE.decode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 5",
        b"old 5\n" + NOTE[:-1],
        b"old 5\n\n" + NOTE[:-1],
        b"old 05\n\n" + NOTE,
        b"old -1\n\n" + NOTE,
        b"old +1\n\n" + NOTE,
        b"old  1\n\n" + NOTE,
        b"old 1 \n\n" + NOTE,
        b"old \n\n" + NOTE,
        b"old 9223372036854775808\n\n" + NOTE,
        b"new 1\n\n" + NOTE,
        b"old 1\r\n\n" + NOTE,
        b"old 1\n" + LINE[:-2] + b"\n\n" + NOTE,  # no padding
        b"old 1\n" + LINE.replace(b"h8=", b"h9=") + b"\n" + NOTE,  # another spelling
        b"old 1\nAAECAw==\n\n" + NOTE,  # 4 bytes
        b"old 1\n " + LINE + b"\n" + NOTE,
        b"old \xd9\xa1\n\n" + NOTE,  # a digit, but not ASCII
        b"old 1\n\n\xff\n",
        b"old 1\n" + LINE * (MAX_PROOF + 1) + b"\n" + NOTE,
    ],
)
def test_what_is_not_a_request(body):
    with pytest.raises(FormatError):
        AddCheckpoint.parse(body)


def test_the_longest_proof():
    assert len(AddCheckpoint.parse(b"old 1\n" + LINE * MAX_PROOF + b"\n" + NOTE).proof) == MAX_PROOF


def test_sizes_of_conflicts():
    assert parse_size(b"20852014\n") == 20852014
    for wrong in (b"", b"5", b"05\n", b"5\n\n", b" 5\n", b"-5\n", b"\xff\n", b"five\n"):
        with pytest.raises(FormatError):
            parse_size(wrong)


def test_a_logs_place_under_the_monitoring_prefix():
    assert origin_hash("example.com/log") == "4d3203c8f35cdf600e475f55fede6081a703d3d322f208865fca2ec4f0e030f8"
