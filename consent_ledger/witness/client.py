"""A log's side of c2sp.org/tlog-witness: asks one witness to cosign, and tells apart what it answers.

A witness that says 422, or 409 without a size to go on from, saw another log under our name, or we have a bug: that is
``Inconsistent``, and whoever gets it signs nothing more. It is never asked again with the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import httpx2

from consent_ledger.clock import Clock
from consent_ledger.log.checkpoint import Checkpoint, open_checkpoint
from consent_ledger.log.errors import FormatError, NoteError, VerificationError
from consent_ledger.log.note import NoteVerifier, open_note, read_note
from consent_ledger.log.notekey import format_line
from consent_ledger.log.quorum import WitnessKeys
from consent_ledger.witness.message import SIZE_TYPE, AddCheckpoint, origin_hash, parse_size

MAX_ANSWER = 64 * 1024
SECONDS = 5.0
"""A witness answers within this time, or the round goes on without it."""
FUTURE_SECONDS = 300
"""A cosignature from further in the future is of a witness whose clock cannot be believed."""
_TRIES = 3
_MEANING = {
    403: "does not take our signature (403): does it know this log's newest key?",
    404: "does not know our log (404): has its operator added it, and is the URL right?",
}

Prove = Callable[[int, int], Awaitable[list[bytes]]]
"""Returns the consistency proof between two sizes of our log."""


@dataclass(frozen=True, slots=True)
class WitnessAddress:
    """A witness to ask: its keys, and the URL prefix under which it serves ``add-checkpoint``."""

    keys: WitnessKeys
    url: str

    @property
    def name(self) -> str:
        """The witness's name."""
        return self.keys.name


class WitnessError(Exception):
    """A witness did not cosign; the text says why. Others may, and it may later."""


class Inconsistent(Exception):  # noqa: N818  (not a failure of the witness: it found one)
    """The witness holds something else under our name: sign nothing more, and find out why."""


class Ahead(Inconsistent):
    """The witness cosigned a larger size than the one it was sent: ``size``."""

    def __init__(self, text: str, size: int) -> None:
        """Say it."""
        super().__init__(text)
        self.size = size


class _Answer(NamedTuple):
    status: int
    kind: str
    body: bytes


class WitnessClient:
    """Asks one witness; remembers the size it cosigned last, and holds it to that."""

    def __init__(self, witness: WitnessAddress, http: httpx2.AsyncClient, clock: Clock) -> None:
        """Ask this witness through ``http``."""
        self.witness = witness
        self._http = http
        self._clock = clock
        self._known = 0

    def hold_to(self, size: int) -> None:
        """Remember a size that this witness is known to have cosigned, from before a restart or by another replica."""
        self._known = max(self._known, size)

    async def cosign(self, checkpoint: Checkpoint, note: str, prove: Prove) -> str:
        """Return this witness's signature lines for a checkpoint, verified.

        Raises WitnessError, Inconsistent, or Ahead.
        """
        old = min(self._known, checkpoint.size)
        for _ in range(_TRIES):
            proof = await prove(old, checkpoint.size)
            answer = await self._post(AddCheckpoint(old, tuple(proof), note))
            if answer.status == 200:
                lines = self._accept(answer.body, checkpoint)
                self.hold_to(checkpoint.size)
                return lines
            old = self._next_size(answer, old, checkpoint.size)
        raise self._error("holds another size each time it is asked: do two logs of one name ask it?")

    async def latest(self, origin: str, log_keys: Sequence[NoteVerifier]) -> Checkpoint | None:
        """Return the latest checkpoint it cosigned and our log signed; None when it shows none.

        Not every witness serves this. Raises WitnessError, also on one that is not signed by both.
        """
        answer = await self._ask("GET", f"/{origin_hash(origin)}/checkpoint", b"")
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise self._error(f"answers {answer.status} when asked for its latest checkpoint")
        try:
            note = answer.body.decode()
            checkpoint = open_checkpoint(note, log_keys)
            if checkpoint.origin != origin or self.witness.keys.seconds(note) is None:
                raise NoteError("not by both")
        except (VerificationError, UnicodeDecodeError) as error:
            raise self._error(f"shows a checkpoint that does not verify: {error}") from None
        return checkpoint

    def _next_size(self, answer: _Answer, old: int, size: int) -> int:
        """Return the size to go on from, or raise what the answer means."""
        if answer.status == 422:
            raise Inconsistent(f"witness {self.witness.name} cosigned another log under our name (422)")
        if answer.status != 409:
            raise self._error(_MEANING.get(answer.status, f"answers {answer.status}"))
        found = self._named_size(answer)
        if found is None or found == old == size:  # the latter: version 1.0.0 of the specification, for two roots
            raise Inconsistent(f"witness {self.witness.name} cosigned another root at size {size} (409)")
        if found > size:
            raise Ahead(f"witness {self.witness.name} has cosigned size {found}, and this log is at {size}", found)
        if found < self._known:
            raise self._error(f"has forgotten: it cosigned size {self._known} and now says {found}. Retire its key")
        if found == old:
            raise self._error(f"says it wants size {found}, which is what it got")
        return found

    def _named_size(self, answer: _Answer) -> int | None:
        if answer.kind != SIZE_TYPE:
            return None
        try:
            return parse_size(answer.body)
        except FormatError:
            return None

    def _accept(self, body: bytes, checkpoint: Checkpoint) -> str:
        """Return the lines by this witness's known keys; other lines are ignored (tlog-witness)."""
        known = {(key.name, key.key_id) for key in self.witness.keys.keys}
        try:
            note = f"{checkpoint.body()}\n{body.decode()}"
            lines = [line for line in read_note(note).signatures if (line.name, line.key_id) in known]
            signatures = open_note(note, self.witness.keys.keys).signatures
        except (NoteError, UnicodeDecodeError) as error:
            raise self._error(f"gives a cosignature that does not verify: {error}") from None
        latest = max(int.from_bytes(line.signature[:8]) for line in lines)
        if latest > self._clock() // 1_000 + FUTURE_SECONDS:
            raise self._error("gives a cosignature from the future: one of two clocks is wrong")
        return "".join(format_line(*line) for line in signatures)

    async def _post(self, request: AddCheckpoint) -> _Answer:
        return await self._ask("POST", "/add-checkpoint", request.format())

    async def _ask(self, method: str, path: str, body: bytes) -> _Answer:
        url = self.witness.url.rstrip("/") + path
        try:
            async with (
                asyncio.timeout(SECONDS),
                self._http.stream(method, url, content=body or None, timeout=SECONDS) as response,
            ):
                found = bytearray()
                async for chunk in response.aiter_bytes():
                    found += chunk
                    if len(found) > MAX_ANSWER:
                        raise self._error(f"answers more than {MAX_ANSWER} bytes")
                kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
                return _Answer(response.status_code, kind, bytes(found))
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            raise self._error(f"does not answer at {self.witness.url} ({type(error).__name__})") from None

    def _error(self, text: str) -> WitnessError:
        return WitnessError(f"witness {self.witness.name} {text}")


def open_http() -> httpx2.AsyncClient:
    """Return a client for asking witnesses: no redirects, no proxies from the environment."""
    return httpx2.AsyncClient(follow_redirects=False, trust_env=False)
