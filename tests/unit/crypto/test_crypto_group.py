"""RFC 9496 and RFC 9380 vectors, and every trap of the library below."""

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import rbcl
from hypothesis import given
from hypothesis import strategies as st
from rfc_vectors import DERIVED, EXPAND, EXPAND_DST, INVALID, MULTIPLES

from consent_ledger.errors import RegieError
from gateway.crypto import group
from gateway.crypto.group import ORDER

MULTIPLE = [bytes.fromhex(multiple) for multiple in MULTIPLES]
GENERATOR = MULTIPLE[1]
BAD = [bytes.fromhex(encoding) for encodings in INVALID.values() for encoding in encodings]
scalars = st.integers(1, ORDER - 1)


def refused(data: bytes) -> RegieError:
    with pytest.raises(RegieError) as caught:
        group.decode(data, field="blinded")
    assert caught.value.reason == "ELEMENT_INVALID"
    return caught.value


def test_multiples_of_the_generator():
    assert MULTIPLE[0] == group.IDENTITY
    assert [group.multiply_base(number) for number in range(1, 16)] == MULTIPLE[1:]
    assert [group.multiply(number, GENERATOR) for number in range(1, 16)] == MULTIPLE[1:]
    assert [group.add(MULTIPLE[number], GENERATOR) for number in range(1, 15)] == MULTIPLE[2:]
    assert [group.sub(MULTIPLE[number], GENERATOR) for number in range(2, 16)] == MULTIPLE[1:15]


def test_there_are_29_invalid_encodings():
    assert len(set(BAD)) == 29


@pytest.mark.parametrize("encoding", BAD, ids=lambda encoding: encoding.hex()[:8])
def test_invalid_encodings_are_refused_everywhere(encoding):
    refused(encoding)
    for operation in (
        lambda: group.multiply(3, encoding),
        lambda: group.add(encoding, GENERATOR),
        lambda: group.sub(GENERATOR, encoding),
    ):
        with pytest.raises(RegieError, match="ELEMENT_INVALID"):
            operation()


@pytest.mark.parametrize(("uniform", "encoded"), DERIVED)
def test_element_derivation(monkeypatch, uniform, encoded):
    monkeypatch.setattr(group, "expand_message", lambda message, dst, length: message)
    assert group.hash_to_group(bytes.fromhex(uniform), b"").hex() == encoded


@pytest.mark.parametrize(("message", "length", "uniform"), EXPAND)
def test_expand_message(message, length, uniform):
    assert group.expand_message(message.encode(), EXPAND_DST.encode(), length).hex() == uniform


def test_expand_message_xof():
    """RFC 9380 K.6."""
    uniform = group.expand_message_xof(b"", b"QUUX-V01-CS02-with-expander-SHAKE256", 32)
    assert uniform.hex() == "2ffc05c48ed32b95d72e807f6eab9f7530dd1c2f013914c8fed38c5ccc15ad76"


def test_expand_message_hashes_a_long_dst():
    short = group.expand_message(b"m", b"x" * 255, 64)
    long = group.expand_message(b"m", b"x" * 256, 64)
    hashed = __import__("hashlib").sha512(b"H2C-OVERSIZE-DST-" + b"x" * 256).digest()
    assert long == group.expand_message(b"m", hashed, 64) != short


@pytest.mark.parametrize("length", [0, 255 * 64 + 1])
def test_expand_message_has_bounds(length):
    with pytest.raises(ValueError, match="16320"):
        group.expand_message(b"", b"", length)


def test_the_identity_is_refused_though_the_library_takes_it():
    assert rbcl.crypto_core_ristretto255_is_valid_point(group.IDENTITY)
    refused(group.IDENTITY)
    for operation in (
        lambda: group.multiply(5, group.IDENTITY),
        lambda: group.add(GENERATOR, group.IDENTITY),
        lambda: group.sub(GENERATOR, GENERATOR),
        lambda: group.add(GENERATOR, group.sub(GENERATOR, MULTIPLE[2])),
    ):
        with pytest.raises(RegieError, match="ELEMENT_INVALID"):
            operation()


def test_addition_of_a_bad_point_raises_though_the_library_answers_zeros():
    assert rbcl.crypto_core_ristretto255_add(BAD[0], GENERATOR) == bytes(32)
    with pytest.raises(RegieError, match="ELEMENT_INVALID"):
        group.add(BAD[0], GENERATOR)


@pytest.mark.parametrize("data", [b"", GENERATOR[:-1], GENERATOR + b"\0", GENERATOR * 2 + b"x"])
def test_lists_have_whole_elements(data):
    refused(data)


def test_one_bad_element_refuses_the_list_with_one_error_for_every_cause(monkeypatch):
    good = b"".join(MULTIPLE[1:])
    causes = [*BAD, group.IDENTITY, b"short"]
    texts = {str(refused(good + cause)) for cause in causes} | {str(refused(cause + good)) for cause in causes}
    assert texts == {"ELEMENT_INVALID: expected a list of valid group elements (field blinded)"}


def test_a_list_has_the_count_asked_for():
    assert group.decode(GENERATOR * 2, 2) == [GENERATOR, GENERATOR]
    with pytest.raises(RegieError, match="ELEMENT_INVALID"):
        group.decode(GENERATOR * 2, 3)


def test_elements_that_are_apart_have_their_length():
    assert group.decode_list([GENERATOR]) == [GENERATOR]
    for bad in ([], [GENERATOR[:-1]], [GENERATOR, GENERATOR + b"\0"], [group.IDENTITY]):
        with pytest.raises(RegieError, match="ELEMENT_INVALID"):
            group.decode_list(bad)


