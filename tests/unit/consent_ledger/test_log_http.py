"""The log over HTTP: the bytes of the specification, and nothing under any other name."""

import gzip
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx2
import pytest

from consent_ledger.errors import RegieError
from consent_ledger.log.checkpoint import Checkpoint, open_checkpoint
from consent_ledger.log.cosignature import MlDsa44Signer
from consent_ledger.log.keys import LogKeys
from consent_ledger.log.merkle import leaf_hash, root_of
from consent_ledger.log.paths import parse_bundle
from consent_ledger.service.http import log_app
from tests.support.biglog import (
    GOLDEN,
    GOLDEN_ENTRIES,
    app_of,
    append,
    commitment_entries,
    golden_head,
    golden_root,
    raw_ledger,
    served,
)
from tests.support.ledger import Time

SIZE = 600
ENTRIES = commitment_entries(0, SIZE)
PREFIX = "/log/testdata"
QUANTUM = MlDsa44Signer(GOLDEN.name, b"\5" * 32)


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(2) as found:
        yield found


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    ledger = raw_ledger(tmp_path_factory.mktemp("log") / "ledger.db", ENTRIES)
    yield ledger
    ledger.close()


def client_of(app):
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://log.example")


@pytest.fixture
async def client(log, pool):
    async with client_of(app_of(log, pool)) as found:
        found.headers["accept-encoding"] = "identity"
        yield found


@pytest.mark.parametrize("size", [0, 2, 15])
async def test_golden_log(tmp_path, pool, size):
    ledger = raw_ledger(tmp_path / "ledger.db", GOLDEN_ENTRIES[:size])
    async with client_of(app_of(ledger, pool)) as client:
        note = (await client.get(f"{PREFIX}/checkpoint")).text
        tiles = [(await client.get(f"{PREFIX}/tile/{name}/000.p/{size or 1}")) for name in ("0", "entries")]
    ledger.close()
    assert note.startswith(golden_head(size))
    assert open_checkpoint(note, [GOLDEN.verifier]) == Checkpoint(GOLDEN.name, size, golden_root(size))
    if not size:
        assert [answer.status_code for answer in tiles] == [404, 404]
        return
    assert tiles[0].content == b"".join(map(leaf_hash, GOLDEN_ENTRIES[:size]))
    assert parse_bundle(tiles[1].content) == GOLDEN_ENTRIES[:size]
    if size == 2:
        assert tiles[1].content.hex() == "00036f6e65000374776f"
        assert tiles[0].content.hex() == (
            "d0d7360ab79f58ab1e1e3fe64ad77e2ea0bc07e36b5f46ed2223edd9298df9e9"
            "ab1ab7f07c7c8fe0eff4ba6faa53c7e4412e91a599153e8aa4e01beece5b7825"
        )


async def test_every_tile_of_every_size(client):
    leaves = [leaf_hash(entry) for entry in ENTRIES]
    full = [root_of(leaves[at : at + 256]) for at in range(0, 512, 256)]
    expected = {
        "0/000": b"".join(leaves[:256]),
        "0/001": b"".join(leaves[256:512]),
        "0/002.p/88": b"".join(leaves[512:]),
        "1/000.p/2": b"".join(full),
        # Of sizes that were published before: nobody knows which, so every one.
        "0/000.p/1": leaves[0],
        "0/001.p/255": b"".join(leaves[256:511]),
        "0/002.p/1": leaves[512],
        "1/000.p/1": full[0],
    }
    for name, data in expected.items():
        answer = await client.get(f"{PREFIX}/tile/{name}")
        assert (answer.status_code, answer.content) == (200, data), name
        assert answer.headers["content-type"] == "application/octet-stream"
    for start, name in ((0, "000"), (256, "001"), (512, "002.p/88"), (512, "002.p/7")):
        bundle = parse_bundle((await client.get(f"{PREFIX}/tile/entries/{name}")).content)
        width = 256 if ".p/" not in name else int(name.rpartition("/")[2])
        assert bundle == ENTRIES[start : start + width]


