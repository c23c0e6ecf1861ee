"""Our witness as a log and a monitor meet it (c2sp.org/tlog-witness)."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import pytest
from httpx2 import ASGITransport, AsyncClient

from consent_ledger.log.checkpoint import Checkpoint, sign_checkpoint
from consent_ledger.log.cosignature import Ed25519CosignatureSigner
from consent_ledger.log.errors import NoteError
from consent_ledger.log.merkle import EMPTY_ROOT
from consent_ledger.log.note import Signer, open_note
from consent_ledger.log.publication import grease_line
from consent_ledger.witness import server
from consent_ledger.witness.message import MAX_BODY, AddCheckpoint, origin_hash
from consent_ledger.witness.server import witness_app
from consent_ledger.witness.witness import KnownLog, Witness
from tests.support.ledger import NOW, SIGNER
from tests.support.witness import ORIGIN, SmallLog

LOG, FORK = SmallLog(), SmallLog("other")
STRANGER = Signer(ORIGIN, b"\x07" * 32)


@pytest.fixture
async def http(real, pool):
    async with AsyncClient(transport=ASGITransport(witness_app(real.witness, pool)), base_url="http://w") as client:
        yield client


async def add(http, request):
    body = request.format() if isinstance(request, AddCheckpoint) else request
    return await http.post("/add-checkpoint", content=body)


async def grow(http, *sizes):
    for old, new in zip((0, *sizes), sizes, strict=False):
        assert (await add(http, LOG.request(old, new))).status_code == 200


def cosigned(real, body, text):
    """Verify the lines of an answer; returns their times in seconds."""
    opened = open_note(f"{body}\n{text}", real.keys.keys)
    return [int.from_bytes(line.signature[:8]) for line in opened.signatures]


async def test_cosigns_what_grows_with_both_its_keys(http, real):
    for old, new in ((0, 3), (3, 3), (3, 4), (4, 7), (7, 8), (8, 200)):
        real.clock.forward(ms=1_000)
        answer = await add(http, LOG.request(old, new))
        assert answer.status_code == 200
        assert cosigned(real, LOG.checkpoint(new).body(), answer.text) == [real.clock.now_ms // 1_000] * 2
        assert re.fullmatch(r"(— witness\.example/w1 [A-Za-z0-9+/=]+\n){2}", answer.text)


async def test_size_zero(http):
    assert (await add(http, LOG.request(0, 0))).status_code == 200
    assert (await add(http, LOG.request(0, 0))).status_code == 200
    assert (await add(http, LOG.request(0, 5))).status_code == 200


async def test_answers_409_with_the_size_to_go_on_from(http):
    await grow(http, 5)
    for request in (LOG.request(0, 7), LOG.request(4, 7), LOG.request(6, 7), LOG.request(0, 3), FORK.request(0, 5)):
        answer = await add(http, request)
        assert (answer.status_code, answer.text) == (409, "5\n")
        assert answer.headers["content-type"] == "text/x.tlog.size"


async def test_a_log_it_never_saw_is_at_size_zero(http):
    answer = await add(http, LOG.request(2, 3))
    assert (answer.status_code, answer.text) == (409, "0\n")


@pytest.mark.parametrize(
    "request_",
    [
        FORK.request(5, 5),  # two roots for one size
        FORK.request(5, 7),  # a proof of another log
        AddCheckpoint(5, tuple(LOG.proof(5, 7)), FORK.note(7)),  # the right proof, another root
        AddCheckpoint(5, (), LOG.note(7)),
        AddCheckpoint(5, tuple(LOG.proof(5, 7)[:-1]), LOG.note(7)),
        AddCheckpoint(5, (*LOG.proof(5, 7), b"\0" * 32), LOG.note(7)),
        AddCheckpoint(5, tuple(LOG.proof(4, 7)), LOG.note(7)),
        AddCheckpoint(5, (b"\0" * 32,), LOG.note(5)),
    ],
)
async def test_a_fork_is_422_and_kept_as_evidence(http, real, request_):
    await grow(http, 5)
    answer = await add(http, request_)
    assert answer.status_code == 422
    assert "not the log that was cosigned" in answer.text
    [(seconds, problem, body)] = real.memory.evidence(ORIGIN)
    assert (seconds, f"{problem}\n", body) == (NOW // 1_000, answer.text, request_.format())
    await grow_on(http, 5, 7)


async def grow_on(http, old, new):
    assert (await add(http, LOG.request(old, new))).status_code == 200


async def test_the_first_checkpoint_needs_an_empty_proof_and_an_empty_log_the_empty_root(http):
    assert (await add(http, AddCheckpoint(0, (b"\0" * 32,), LOG.note(3)))).status_code == 422
    wrong = sign_checkpoint(Checkpoint(ORIGIN, 0, b"\1" * 32), [SIGNER])
    assert (await add(http, AddCheckpoint(0, (), wrong))).status_code == 422
    right = sign_checkpoint(Checkpoint(ORIGIN, 0, EMPTY_ROOT), [SIGNER])
    assert (await add(http, AddCheckpoint(0, (), right))).status_code == 200


async def test_an_unknown_origin_is_404_before_its_signature_matters(http):
    other = SmallLog(signer=Signer("other.example/log", b"\1" * 32))
    assert (await add(http, other.request(0, 3))).status_code == 404


async def test_only_the_logs_own_key_counts(http):
    assert (await add(http, AddCheckpoint(0, (), sign_checkpoint(LOG.checkpoint(3), [STRANGER])))).status_code == 403
    forged = LOG.note(3).replace(LOG.note(3)[-20:-5], LOG.note(4)[-20:-5])
    assert (await add(http, AddCheckpoint(0, (), forged))).status_code == 403
    both = sign_checkpoint(LOG.checkpoint(3), [STRANGER, SIGNER]) + grease_line(lambda size: b"\5" * size)
    assert (await add(http, AddCheckpoint(0, (), both))).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0\n\n",
        b"old 0\n\nno note\n",
        b"old 0\n\n" + LOG.checkpoint(3).body().encode(),
        LOG.request(0, 3).format().replace(b"\n3\n", b"\n03\n"),
        LOG.request(0, 3).format().replace(b"\n3\n", b"\n3\nan extension line\n"),
        LOG.request(0, 3).format() + b"no signature line\n",
        AddCheckpoint(4, (), LOG.note(3)).format(),  # an old size larger than the checkpoint's
    ],
)
async def test_what_is_no_request_is_400(http, body):
    assert (await add(http, body)).status_code == 400


async def test_a_request_is_bounded_in_size_and_time(http, monkeypatch):
    assert (await add(http, b"old 0\n" + b"x" * MAX_BODY)).status_code == 413
    monkeypatch.setattr(server, "BODY_SECONDS", 0.05)

    async def trickle():
        yield b"old 0\n"
        await asyncio.sleep(5)

    assert (await http.post("/add-checkpoint", content=trickle())).status_code == 408


async def test_only_the_paths_and_methods_of_the_specification(http):
    assert (await http.get("/add-checkpoint")).status_code == 405
    hashed = origin_hash(ORIGIN)
    assert (await http.post(f"/{hashed}/checkpoint", content=b"")).status_code == 405
    for path in ("/", f"/{hashed}", f"/{hashed.upper()}/checkpoint", f"/{hashed}x/checkpoint", "/x/checkpoint"):
        assert (await http.get(path)).status_code == 404


async def test_monitors_read_the_latest_checkpoint_with_all_signatures(http, real):
    path = f"/{sha256(ORIGIN.encode()).hexdigest()}/checkpoint"
    assert (await http.get(path)).status_code == 404
    await grow(http, 3)
    greased = sign_checkpoint(LOG.checkpoint(9), [STRANGER, SIGNER]) + grease_line(lambda size: b"\5" * size)
    answer = await add(http, AddCheckpoint(3, tuple(LOG.proof(3, 9)), greased))
    shown = await http.get(path)
    log_line = SIGNER.line(LOG.checkpoint(9).body())
    # Only what the witness verified: neither the stranger's line nor the grease.
    assert shown.text == f"{LOG.checkpoint(9).body()}\n{log_line}{answer.text}"
    assert shown.headers["cache-control"] == "no-store"


async def test_its_clock_never_goes_back(http, real):
    await grow(http, 3)
    real.clock.forward(ms=-1_000)
    answer = await add(http, LOG.request(3, 4))
    assert answer.status_code == 503
    assert "clock" in answer.text
    assert real.memory.latest(ORIGIN).size == 3
    real.clock.forward(ms=1_000)
    assert (await add(http, LOG.request(3, 4))).status_code == 200


async def test_a_log_that_changes_its_key(http, real, pool):
    await grow(http, 3)
    real.stop()
    fresh = Signer(ORIGIN, b"\x09" * 32)
    real.start(SIGNER, fresh)
    async with AsyncClient(transport=ASGITransport(witness_app(real.witness, pool)), base_url="http://w") as again:
        note = sign_checkpoint(LOG.checkpoint(4), [fresh])
        assert (await add(again, AddCheckpoint(3, tuple(LOG.proof(3, 4)), note))).status_code == 200


def test_of_concurrent_requests_one_wins_and_nothing_is_rolled_back(real):
    """The race of the specification: A from 3 to 4 and B from 3 to 5 are both consistent, and only one may count."""
    real.witness.add_checkpoint(LOG.request(0, 3).format())

    def answer(size):
        try:
            real.witness.add_checkpoint(LOG.request(3, size).format())
        except Exception as refusal:  # noqa: BLE001  (any refusal has a status)
            return refusal.status
        return 200

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(answer, range(4, 36)))
    assert answers.count(200) == 1
    assert answers.count(409) == 31
    assert real.memory.latest(ORIGIN).size == 4 + answers.index(200)


def test_a_witness_that_contradicts_itself_does_not_start(real):
    other = Ed25519CosignatureSigner("witness.example/w2", b"\2" * 32)
    log = KnownLog(ORIGIN, (SIGNER.verifier,))
    for signers, logs in (([], [log]), ([*real.signers, other], [log]), (real.signers, [log, log])):
        with pytest.raises(NoteError):
            Witness(signers, logs, real.memory, real.clock)
    for keys in ((), (Signer("other.example", b"\1" * 32).verifier,)):
        with pytest.raises(NoteError):
            KnownLog(ORIGIN, keys)


async def test_the_content_type_of_a_refusal_is_plain_text(http):
    answer = await add(http, b"")
    assert answer.headers["content-type"].startswith("text/plain")