@pytest.mark.parametrize("bad", [0, ORDER, ORDER + 1, 2**256 - 1])
def test_scalars_are_reduced_and_not_zero(bad):
    encoded = bad.to_bytes(32, "little")
    with pytest.raises(RegieError, match="ELEMENT_INVALID"):
        group.decode_scalar(encoded)
    with pytest.raises(RegieError, match="ELEMENT_INVALID"):
        group.decode_scalars(group.encode_scalar(1) + encoded, 2)
    for operation in (
        lambda: group.encode_scalar(bad),
        lambda: group.multiply(bad, GENERATOR),
        lambda: group.multiply_many([1, bad], [GENERATOR, GENERATOR]),
        lambda: group.multiply_base(bad),
    ):
        with pytest.raises(ValueError, match="reduced"):
            operation()


def test_scalar_lists_have_their_length():
    for data, count in ((b"", 1), (group.encode_scalar(1) * 2, 1), (group.encode_scalar(1)[:-1], 1)):
        with pytest.raises(RegieError, match="ELEMENT_INVALID"):
            group.decode_scalars(data, count)


@given(scalars)
def test_scalars_are_little_endian(scalar):
    encoded = group.encode_scalar(scalar)
    assert int.from_bytes(encoded, "little") == scalar == group.decode_scalar(encoded)


@given(scalars, scalars)
def test_multiplication_is_that_of_a_group_of_prime_order(left, right):
    product = group.multiply(left, group.multiply_base(right))
    assert product == group.multiply_base(left * right % ORDER)
    if (left + right) % ORDER:
        total = group.multiply_base((left + right) % ORDER)
        assert group.add(group.multiply_base(left), group.multiply_base(right)) == total
    assert group.multiply(pow(left, -1, ORDER), product) == group.multiply_base(right)


@given(st.lists(scalars, max_size=40))
def test_batch_inversion(values):
    assert group.batch_invert(values) == [pow(value, -1, ORDER) for value in values]


def test_zero_has_no_inverse():
    with pytest.raises(ValueError, match="zero"):
        group.batch_invert([1, 0, 2])


def test_many_products_keep_their_order_on_any_number_of_threads():
    rng = random.Random(1)
    points = [group.multiply_base(group.random_scalar(rng.randbytes)) for _ in range(300)]
    factors = [group.random_scalar(rng.randbytes) for _ in points]
    expected = [group.multiply(factor, point) for factor, point in zip(factors, points, strict=True)]
    messages = [b"%d" % number for number in range(300)]
    for threads in (1, 2, 5):
        with ThreadPoolExecutor(threads) as workers:
            assert group.multiply_many(factors, points, workers) == expected
            assert group.decode(b"".join(points), workers=workers) == points
            hashed = group.hash_many(messages, b"dst", workers)
            assert hashed == [group.hash_to_group(message, b"dst") for message in messages]


def test_one_bad_element_is_found_on_any_thread():
    points = [group.multiply_base(number) for number in range(1, 201)]
    with ThreadPoolExecutor(2) as workers:
        for at in (0, 70, 199):
            bad = [*points[:at], BAD[at % 29], *points[at + 1 :]]
            with pytest.raises(RegieError, match="ELEMENT_INVALID"):
                group.decode(b"".join(bad), workers=workers)
            with pytest.raises(RegieError, match="ELEMENT_INVALID"):
                group.multiply_many(7, bad, workers)


def test_workers_may_be_the_pool_of_the_caller():
    # A service runs open_batch in the pool whose threads it also lends: all of them wait, and none is left to help.
    points = [GENERATOR] * 200
    with ThreadPoolExecutor(2) as workers:
        runs = [workers.submit(group.multiply_many, 5, points, workers) for _ in range(8)]
        assert all(run.result(timeout=60) == [MULTIPLE[5]] * 200 for run in runs)


def test_lists_of_different_lengths_are_refused():
    with pytest.raises(RegieError, match="ELEMENT_INVALID"):
        group.multiply_many([1, 2], [GENERATOR])
    with pytest.raises(RegieError, match="ELEMENT_INVALID"):
        group.multiply_many(1, [GENERATOR[:31]])
    assert group.multiply_many(5, []) == []


def test_random_scalars_are_never_zero():
    zero_first = iter([bytes(64), group.ORDER.to_bytes(64, "little"), (7).to_bytes(64, "little")])
    assert group.random_scalar(lambda length: next(zero_first)) == 7


def test_hashing_to_scalars():
    one = group.hash_to_scalar(b"m", b"dst")
    assert 0 < one < ORDER
    assert one == group.reduce(group.expand_message(b"m", b"dst", 64))
    three = group.uniform_scalars(b"m", b"dst", 3)
    assert len({one, *three, *group.uniform_scalars(b"m", b"dst", 2)}) == 6, "the length of the output is hashed too"
    uniform = group.expand_message_xof(b"m", b"dst", 192)
    assert three == tuple(group.reduce(uniform[at : at + 64]) for at in (0, 64, 128))


def test_scalars_of_messages_with_one_beginning():
    hashed = group.scalar_hasher(b"beginning", b"dst")
    for rest in (b"", b"m", bytes(300)):
        assert hashed(rest) == group.hash_to_scalar(b"beginning" + rest, b"dst")


def test_importing_leaves_nothing_in_the_temporary_folder(tmp_path):
    script = "import gateway.crypto.group as g; assert g.multiply_base(1)"
    root = Path(__file__).parents[3]
    environment = {"TMPDIR": str(tmp_path), "PYTHONPATH": str(root), "PATH": ""}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)
    assert list(tmp_path.iterdir()) == []
