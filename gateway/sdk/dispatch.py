"""One send in progress: every row is answered, in flight, or in the outbox for later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from consent_ledger.errors import RegieError
from consent_ledger.v1 import events_pb2
from gateway.crypto.batch import SignalInput
from gateway.sdk.agency import Agency
from gateway.sdk.later import Waiting
from gateway.sdk.outbox import TRY_LATER, UNANSWERED, Answer, Beginning, OpenBatch, Outbox, Standing
from gateway.sdk.remote import UNREACHABLE, patiently
from gateway.sdk.rows import Prepared
from gateway.sdk.sealing import Letter, read_answer, seal
from gateway.sdk.severity import severity_of
from gateway.telemetry import traces
from gateway.telemetry.traces import Journey
from gateway.v1 import exchange_pb2

BATCH_SIZE = 1000
IN_FLIGHT = 2
SEALED_HERE = 4
"""So many signals are sealed sooner than handed to another thread."""
_RESEAL = frozenset({"NOT_FRESH", "KEY_UNKNOWN", "BATCH_ID_REUSED"})
"""The batch is refused for what it is, not for who asks: its rows go into a new one at the next send."""

Progress = Callable[[int], None]
"""Called with how many more rows are dealt with."""

COUNTS = {
    events_pb2.OUTCOME_ACCEPTED: "accepted",
    events_pb2.OUTCOME_GEEN_TOESTEMMING: "geen_toestemming",
    events_pb2.OUTCOME_LATER_OPNIEUW: "later_opnieuw",
    events_pb2.OUTCOME_GEGEVENS_NIET_TOEGESTAAN: "gegevens_niet_toegestaan",
    events_pb2.OUTCOME_DOEL_VERBODEN: "doel_verboden",
    events_pb2.OUTCOME_PROBEER_LATER: "probeer_later",
}


@dataclass(slots=True)
class Summary:
    """What became of the rows: ``counts`` by name of the coarse answer, ``answers`` by the rows' own references.

    ``batches`` counts those submitted by this send. ``trouble`` says why rows are left for later, when some are.
    ``canary``: the answer to the canary that went along; it is in no count. Of a send that reports again later:
    ``passed_over`` counts the rows that were not to be reported again, ``forgotten`` what is not reported any more.
    """

    rows: int = 0
    batches: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS.values(), 0))
    answers: dict[str, str] = field(default_factory=dict)
    trouble: RegieError | None = None
    canary: str | None = None
    passed_over: int = 0
    forgotten: int = 0
    seconds: float = 0.0

    def count(self, reference: str, outcome: int) -> None:
        """Count the answer of one row."""
        name = COUNTS[events_pb2.Outcome.ValueType(outcome)]
        self.rows += 1
        self.counts[name] += 1
        self.answers[reference] = name


class Dispatch:
    """One send in progress: what waits for a batch, what is in flight, and what is answered."""

    def __init__(
        self,
        agency: Agency,
        outbox: Outbox,
        begun: Beginning,
        letter: Letter,
        waiting: Waiting,
        *,
        patience: float,
        progress: Progress,
    ) -> None:
        self._agency, self._outbox, self._run, self._letter = agency, outbox, begun.run, letter
        self._open, self._known = begun.open, begun.known
        self._later, self._patience, self._progress = waiting, patience, progress
        self._summary = Summary()
        self._waiting: list[tuple[bytes, Prepared, bytes]] = []
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._tasks: set[asyncio.Task[None]] = set()
        self._rows: dict[bytes, Prepared] = {}
        self._failure: BaseException | None = None
        self._finishing = self._finished = False

    async def settle_open(self) -> None:
        """Send batches again that have no answer, as the same bytes, before anything new."""
        for batch in self._open:
            self._known = {}  # what was looked up ahead is what these answers change
            if batch.expires_ms <= self._agency.clock():
                await self._outbox.abandon(batch)
            elif not self._stopped:
                await self._launch(batch, self._journey(len(batch.keys), batch.traceparent))
        await self._drain()

    async def take(self, rows: Sequence[tuple[bytes, Prepared]]) -> None:
        """Deal with at most 1000 rows: answered ones are counted, the others wait for a full batch."""
        known = await self._look_up([key for key, _ in rows])
        before: list[tuple[Prepared, int]] = []
        for key, row in rows:
            standing = known.get(key)
            if standing and standing.open:
                self._answered(row.reference, TRY_LATER)  # its batch could not be settled
            elif standing and standing.outcome != UNANSWERED:
                self._answered(row.reference, standing.outcome)
                before.append((row, standing.outcome))
            elif self._stopped:
                self._answered(row.reference, TRY_LATER)
            else:
                ref = standing.signal_ref if standing else row.signal_ref or self._agency.rng(16)
                self._waiting.append((key, row, ref))
        await self._outbox.note(self._later.answered(before, self._agency.clock()))
        while len(self._waiting) >= BATCH_SIZE:
            await self._send_waiting(BATCH_SIZE)

    async def finish(self) -> Summary:
        """Send what is left and wait for all answers; the run is over when every row has one."""
        self._finishing = True
        if self._waiting:
            await self._send_waiting(len(self._waiting))
        await self._drain()
        if not self._finished and not self._summary.counts["probeer_later"]:
            await self._outbox.finish(self._run)
        return self._summary

    def _is_last(self, answer: Answer) -> bool:
        """Whether this answer is the last one that the run lacks."""
        if not self._finishing or self._waiting or len(self._tasks) > 1 or TRY_LATER in answer.outcomes:
            return False
        return not self._summary.counts["probeer_later"]

    async def _look_up(self, keys: Sequence[bytes]) -> Mapping[bytes, Standing | None]:
        if all(key in self._known for key in keys):
            return self._known
        return await self._outbox.look_up(self._run, keys)

    @property
    def waits(self) -> bool:
        """Whether rows wait for their batch to fill."""
        return bool(self._waiting)

    @property
    def _stopped(self) -> bool:
        return self._summary.trouble is not None

    def _answered(self, reference: str, outcome: int) -> None:
        self._summary.count(reference, outcome)
        self._progress(1)

    async def _send_waiting(self, count: int) -> None:
        rows, self._waiting = self._waiting[:count], self._waiting[count:]
        if self._stopped:
            for _, row, _ in rows:
                self._answered(row.reference, TRY_LATER)
            return
        journey = self._journey(len(rows))
        with journey.within():
            batch, refs = await self._seal(rows)
        # A crash from here on leaves the batch in the outbox: the next send settles it first, in the same trace.
        batch = replace(batch, traceparent=journey.traceparent)
        await self._outbox.store(self._run, batch, refs)
        self._rows.update((key, row) for key, row, _ in rows)
        await self._launch(batch, journey)

    async def _seal(self, rows: Sequence[tuple[bytes, Prepared, bytes]]) -> tuple[OpenBatch, list[bytes]]:
        agency = self._agency
        with traces.stage("seal"):
            inputs = [
                (key, SignalInput(row.message, ref, row.payload, severity_of(row.payload))) for key, row, ref in rows
            ]
            if len(inputs) <= SEALED_HERE:
                return seal(self._letter, inputs, agency.clock(), agency.rng, agency.workers)
            return await asyncio.to_thread(seal, self._letter, inputs, agency.clock(), agency.rng, agency.workers)

    def _journey(self, count: int, traceparent: str = "") -> Journey:
        """Begin the trace of one batch, or go on with it; a caller that has a trace finds its batches there."""
        letter, journey = self._letter, self._agency.tracing.begin("submission", traceparent)
        with journey.within():
            traces.describe(
                purpose=letter.purpose.id, sender=letter.sender.oin, recipient=letter.recipient.oin, count=count
            )
        return journey

    async def _launch(self, batch: OpenBatch, journey: Journey) -> None:
        await self._slots.acquire()
        self._raise_failure()
        if self._stopped:  # trouble came while this one waited for its turn: it stays in the outbox
            self._slots.release()
            self._leave(batch)
            journey.end()
            return
        self._summary.batches += 1
        with journey.within():
            task = asyncio.create_task(self._submit(batch))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        task.add_done_callback(lambda _: journey.end())

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._slots.release()
        if not task.cancelled() and task.exception() and self._failure is None:
            self._failure = task.exception()

    async def _drain(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _submit(self, batch: OpenBatch) -> None:
        """Submit one batch until it has an answer, is refused, or patience ends."""
        agency = self._agency
        request = exchange_pb2.SubmitBatchRequest.FromString(batch.request)
        try:
            with traces.stage("submit", traces.CLIENT):
                answer = await patiently(lambda: agency.remote.submit(request), self._patience, agency.pause)
        except RegieError as error:
            await self._refused(batch, error)
            return
        with traces.stage("verify"):
            verified = read_answer(answer, batch, self._letter.operators["ledger"], agency.log_verifiers)
        # The rows of a batch of an interrupted send are not known here: they are counted as the file names them.
        answers = zip(batch.keys, verified.outcomes, strict=True)
        named = [(self._rows.pop(key), outcome) for key, outcome in answers if key in self._rows]
        changes, self._finished = self._later.answered(named, agency.clock()), self._is_last(verified)
        await self._outbox.answer(self._run, batch, verified, changes, last=self._finished)
        for row, outcome in named:
            self._answered(row.reference, outcome)

    async def _refused(self, batch: OpenBatch, error: RegieError) -> None:
        certain = error.reason not in UNREACHABLE | {"INTERNAL"}
        if certain:
            # Nothing of the batch was decided, so its rows may go into another one.
            await self._outbox.abandon(batch)
        if certain and error.reason not in _RESEAL | {"QUOTA_EXCEEDED"}:
            raise error
        inherited = not any(key in self._rows for key in batch.keys)
        if not (certain and inherited and error.reason in _RESEAL):  # else its rows go into a new batch right away
            self._summary.trouble = self._summary.trouble or error
        self._leave(batch)

    def _leave(self, batch: OpenBatch) -> None:
        for key in batch.keys:
            if key in self._rows:
                self._answered(self._rows.pop(key).reference, TRY_LATER)

    async def cancel(self) -> None:
        """Leave what is in flight; its bytes are in the outbox."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