ABSENT = [
    "",
    "/",
    "/checkpoint",
    f"{PREFIX}",
    f"{PREFIX}/",
    f"{PREFIX}/checkpoint/",
    f"{PREFIX}//checkpoint",
    f"{PREFIX}/Checkpoint",
    f"{PREFIX}/check%70oint",
    f"{PREFIX}/tile",
    f"{PREFIX}/tile/0/",
    f"{PREFIX}/tile/0/002",
    f"{PREFIX}/tile/0/002.p/89",
    f"{PREFIX}/tile/0/003.p/1",
    f"{PREFIX}/tile/1/000",
    f"{PREFIX}/tile/1/000.p/3",
    f"{PREFIX}/tile/2/000.p/1",
    f"{PREFIX}/tile/63/000.p/1",
    f"{PREFIX}/tile/64/000.p/1",
    f"{PREFIX}/tile/00/000",
    f"{PREFIX}/tile/-1/000",
    f"{PREFIX}/tile/0/0",
    f"{PREFIX}/tile/0/00",
    f"{PREFIX}/tile/0/0000",
    f"{PREFIX}/tile/0/x000",
    f"{PREFIX}/tile/0/000/",
    f"{PREFIX}/tile/0/001/000",
    f"{PREFIX}/tile/0/x000/000",
    f"{PREFIX}/tile/0/X000/000",
    f"{PREFIX}/tile/0/000.p/0",
    f"{PREFIX}/tile/0/000.p/01",
    f"{PREFIX}/tile/0/000.p/256",
    f"{PREFIX}/tile/0/000.p/999",
    f"{PREFIX}/tile/0/000.p/",
    f"{PREFIX}/tile/0/000.p",
    f"{PREFIX}/tile/0/000%2ep/1",
    f"{PREFIX}/tile/0/%30%30%30",
    f"{PREFIX}/tile/0/٠٠٠",
    f"{PREFIX}/tile/entries/002",
    f"{PREFIX}/tile/entries/002.p/89",
    f"{PREFIX}/tile/entries/000.p/0",
    f"{PREFIX}/tile/Entries/000",
    f"{PREFIX}/tile/0/" + "x999/" * 6 + "999",
    f"{PREFIX}/tile/0/" + "x999/" * 40 + "999",
    f"{PREFIX}/../log/testdata/checkpoint%00",
]


@pytest.mark.parametrize("path", ABSENT)
async def test_everything_else_is_absent_and_no_cache_keeps_that(client, path):
    answer = await client.get(path)
    assert answer.status_code == 404
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text == "this log has no such resource\n"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
async def test_nothing_is_written(client, method):
    answer = await client.request(method, f"{PREFIX}/checkpoint")
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert answer.headers["cache-control"] == "no-store"


async def test_headers_for_caches(client):
    checkpoint = await client.get(f"{PREFIX}/checkpoint")
    assert checkpoint.headers["content-type"] == "text/plain; charset=utf-8"
    seconds = int(re.search(r"max-age=(\d+)", checkpoint.headers["cache-control"])[1])
    assert seconds <= 5
    assert "immutable" not in checkpoint.headers["cache-control"]
    for name in ("tile/0/000", "tile/0/002.p/3", "tile/1/000.p/2", "tile/entries/001", "tile/entries/002.p/88"):
        answer = await client.get(f"{PREFIX}/{name}")
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert int(answer.headers["content-length"]) == len(answer.content)
        head = await client.head(f"{PREFIX}/{name}")
        assert {k: v for k, v in head.headers.items() if k != "date"} == {
            k: v for k, v in answer.headers.items() if k != "date"
        }


async def test_who_has_it_is_told_so(client):
    for name in ("checkpoint", "tile/0/000", "tile/entries/000"):
        first = await client.get(f"{PREFIX}/{name}")
        tag = first.headers["etag"]
        for held in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            again = await client.get(f"{PREFIX}/{name}", headers={"if-none-match": held})
            assert (again.status_code, again.content) == (304, b""), held
            assert again.headers["etag"] == tag
            assert again.headers["cache-control"] == first.headers["cache-control"]
        for held in ('"other"', "", tag.strip('"')):
            assert (await client.get(f"{PREFIX}/{name}", headers={"if-none-match": held})).status_code == 200
    tags = {(await client.get(f"{PREFIX}/tile/0/000.p/{width}")).headers["etag"] for width in range(1, 20)}
    assert len(tags) == 19


