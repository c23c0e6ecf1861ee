"""The publisher: takes the durable head to the witnesses, and gives readers what a quorum of them cosigned.

The ledger answers its callers without waiting for witnesses; readers of the public log see a size once it is witnessed.
Durable order of one round, and what a crash at each step means:

1. Read the durable head, add what only readers need (ML-DSA-44, grease). Crash: nothing happened.
2. Ask the witnesses; each stores the size before it answers. Crash: they have seen a size that is durable here, and say
   so when they are asked again.
3. With a quorum, store the note, then serve it. Crash before: the round is done again, with newer cosignatures.

A witness that holds another log under our name, or a larger size than our durable one, stops the sequencer for good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor
from typing import NamedTuple, TypeVar

import httpx2
import structlog

from consent_ledger.clock import Clock
from consent_ledger.errors import RegieError
from consent_ledger.events import Rng
from consent_ledger.log.checkpoint import Checkpoint
from consent_ledger.log.errors import NoteError, VerificationError
from consent_ledger.log.publication import add_lines, publish_note
from consent_ledger.log.quorum import Quorum
from consent_ledger.log.tiles import consistency_path
from consent_ledger.publishing.alarm import explain
from consent_ledger.publishing.state import PublishingState, WitnessState
from consent_ledger.publishing.work import WitnessedWork
from consent_ledger.sequencer import Sequencer
from consent_ledger.storage.rows import HeadRow, PublishedRow
from consent_ledger.witness.client import Ahead, Inconsistent, WitnessAddress, WitnessClient, WitnessError

REFRESH_MS = 3_600_000
"""A checkpoint that did not grow is cosigned again after this time, so that readers see how fresh it is."""
RETRY_SECONDS = 0.25
"""Between two attempts to reach the witnesses at the start."""
_log = structlog.get_logger()
Result = TypeVar("Result")


class _Durable(NamedTuple):
    head: HeadRow
    published: PublishedRow | None


class Publisher:
    """Publishes a ledger's checkpoints once witnesses cosigned them. Used in one event loop; reads run in ``pool``."""

    def __init__(
        self,
        sequencer: Sequencer,
        quorum: Quorum,
        witnesses: Sequence[WitnessAddress],
        http: httpx2.AsyncClient,
        clock: Clock,
        *,
        pool: Executor,
        rng: Rng,
    ) -> None:
        """Publish for an open ledger; ``witnesses`` are those of the quorum, with their addresses."""
        if not witnesses:
            raise NoteError("a publisher needs witnesses to ask")
        assert tuple(witness.keys for witness in witnesses) == quorum.witnesses, "addresses of other witnesses"
        self._sequencer = sequencer
        self._quorum = quorum
        self._clock = clock
        self._pool = pool
        self._rng = rng
        self._clients = [WitnessClient(witness, http, clock) for witness in witnesses]
        self._current: PublishedRow | None = None
        self._cosigned: tuple[bytes, dict[str, str]] = (b"", {})  # lines got so far, for the head of this root
        self.state = PublishingState(witnesses={witness.name: WitnessState() for witness in witnesses})

    def current(self) -> PublishedRow | None:
        """Return what readers get: the newest witnessed checkpoint; None while no quorum cosigned any yet."""
        return self._current

    async def note(self) -> str:
        """Return the note of it (``CurrentNote`` of the public log); raises RegieError LEDGER_UNAVAILABLE on none."""
        if self._current is None:
            raise RegieError("LEDGER_UNAVAILABLE", "no checkpoint of this log has been witnessed yet")
        return self._current.note

    async def compare(self, seconds: float) -> None:
        """Ask the witnesses before anything is signed whether they know more of this log than we do (I6).

        They get the head as it was signed before. As many must answer as are needed to be sure that one of them saw the
        newest witnessed checkpoint; raises RegieError LEDGER_UNAVAILABLE when fewer do in time, or when one knows more.
        """
        durable = await self._durable()
        await self._recall(durable)
        needed, answered = self._quorum.enough_to_see_the_latest, 0
        waiting = self._clients
        try:
            async with asyncio.timeout(seconds):
                while True:
                    seen = await self._ask(waiting, durable.head, durable.head.checkpoint)
                    waiting, answered = [one for one in waiting if one not in seen], answered + len(seen)
                    if answered >= needed:
                        break
                    await asyncio.sleep(RETRY_SECONDS)
        except TimeoutError:
            raise self._unseen(answered) from None
        await self.publish()

    async def publish(self) -> None:
        """Do one round: nothing when the newest head is published and fresh."""
        if self._sequencer.failure is not None:
            return
        durable = await self._durable()
        await self._recall(durable)
        head, now_ms = durable.head, self._clock()
        if self._is_fresh(head, now_ms):
            return
        keys = self._sequencer.keys
        note = publish_note(head.checkpoint, keys, now_ms // 1_000, self._rng)
        await self._ask([client for client in self._clients if self._state(client).is_up(now_ms)], head, note)
        lines = self._lines(head)
        self._note_missing(max(0, self._quorum.needed - len(lines)))
        if self.state.missing:
            return
        note = add_lines(note, "".join(lines.values()))
        self._quorum.open(note, keys.verifiers)  # nothing is published that readers would refuse
        row = PublishedRow(head.size, note, now_ms)
        await asyncio.wrap_future(self._sequencer.submit(WitnessedWork(row)))
        self._take(row)

    # -- asking -----------------------------------------------------------------------------------------------------

    async def _ask(self, clients: Collection[WitnessClient], head: HeadRow, note: str) -> list[WitnessClient]:
        """Ask witnesses at once that have not cosigned this head yet; returns those that have now.

        Raises RegieError LEDGER_UNAVAILABLE, after stopping the sequencer, when one of them knows another log.
        """
        checkpoint = Checkpoint(self._sequencer.origin, head.size, head.root)
        asked = (self._ask_one(client, checkpoint, note) for client in clients)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return [client for client in answers if isinstance(client, WitnessClient)]

    async def _ask_one(self, client: WitnessClient, checkpoint: Checkpoint, note: str) -> WitnessClient | None:
        name, state = client.witness.name, self._state(client)
        root, lines = self._cosigned
        if root == checkpoint.root and name in lines:
            return client
        try:
            got = await client.cosign(checkpoint, note, self._prove)
        except Inconsistent as problem:
            if not await self._somebody_was_faster(problem):
                raise await self._stop_signing(client, problem) from None
        except WitnessError as error:
            if str(error) != state.problem:  # said once, however often it is tried
                _log.warning("witness_failed", role="ledger", witness=name, reason=str(error))
            state.failed(str(error), self._clock())
        else:
            if self._cosigned[0] != checkpoint.root:
                self._cosigned = (checkpoint.root, {})
            self._cosigned[1][name] = got
            state.answered(checkpoint.size, self._clock())
            return client
        return None

    def _state(self, client: WitnessClient) -> WitnessState:
        return self.state.witnesses[client.witness.name]

    async def _prove(self, old: int, new: int) -> list[bytes]:
        return await self._read(lambda: self._consistency(old, new))

    def _consistency(self, old: int, new: int) -> list[bytes]:
        with self._sequencer.reader.snapshot() as snapshot:
            return consistency_path(old, new, snapshot.tile)

    async def _somebody_was_faster(self, problem: Inconsistent) -> bool:
        """Tell whether a witness is ahead only because another replica of this ledger has gone on since."""
        return isinstance(problem, Ahead) and (await self._durable()).head.size >= problem.size

    async def _stop_signing(self, client: WitnessClient, problem: Inconsistent) -> RegieError:
        """Stop for good, and alarm."""
        why = RegieError("LEDGER_UNAVAILABLE", await explain(client, problem, self._sequencer))
        self.state.alarm = why.message
        self._sequencer.halt(why)
        _log.critical("log_inconsistent", role="ledger", witness=client.witness.name, reason=str(problem))
        return why

    def _unseen(self, answered: int) -> RegieError:
        problems = "; ".join(state.problem for state in self.state.witnesses.values() if state.problem)
        return RegieError(
            "LEDGER_UNAVAILABLE",
            f"{answered} of {len(self._clients)} witnesses answered and {self._quorum.enough_to_see_the_latest} are "
            "needed: until they say how far they saw this log, it signs nothing, because it could be an old copy. "
            f"{problems}. Start the witness, or correct [witnesses] in regie.toml",
        )

    # -- what is published ------------------------------------------------------------------------------------------

    def _is_fresh(self, head: HeadRow, now_ms: int) -> bool:
        current = self._current
        return current is not None and current.size == head.size and now_ms - current.cosigned_ms < REFRESH_MS

    def _lines(self, head: HeadRow) -> dict[str, str]:
        root, lines = self._cosigned
        return lines if root == head.root else {}

    def _note_missing(self, missing: int) -> None:
        """Say once that a quorum is not there, and once that it is again."""
        if missing and not self.state.missing:
            _log.warning("witnesses_missing", role="ledger", count=missing)
        if self.state.missing and not missing:
            _log.info("witnesses_back", role="ledger")
        self.state.missing = missing

    def _take(self, published: PublishedRow) -> None:
        self._current = published
        self._cosigned = (b"", {})
        self.state.published_size, self.state.published_ms = published.size, published.cosigned_ms

    async def _recall(self, durable: _Durable) -> None:
        """Take over what was stored, by us before a restart or by another replica, if it has its quorum still."""
        self.state.head_size = durable.head.size
        row = durable.published
        known = self._current
        if row is None or (known and (row.size, row.cosigned_ms) <= (known.size, known.cosigned_ms)):
            return
        try:
            await self._read(lambda: self._quorum.open(row.note, self._sequencer.keys.verifiers))
        except VerificationError:
            return  # cosigned under other settings: the next round publishes under these
        cosigned = self._quorum.cosigned(row.note)
        for client in self._clients:
            if client.witness.name in cosigned:
                client.hold_to(row.size)
        self._take(row)

    async def _durable(self) -> _Durable:
        return await self._read(self._read_durable)

    def _read_durable(self) -> _Durable:
        with self._sequencer.reader.snapshot() as snapshot:
            return _Durable(snapshot.head(), snapshot.published())

    async def _read(self, function: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)
