"""The log's side: what it makes of answers, right and wrong."""

import asyncio

import httpx2
import pytest

from consent_ledger.log.cosignature import Ed25519CosignatureSigner
from consent_ledger.log.note import open_note
from consent_ledger.log.publication import grease_line
from consent_ledger.witness import client as module
from consent_ledger.witness.client import Ahead, Inconsistent, WitnessAddress, WitnessClient, WitnessError, open_http
from consent_ledger.witness.message import SIZE_TYPE, AddCheckpoint
from tests.support.ledger import NOW, SIGNER, Time
from tests.support.witness import ORIGIN, SmallLog, asking

LOG, OTHER = SmallLog(), SmallLog("other")
GREASE = grease_line(lambda size: b"\5" * size)


@pytest.fixture
async def network(real, pool):
    async with asking(pool, [real]) as (network, http):
        network.http = http
        yield network


@pytest.fixture
def client(network, real):
    return WitnessClient(real.address, network.http, real.clock)


async def cosign(client, size, log=LOG):
    return await client.cosign(log.checkpoint(size), log.note(size), log.prove)


async def test_goes_from_what_the_witness_holds(client, real, network):
    real.witness.add_checkpoint(LOG.request(0, 4).format())
    lines = await cosign(client, 9)
    opened = open_note(f"{LOG.checkpoint(9).body()}\n{lines}", real.keys.keys)
    assert len(opened.signatures) == 2
    assert len(network.asked) == 2  # from 0, which is not what it holds, and from 4
    await cosign(client, 12)
    assert len(network.asked) == 3
    await cosign(client, 12)
    assert len(network.asked) == 4


@pytest.mark.parametrize(
    ("log", "size", "kind"), [(OTHER, 4, Inconsistent), (OTHER, 9, Inconsistent), (LOG, 3, Ahead), (OTHER, 3, Ahead)]
)
async def test_another_log_or_an_older_one(client, real, log, size, kind):
    real.witness.add_checkpoint(LOG.request(0, 4).format())
    with pytest.raises(Inconsistent) as caught:
        await cosign(client, size, log)
    assert type(caught.value) is kind
    if kind is Ahead:
        assert caught.value.size == 4


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (422, "text/plain", b"no\n"),
        (422, SIZE_TYPE, b"3\n"),
        (409, "text/plain", b"3\n"),
        (409, "", b""),
        (409, SIZE_TYPE, b""),
        (409, SIZE_TYPE, b"03\n"),
        (409, SIZE_TYPE, b"three\n"),
    ],
)
async def test_422_or_409_without_a_size_means_another_log(client, network, status, kind, body):
    network.say("witness.example.w1", status, kind, body)
    with pytest.raises(Inconsistent):
        await cosign(client, 5)
    assert len(network.asked) == 1  # never retried


async def test_409_with_the_size_that_was_sent(client, network):
    """tlog-witness 1.0.0 says so when the same size has another root; at another size it is no answer."""
    await cosign(client, 5)
    network.say("witness.example.w1", 409, SIZE_TYPE, b"5\n")
    with pytest.raises(Inconsistent):
        await cosign(client, 5, OTHER)
    with pytest.raises(WitnessError, match="wants size 5, which is what it got"):
        await cosign(client, 7)


async def test_a_parameter_of_the_content_type_does_not_matter(client, network):
    network.say("witness.example.w1", 409, "Text/X.tlog.size; charset=utf-8", b"7\n")
    with pytest.raises(Ahead):
        await cosign(client, 5)


