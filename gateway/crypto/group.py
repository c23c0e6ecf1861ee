"""The prime-order group ristretto255 (RFC 9496), hashing into it (RFC 9380), and arithmetic modulo its order.

libsodium does the group operations. Its functions are called directly, because rbcl's wrappers cost a seventh of a
multiplication, and because each of them has a trap that this module closes: validity checks accept the identity,
addition answers zeros for bad points, and scalars that are not reduced are accepted. The calls release the GIL.

Scalar arithmetic uses Python integers, which are not constant-time: an operator's own machine is inside its trust
boundary, and no party runs code of another.
"""

import contextlib
import ctypes
import functools
import hashlib
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path

import rbcl

from consent_ledger.errors import RegieError

Rng = Callable[[int], bytes]
"""Returns that many random bytes; ``os.urandom`` in production."""

ORDER = 2**252 + 27742317777372353535851937790883648493
ELEMENT_BYTES = 32
IDENTITY = bytes(ELEMENT_BYTES)

_CHUNK = 32  # elements per piece of work: about a millisecond, so that two threads end at the same time
_HELPERS = max(1, min(7, (os.cpu_count() or 1) - 1))

_sodium = rbcl.rbcl._sodium  # noqa: SLF001 (the ctypes library; the calls below are libsodium's own)

# rbcl unpacks libsodium (2.8 MB) into the temporary folder at each import and leaves it there.
with contextlib.suppress(OSError):
    Path(_sodium._name).unlink()  # noqa: SLF001 (the path it was loaded from)

_scalarmult = _sodium["crypto_scalarmult_ristretto255"]
_scalarmult_base = _sodium["crypto_scalarmult_ristretto255_base"]
_is_valid = _sodium["crypto_core_ristretto255_is_valid_point"]
_from_hash = _sodium["crypto_core_ristretto255_from_hash"]
_add = _sodium["crypto_core_ristretto255_add"]
_sub = _sodium["crypto_core_ristretto255_sub"]
_Buffer = ctypes.c_char * ELEMENT_BYTES


def invalid_elements(field: str = "") -> RegieError:
    """Return the one error for every fault in a list: it does not tell which element was wrong, or how."""
    return RegieError("ELEMENT_INVALID", "expected a list of valid group elements", field)


def _spread(work: Callable[[int, int], None], count: int, workers: Executor | None) -> None:
    """Run ``work(start, stop)`` over 0..count in pieces, on this thread and the workers.

    This thread takes pieces too, and cancels helpers that have not started, so it is safe to call from a worker of a
    full pool.
    """
    if workers is None or count < 2 * _CHUNK:
        work(0, count)
        return
    todo = deque(range(0, count, _CHUNK))

    def drain() -> None:
        while True:
            try:
                start = todo.popleft()
            except IndexError:
                return
            work(start, min(start + _CHUNK, count))

    helpers = [workers.submit(drain) for _ in range(_HELPERS)]
    try:
        drain()
    finally:
        todo.clear()
        running = [helper for helper in helpers if not helper.cancel()]
        for helper in running:
            helper.exception()
    for helper in running:
        helper.result()


def decode(data: bytes, count: int | None = None, *, field: str = "", workers: Executor | None = None) -> list[bytes]:
    """Split a list of encoded elements of 32 bytes each, after validating every one of them.

    Raises RegieError ELEMENT_INVALID, the same for every cause, when the length is not that of a non-empty list (of
    ``count`` elements, when given), or one element is not canonical, not in the group, or the identity (RFC 9496
    section 4.3.1).
    """
    total, rest = divmod(len(data), ELEMENT_BYTES)
    if rest or (count is not None and total != count):
        raise invalid_elements(field)
    split = [bytes(data[at : at + ELEMENT_BYTES]) for at in range(0, len(data), ELEMENT_BYTES)]
    return decode_list(split, field=field, workers=workers)


def decode_list(points: Sequence[bytes], *, field: str = "", workers: Executor | None = None) -> list[bytes]:
    """Validate elements that are apart already; as :func:`decode`."""
    if not points or any(len(point) != ELEMENT_BYTES for point in points) or IDENTITY in points:
        raise invalid_elements(field)
    bad = []

    def check(start: int, stop: int) -> None:
        if any(_is_valid(point) != 1 for point in points[start:stop]):
            bad.append(start)

    _spread(check, len(points), workers)
    if bad:
        raise invalid_elements(field)
    return list(points)