async def test_bundles_are_compressed_for_who_can_read_it(client):
    path = f"{PREFIX}/tile/entries/000"
    plain = await client.get(path)
    assert plain.headers["vary"] == "Accept-Encoding"
    async with client.stream("GET", path, headers={"accept-encoding": "br, GZIP;q=0.5"}) as answer:
        packed = b"".join([part async for part in answer.aiter_raw()])
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "Accept-Encoding"
    assert gzip.decompress(packed) == plain.content
    assert len(packed) < len(plain.content)
    assert answer.headers["etag"] != plain.headers["etag"]
    for refused in ("identity", "gzip;q=0", "gzip; q=0.000", "xgzip", ""):
        assert "content-encoding" not in (await client.get(path, headers={"accept-encoding": refused})).headers
    tile = await client.get(f"{PREFIX}/tile/0/000", headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in tile.headers


async def test_the_checkpoint_is_made_once_a_second_and_signed_for_the_future_too(tmp_path, pool):
    keys, clock = LogKeys((GOLDEN,), (QUANTUM,)), Time()
    ledger = raw_ledger(tmp_path / "ledger.db", ENTRIES[:3], keys)
    async with client_of(app_of(ledger, pool, clock)) as client:

        async def size() -> tuple[int, str]:
            note = (await client.get(f"{PREFIX}/checkpoint")).text
            assert open_checkpoint(note, [GOLDEN.verifier]) == open_checkpoint(note, [QUANTUM.verifier])
            return open_checkpoint(note, [GOLDEN.verifier]).size, note

        first = await size()
        assert first == (3, (await size())[1])
        append(ledger, ENTRIES[3:5])
        assert await size() == first
        clock.forward(ms=1_000)
        assert (await size())[0] == 5
        append(ledger, ENTRIES[5:6])
        clock.forward(ms=-60_000)  # a clock that is set back must not hold the log's publication up
        assert (await size())[0] == 6
    ledger.close()


class Broken:
    """A ledger whose database does not answer as it should."""

    def __init__(self, reader, error=None, cut=None) -> None:
        self._reader, self._error, self._cut = reader, error, cut

    @contextmanager
    def snapshot(self):
        if self._error:
            raise self._error
        with self._reader.snapshot() as snapshot:
            yield self if self._cut else snapshot

    def head(self):
        with self._reader.snapshot() as snapshot:
            return snapshot.head()

    def tile(self, level, index, width):
        return bytes(32 * width)[: -self._cut]

    def entries(self, start, count):
        return ENTRIES[start : start + count - 1]


@pytest.mark.parametrize(
    ("error", "status"), [(RegieError("LEDGER_UNAVAILABLE", "marker 123"), 503), (ValueError("marker 123"), 500)]
)
async def test_a_failure_is_told_without_its_text(log, pool, error, status, capfd):
    async def current():
        raise error

    async with client_of(log_app(Broken(log.reader, error), log.origin, current, pool)) as client:
        for name in ("checkpoint", "tile/0/000", "tile/entries/000"):
            answer = await client.get(f"{PREFIX}/{name}")
            assert answer.status_code == status
            assert answer.headers["cache-control"] == "no-store"
            assert "marker" not in answer.text
    assert "marker" not in "".join(capfd.readouterr())


async def test_a_short_tile_is_never_served(log, pool):
    """Caches would keep it for ever under the name of the whole one."""

    async def current():
        raise AssertionError

    async with client_of(log_app(Broken(log.reader, cut=32), log.origin, current, pool)) as client:
        for name in ("tile/0/000", "tile/1/000.p/2", "tile/entries/000", "tile/entries/002.p/5"):
            assert (await client.get(f"{PREFIX}/{name}")).status_code == 503


async def test_over_a_real_connection(log, pool):
    async with served(log, pool) as prefix, httpx2.AsyncClient() as client:
        note = (await client.get(f"{prefix}/checkpoint")).text
        assert open_checkpoint(note, [GOLDEN.verifier]).size == SIZE
        assert parse_bundle((await client.get(f"{prefix}/tile/entries/000")).content) == ENTRIES[:256]
        head = await client.head(f"{prefix}/tile/0/000")
        assert (head.headers["content-length"], head.content) == ("8192", b"")
        assert "server" not in head.headers
        assert (await client.get(f"{prefix}/tile/0/%30%30%30")).status_code == 404
        assert (await client.get(f"{prefix}/tile/0/000?cache=no")).status_code == 200
        assert (await client.post(f"{prefix}/checkpoint")).status_code == 405