def line(size=5, log=LOG, seconds=NOW // 1_000, name="witness.example/w1", seed=None):
    made = Ed25519CosignatureSigner(name, seed or b"\3" * 32)
    return made.line(log.checkpoint(size).body(), seconds)


def own(real, size=5, log=LOG, seconds=NOW // 1_000):
    return real.signers[0].line(log.checkpoint(size).body(), seconds)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda _: "", "does not verify"),
        (lambda _: "\n", "does not verify"),
        (lambda _: "OK\n", "does not verify"),
        (lambda _: line(), "no known key"),
        (lambda _: GREASE, "no known key"),
        (lambda real: own(real).rstrip("\n"), "does not verify"),
        (lambda real: own(real, size=6), "wrong signature"),
        (lambda real: own(real, log=OTHER), "wrong signature"),
        (lambda real: own(real) + own(real, size=6), "wrong signature"),
        (lambda real: own(real, seconds=NOW // 1_000 + 301), "from the future"),
        (lambda real: own(real) + "x" * 70_000, "more than 65536 bytes"),
    ],
)
async def test_a_cosignature_that_is_none(client, network, real, answer, why):
    network.say("witness.example.w1", 200, "text/plain", answer(real).encode())
    with pytest.raises(WitnessError, match=why):
        await cosign(client, 5)


async def test_bytes_that_are_no_text(client, network):
    network.say("witness.example.w1", 200, "text/plain", b"\xff\xfe\n")
    with pytest.raises(WitnessError):
        await cosign(client, 5)


async def test_lines_of_unknown_keys_are_ignored(client, network, real):
    network.say("witness.example.w1", 200, "text/plain", (line() + own(real) + GREASE).encode())
    assert await cosign(client, 5) == own(real)


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (400, "answers 400"),
        (403, "does not take our signature"),
        (404, "does not know our log"),
        (500, "answers 500"),
        (503, "answers 503"),
        (302, "answers 302"),
    ],
)
async def test_other_answers_are_the_witnesss_own_trouble(client, network, status, why):
    network.say("witness.example.w1", status, "text/plain", b"no\n")
    with pytest.raises(WitnessError, match=why):
        await cosign(client, 5)


async def test_a_witness_that_does_not_answer(client, network, monkeypatch):
    network.down = {"witness.example.w1"}
    with pytest.raises(WitnessError, match=r"does not answer at http://witness.example.w1 \(ConnectError\)"):
        await cosign(client, 5)
    network.down = set()
    monkeypatch.setattr(module, "SECONDS", 0.05)

    async def never(_request):
        await asyncio.sleep(10)

    monkeypatch.setattr(network, "handle_async_request", never)
    with pytest.raises(WitnessError, match=r"does not answer at http://witness.example.w1 \(TimeoutError\)"):
        await cosign(client, 5)


async def test_an_address_that_is_none(real):
    async with open_http() as http:
        for url in ("http://[::1", "http://127.0.0.1:1"):
            with pytest.raises(WitnessError, match="does not answer"):
                await cosign(WitnessClient(WitnessAddress(real.keys, url), http, Time()), 5)


async def test_a_witness_whose_size_jumps_about(real):
    sizes = iter((3, 4, 3, 4, 3))

    def jump(request):
        AddCheckpoint.parse(request.content)
        return httpx2.Response(409, headers={"content-type": SIZE_TYPE}, content=f"{next(sizes)}\n".encode())

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(jump)) as http:
        with pytest.raises(WitnessError, match="another size each time"):
            await cosign(WitnessClient(real.address, http, Time()), 5)


async def test_the_latest_checkpoint_as_evidence(client, network, real):
    assert await client.latest(ORIGIN, [SIGNER.verifier]) is None
    await cosign(client, 5)
    assert await client.latest(ORIGIN, [SIGNER.verifier]) == LOG.checkpoint(5)
    with pytest.raises(WitnessError, match="does not verify"):
        await client.latest(ORIGIN, [SmallLog(signer=type(SIGNER)(ORIGIN, b"\7" * 32)).signer.verifier])


@pytest.mark.parametrize("body", [b"", b"\xff", LOG.note(5).encode()])
async def test_evidence_that_is_none(real, body):
    """The last of these is by the log alone."""
    answer = httpx2.MockTransport(lambda _: httpx2.Response(200, content=body))
    async with httpx2.AsyncClient(transport=answer) as http:
        with pytest.raises(WitnessError, match="does not verify"):
            await WitnessClient(real.address, http, Time()).latest(ORIGIN, [SIGNER.verifier])
