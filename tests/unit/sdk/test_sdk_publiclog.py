"""The client of a public log: patient with a log that is busy, not with one that says something else."""

import httpx2
import pytest

from consent_ledger.errors import RegieError
from consent_ledger.log.errors import VerificationError
from consent_ledger.log.paths import TilePath, format_bundle
from gateway.sdk.publiclog import ATTEMPTS, LONGEST, PublicLogClient

TILE = bytes(range(256)) * 32
ENTRIES = [b"entry %d" % n for n in range(256)]


class Log:
    """Answers by name; a list is answered one by one."""

    def __init__(self, **answers):
        self.answers, self.asked, self.pauses = answers, [], []
        self.http = httpx2.AsyncClient(transport=httpx2.MockTransport(self._answer))
        self.client = PublicLogClient("http://log.example/one/", self.http, self._pause)

    def _answer(self, request):
        name = request.url.path.removeprefix("/one/")
        self.asked.append(name)
        answer = self.answers.get(name, 404)
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return httpx2.Response(answer) if isinstance(answer, int) else httpx2.Response(200, content=answer)

    async def _pause(self, seconds):
        self.pauses.append(seconds)


async def test_a_busy_log_is_asked_again():
    log = Log(checkpoint=[503, httpx2.ConnectError("x"), httpx2.ReadTimeout("x"), b"note"])
    assert await log.client.checkpoint() == "note"
    assert log.asked == ["checkpoint"] * 4
    assert log.pauses == sorted(log.pauses)
    assert log.pauses[0] > 0


@pytest.mark.parametrize("problem", [503, httpx2.ConnectError("secret"), httpx2.ReadTimeout("secret")])
async def test_one_that_stays_away_is_unavailable(problem):
    log = Log(checkpoint=[problem] * 9)
    with pytest.raises(RegieError) as caught:
        await log.client.checkpoint()
    assert (caught.value.reason, len(log.asked)) == ("LEDGER_UNAVAILABLE", ATTEMPTS)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 400, 403, 410, 429])
async def test_other_answers_are_not_asked_again(status):
    log = Log(checkpoint=status)
    with pytest.raises(RegieError, match=f"status {status}"):
        await log.client.checkpoint()
    assert log.asked == ["checkpoint"]


async def test_what_is_not_there():
    log = Log()
    with pytest.raises(VerificationError, match="there is no log"):
        await log.client.checkpoint()
    with pytest.raises(VerificationError, match="tile/0/001: expected a resource"):
        await log.client.fetch(TilePath(0, 1))
    assert log.asked == ["checkpoint", "tile/0/001"]


async def test_a_partial_one_that_became_full_is_read_from_the_full_one():
    log = Log(**{"tile/0/000": TILE, "tile/entries/000": format_bundle(ENTRIES)})
    assert await log.client.fetch(TilePath(0, 0, 5)) == TILE[:160]
    assert await log.client.fetch(TilePath(None, 0, 5)) == format_bundle(ENTRIES[:5])
    assert log.asked == ["tile/0/000.p/5", "tile/0/000", "tile/entries/000.p/5", "tile/entries/000"]
    with pytest.raises(VerificationError, match=r"tile/0/001\.p/5: expected a resource"):
        await log.client.fetch(TilePath(0, 1, 5))


async def test_no_more_is_read_than_any_bundle_has():
    log = Log(**{"tile/entries/000": b"x" * (LONGEST + 1)})
    with pytest.raises(VerificationError, match=f"at most {LONGEST} bytes"):
        await log.client.fetch(TilePath(None, 0))


async def test_a_checkpoint_is_text():
    with pytest.raises(VerificationError, match="UTF-8"):
        await Log(checkpoint=b"\xff").client.checkpoint()
