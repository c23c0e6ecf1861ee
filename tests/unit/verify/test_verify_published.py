"""A published log is checked from its root down: everything that was changed is named, and nothing else."""

import asyncio

import pytest

from consent_ledger.log.checkpoint import Checkpoint, sign_checkpoint
from consent_ledger.log.errors import NoteError, VerificationError
from consent_ledger.log.merkle import leaf_hash, root_of
from consent_ledger.log.note import Signer
from consent_ledger.log.paths import TilePath, format_bundle, parse_bundle
from consent_ledger.log.tiles import Frontier
from consent_ledger.v1.events_pb2 import Leaf, LogKeyAdded, PublicEvent
from consent_ledger.verify.published import verify_published
from tests.support.biglog import commitment_entries

LOG = Signer("log.example/one", b"\1" * 32)
ADDED = LogKeyAdded(verifier_key=LOG.verifier.format())
FIRST = Leaf(public=PublicEvent(time_ms=1, sequence=1, log_key_added=ADDED)).SerializeToString()
LONG = 66_100
"""More than 256 full tiles, so that a full tile of level 1 is there, and partial ones on all three levels."""


class Published:
    """All resources of a log by name; tests change some. Asked for anything else, it has nothing."""

    def __init__(self, entries):
        size = len(entries)
        levels = [[leaf_hash(entry) for entry in entries]]
        while len(levels[-1]) >= 256:
            below = levels[-1]
            levels.append([root_of(below[at : at + 256]) for at in range(0, len(below) // 256 * 256, 256)])
        self.files = {}
        for level, hashes in enumerate(levels):
            for index in range(-(-len(hashes) // 256)):
                part = hashes[256 * index : 256 * index + 256]
                self.files[TilePath(level, index, len(part)).format()] = b"".join(part)
        for index in range(-(-size // 256)):
            part = entries[256 * index : 256 * index + 256]
            self.files[TilePath(None, index, len(part)).format()] = format_bundle(part)
        frontier = Frontier()
        frontier.append(levels[0])
        self.note = sign_checkpoint(Checkpoint(LOG.name, size, frontier.root()), [LOG])
        self.asked = []

    async def fetch(self, path):
        self.asked.append(path.format())
        await asyncio.sleep(0)
        try:
            return self.files[path.format()]
        except KeyError:
            raise VerificationError(f"{path.format()}: not there") from None

    def verify(self, progress=None):
        return asyncio.run(verify_published(self.note, [LOG.verifier], self.fetch, progress))


def entries_of(size):
    return [FIRST, *commitment_entries(1, size)][:size]


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 512, 600, 65_536])
def test_a_whole_log(size):
    log = Published(entries_of(size))
    steps = []
    report = log.verify(lambda done, total: steps.append((done, total)))
    assert (report.size, len(report.public_events)) == (size, min(size, 1))
    assert sorted(log.asked) == sorted(log.files), "every resource is read, and each once"
    assert [done for done, _ in steps] == [min(256 * (at + 1), size) for at in range(-(-size // 256))]
    assert {total for _, total in steps} <= {size}


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("size", [1, 256, 300, 513])
def test_one_flipped_bit_anywhere_is_found_and_named(size):
    log = Published(entries_of(size))
    for name, whole in list(log.files.items()):
        for at in {0, 1, 2, 31, 32, len(whole) // 2, len(whole) - 1}:
            if at >= len(whole):
                continue
            log.files[name] = flipped(whole, at)
            with pytest.raises(VerificationError) as caught:
                log.verify()
            assert name in str(caught.value), (name, at)
        log.files[name] = whole
    log.verify()


@pytest.fixture(scope="module")
def long():
    return Published(entries_of(LONG))


@pytest.mark.parametrize(
    ("name", "at", "says"),
    [
        ("tile/2/000.p/1", 0, "root of size 66100"),
        ("tile/1/001.p/2", 40, "root of size 66100"),
        ("tile/0/258.p/52", 5, "root of size 66100"),
        ("tile/1/000", 8_191, "tile/1/000: expected hashes under"),
        ("tile/0/000", 0, "tile/0/000: expected hashes under"),
        ("tile/0/257", 700, "tile/0/257: expected hashes under"),
        ("tile/entries/100", 36 * 7 + 5, "tile/entries/100: leaf 25607: expected an entry that hashes to"),
        ("tile/entries/258.p/52", 36 * 51 + 20, "tile/entries/258.p/52: leaf 66099:"),
    ],
)
def test_where_in_a_long_log(long, name, at, says):
    whole = long.files[name]
    long.files[name] = flipped(whole, at)
    try:
        with pytest.raises(VerificationError) as caught:
            long.verify()
    finally:
        long.files[name] = whole
    assert says in str(caught.value)


@pytest.mark.parametrize("change", [lambda d: d[:-1], lambda d: d + b"\0", lambda d: b"", lambda d: d[:-32]])
def test_resources_of_another_length(change):
    log = Published(entries_of(300))
    for name, whole in list(log.files.items()):
        log.files[name] = change(whole)
        with pytest.raises(VerificationError) as caught:
            log.verify()
        assert name in str(caught.value)
        log.files[name] = whole


def test_a_bundle_of_too_few_or_too_many():
    log = Published(entries_of(300))
    name = "tile/entries/001.p/44"
    entries = parse_bundle(log.files[name])
    for other in (entries[:-1], [*entries, b"x"]):
        log.files[name] = format_bundle(other)
        with pytest.raises(VerificationError, match=f"{name}: expected 44 entries, got {len(other)}"):
            log.verify()


def test_missing_resources():
    log = Published(entries_of(513))
    for name in list(log.files):
        whole = log.files.pop(name)
        with pytest.raises(VerificationError, match=f"{name}: not there"):
            log.verify()
        log.files[name] = whole


def test_a_log_consistent_in_itself_that_nobody_signed():
    """Leaves, tiles and root agree; only the signature is of another tree."""
    log, other = Published(entries_of(300)), Published(entries_of(299))
    log.note = sign_checkpoint(Checkpoint(LOG.name, 300, b"\7" * 32), [LOG])
    with pytest.raises(VerificationError, match="root of size 300: expected 0707"):
        log.verify()
    log.note = other.note
    with pytest.raises(VerificationError, match="not there"):
        log.verify()
    log.note = log.note.replace("299", "300")
    with pytest.raises(NoteError):
        log.verify()


def test_entries_that_are_no_leaves():
    log = Published([FIRST, b"not a leaf"])
    with pytest.raises(VerificationError, match="leaf 1: expected a leaf"):
        log.verify()


def test_after_a_failure_nothing_goes_on():
    log = Published(entries_of(20_000))
    log.files["tile/entries/000"] = format_bundle([b"x"] * 256)
    with pytest.raises(VerificationError, match="leaf 0"):
        log.verify()
    assert len(log.asked) < 120


def test_a_failure_does_not_wait_for_what_is_under_way():
    log = Published(entries_of(3_000))
    log.files["tile/entries/000"] = format_bundle([b"x"] * 256)

    async def fetch(path):
        if path.format() == "tile/entries/005":
            await asyncio.Event().wait()  # a connection that never answers
        return await log.fetch(path)

    async def verify():
        async with asyncio.timeout(20):
            await verify_published(log.note, [LOG.verifier], fetch)

    with pytest.raises(VerificationError, match="leaf 0"):
        asyncio.run(verify())