def encode_scalar(scalar: int) -> bytes:
    """Return a scalar in 1..ORDER-1 as 32 bytes, little-endian (RFC 9496 4.4); raises ValueError outside that range."""
    if not 0 < scalar < ORDER:
        raise ValueError("a scalar is reduced and not zero")
    return scalar.to_bytes(32, "little")


def encode_scalars(scalars: Sequence[int]) -> list[bytes]:
    """Encode many scalars; raises ValueError when one of them is not in 1..ORDER-1."""
    if scalars and not 0 < min(scalars) <= max(scalars) < ORDER:
        raise ValueError("a scalar is reduced and not zero")
    return [scalar.to_bytes(32, "little") for scalar in scalars]


def decode_scalar(data: bytes, *, field: str = "") -> int:
    """Return the scalar of 32 little-endian bytes; raises RegieError ELEMENT_INVALID unless reduced and non-zero."""
    return decode_scalars(data, 1, field=field)[0]


def decode_scalars(data: bytes, count: int, *, field: str = "") -> list[int]:
    """Split ``count`` encoded scalars; raises RegieError ELEMENT_INVALID unless all are reduced and non-zero."""
    if len(data) != 32 * count:
        raise invalid_elements(field)
    scalars = [int.from_bytes(data[at : at + 32], "little") for at in range(0, len(data), 32)]
    if scalars and not 0 < min(scalars) <= max(scalars) < ORDER:
        raise invalid_elements(field)
    return scalars


def multiply(scalar: int, point: bytes) -> bytes:
    """Return scalar*point; raises RegieError ELEMENT_INVALID for an invalid point, the identity included."""
    return multiply_many(scalar, [point])[0]


def multiply_many(
    scalars: int | Sequence[int], points: Sequence[bytes], workers: Executor | None = None
) -> list[bytes]:
    """Multiply each point with its scalar, or all with one scalar, in the order of the points.

    The points come from :func:`decode` or from this module. Raises RegieError ELEMENT_INVALID when a point or a result
    is invalid or the identity, ValueError when a scalar is zero or not reduced.
    """
    factors = [encode_scalar(scalars)] * len(points) if isinstance(scalars, int) else encode_scalars(scalars)
    if len(factors) != len(points) or not all(len(point) == ELEMENT_BYTES for point in points):
        raise invalid_elements()
    products: list[bytes] = [b""] * len(points)

    def work(start: int, stop: int) -> None:
        operation = _scalarmult
        product = _Buffer()
        for at in range(start, stop):
            if operation(product, factors[at], points[at]):
                raise invalid_elements()
            products[at] = product.raw

    _spread(work, len(points), workers)
    return products


def multiply_base(scalar: int) -> bytes:
    """Return scalar*G for the generator G (RFC 9496 section 4)."""
    product = _Buffer()
    if _scalarmult_base(product, encode_scalar(scalar)):
        raise invalid_elements()
    return product.raw


def add(left: bytes, right: bytes) -> bytes:
    """Return left+right; raises RegieError ELEMENT_INVALID for invalid points and when the sum is the identity."""
    return _combine(_add, left, right)


def sub(left: bytes, right: bytes) -> bytes:
    """Return left-right; raises RegieError ELEMENT_INVALID for invalid points and when they are equal."""
    return _combine(_sub, left, right)


def _combine(operation: Callable[[ctypes.Array[ctypes.c_char], bytes, bytes], int], left: bytes, right: bytes) -> bytes:
    result = _Buffer()
    if len(left) != ELEMENT_BYTES or len(right) != ELEMENT_BYTES or IDENTITY in (left, right):
        raise invalid_elements()
    if operation(result, left, right) or result.raw == IDENTITY:
        raise invalid_elements()
    return result.raw


_ZERO_PAD = hashlib.sha512(bytes(128))  # Z_pad is one block of SHA-512: its state is computed once


@functools.lru_cache(maxsize=64)
def _dst_prime(dst: bytes) -> bytes:
    short = dst if len(dst) <= 255 else hashlib.sha512(b"H2C-OVERSIZE-DST-" + dst).digest()
    return short + bytes((len(short),))


def expand_message(message: bytes, dst: bytes, length: int) -> bytes:
    """Return ``length`` uniform bytes: expand_message_xmd with SHA-512 (RFC 9380 5.3.1)."""
    blocks = -(-length // 64)
    if not 0 < blocks <= 255:
        raise ValueError("expand_message_xmd gives 1 to 16320 bytes")
    suffix = _dst_prime(dst)
    state = _ZERO_PAD.copy()
    state.update(message + length.to_bytes(2, "big") + b"\0" + suffix)
    first = state.digest()
    uniform = block = hashlib.sha512(first + b"\1" + suffix).digest()
    if blocks > 1:
        mask = int.from_bytes(first, "big")
        for number in range(2, blocks + 1):
            mixed = (mask ^ int.from_bytes(block, "big")).to_bytes(64, "big")
            block = hashlib.sha512(mixed + bytes((number,)) + suffix).digest()
            uniform += block
    return uniform[:length]


def hash_to_group(message: bytes, dst: bytes) -> bytes:
    """Return hash_to_ristretto255 with SHA-512 (RFC 9380 appendix B)."""
    return hash_many([message], dst)[0]


def hash_many(messages: Sequence[bytes], dst: bytes, workers: Executor | None = None) -> list[bytes]:
    """Hash each message to the group, in their order."""
    points: list[bytes] = [b""] * len(messages)

    def work(start: int, stop: int) -> None:
        point = _Buffer()
        for at in range(start, stop):
            _from_hash(point, expand_message(messages[at], dst, 64))
            points[at] = point.raw

    _spread(work, len(messages), workers)
    if IDENTITY in points:
        raise invalid_elements()  # a preimage of the identity: probability 2^-252
    return points


def expand_message_xof(message: bytes, dst: bytes, length: int) -> bytes:
    """Return ``length`` uniform bytes: expand_message_xof with SHAKE256 (RFC 9380 5.3.2); ``dst`` has 255 at most."""
    return hashlib.shake_256(message + length.to_bytes(2, "big") + dst + bytes((len(dst),))).digest(length)


def uniform_scalars(message: bytes, dst: bytes, count: int) -> tuple[int, ...]:
    """Return ``count`` scalars of one message, for who keeps it secret: no other party computes them again.

    They are expanded with SHAKE256, at half the price of HashToScalar's SHA-512.
    """
    uniform = expand_message_xof(message, dst, 64 * count)
    return tuple([reduce(uniform[at : at + 64]) for at in range(0, 64 * count, 64)])


def hash_to_scalar(message: bytes, dst: bytes) -> int:
    """Return HashToScalar of RFC 9497 4.1: 64 uniform bytes, little-endian, modulo the order."""
    return reduce(expand_message(message, dst, 64))


def scalar_hasher(start: bytes, dst: bytes) -> Callable[[bytes], int]:
    """Return ``hash_to_scalar`` for messages that all begin with ``start``, which is hashed once."""
    suffix = _dst_prime(dst)
    begun = _ZERO_PAD.copy()
    begun.update(start)
    end, second = b"\0\x40\0" + suffix, b"\1" + suffix  # one block of 64 bytes, as in expand_message

    def hash_rest(rest: bytes) -> int:
        state = begun.copy()
        state.update(rest + end)
        return reduce(hashlib.sha512(state.digest() + second).digest())

    return hash_rest


def reduce(uniform: bytes) -> int:
    """Return 64 uniform bytes, little-endian, modulo the order (RFC 9496 4.4)."""
    return int.from_bytes(uniform, "little") % ORDER


def random_scalar(rng: Rng) -> int:
    """Return a uniform scalar that is not zero."""
    scalar = 0
    while not scalar:
        scalar = reduce(rng(64))
    return scalar


def batch_invert(scalars: Sequence[int]) -> list[int]:
    """Invert all scalars modulo the order with one inversion (Montgomery); raises ValueError when one is zero."""
    running = 1
    prefixes = []
    for scalar in scalars:
        prefixes.append(running)
        running = running * scalar % ORDER
    if not running:
        raise ValueError("zero has no inverse")
    inverse = pow(running, -1, ORDER)
    inverses = [0] * len(prefixes)
    for at in range(len(prefixes) - 1, -1, -1):
        inverses[at] = inverse * prefixes[at] % ORDER
        inverse = inverse * scalars[at] % ORDER
    return inverses
