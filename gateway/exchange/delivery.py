"""Delivery: offers under a lease, and ciphertexts only with the ledger's release in hand (invariant I1)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

import grpc
from sqlalchemy import Connection

from consent_ledger.errors import RegieError
from consent_ledger.hashing import sha256
from consent_ledger.registry import Participant
from consent_ledger.v1 import decisions_pb2, decisions_pb2_grpc, events_pb2
from consent_ledger.v1.batch_pb2 import BatchHeader
from gateway.database import Database
from gateway.directory.identity import require_same
from gateway.evaluator.hop import ask
from gateway.exchange import inbox
from gateway.exchange.inbox import Kept, Offered
from gateway.settings import Means
from gateway.telemetry import traces
from gateway.v1 import exchange_pb2 as pb
from gateway.validation import parse

LARGEST_ANSWER = 14 * 1024 * 1024
"""Below the 16 MiB of a message; deliveries that do not fit are left for the next pull."""


class Doorbell:
    """Wakes the recipients that wait for a batch."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self.stopping = False

    def listen(self, recipient: str) -> asyncio.Event:
        """Return an event that the next batch for this recipient sets; give it back with ``leave``."""
        event = asyncio.Event()
        self._waiting[recipient].add(event)
        return event

    def leave(self, recipient: str, event: asyncio.Event) -> None:
        """Stop listening."""
        self._waiting[recipient].discard(event)
        if not self._waiting[recipient]:
            del self._waiting[recipient]

    def ring(self, recipient: str) -> None:
        """Wake everybody who waits for this recipient; "" is all of them."""
        for waited in (recipient,) if recipient else tuple(self._waiting):
            for event in self._waiting.get(waited, ()):
                event.set()

    def stop(self) -> None:
        """Wake everybody, and let nobody wait any more."""
        self.stopping = True
        self.ring("")


class Deliverer:
    """Serves one gateway's recipients."""

    def __init__(self, database: Database, ledger: grpc.aio.Channel, doorbell: Doorbell, *, means: Means) -> None:
        self._database, self._doorbell = database, doorbell
        self._ledger = decisions_pb2_grpc.DecisionServiceStub(ledger)
        self._clock = means.clock
        self._lease_ms = int(means.settings.lease_seconds * 1000)
        self._most = means.settings.most_batches_per_pull

    async def offer(self, recipient: str, most: int, wait_seconds: float) -> list[Offered]:
        """Lease waiting batches, after waiting up to ``wait_seconds`` for the first; ``most`` 0 is one."""
        event = self._doorbell.listen(recipient)
        deadline = asyncio.get_running_loop().time() + wait_seconds
        try:
            while True:
                event.clear()
                offers, lease_end = await self._lease(recipient, min(max(most, 1), self._most))
                left = deadline - asyncio.get_running_loop().time()
                if offers or left <= 0 or self._doorbell.stopping:
                    return offers
                if lease_end is not None:  # somebody else's lease may run out before anything new comes
                    left = min(left, max(0.05, (lease_end - self._clock()) / 1000))
                await _ring_within(event, left)
        finally:
            self._doorbell.leave(recipient, event)

    async def _lease(self, recipient: str, most: int) -> tuple[list[Offered], int | None]:
        def lease(connection: Connection) -> tuple[list[Offered], int | None]:
            now = self._clock()
            offers = inbox.lease(connection, recipient, most, now, self._lease_ms)
            return offers, None if offers else inbox.next_lease_end(connection, recipient, now)

        return await self._database.run(lease)

    async def deliver(
        self, caller: Participant, pulls: Sequence[decisions_pb2.SignedPull], seconds: float
    ) -> list[pb.Delivery]:
        """Release and return the batches pulled, in order, as far as they fit one message.

        Raises RegieError when none can be delivered: the first refusal. Of several, those refused are left out.
        """
        found = [await self._find(caller, signed) for signed in pulls]
        refusals = [kept for kept in found if isinstance(kept, RegieError)]
        room = LARGEST_ANSWER
        chosen: list[tuple[Kept, decisions_pb2.SignedPull]] = []
        for kept, signed in zip(found, pulls, strict=True):
            if isinstance(kept, RegieError):
                continue
            room -= kept.delivered_size
            if room >= 0 or not chosen:
                chosen.append((kept, signed))
        if len(chosen) == 1:  # of several, a span of the whole call cannot say between whom
            header = parse(BatchHeader, chosen[0][0].header, "header")
            traces.describe(
                purpose=header.purpose, sender=header.sender, recipient=header.recipient, count=header.count
            )
        answers = await asyncio.gather(*(self._release(kept, signed, seconds) for kept, signed in chosen))
        delivered = [answer for answer in answers if not isinstance(answer, RegieError)]
        if not delivered:
            raise [*refusals, *(answer for answer in answers if isinstance(answer, RegieError))][0]
        return delivered

    async def _find(self, caller: Participant, signed: decisions_pb2.SignedPull) -> Kept | RegieError:
        """Return the batch a pull asks for, or why not: one refusal must not hold up the others."""
        try:
            pull = parse(decisions_pb2.Pull, signed.pull, "pulls.pull")
            require_same(pull.recipient, caller, "pulls.pull.recipient")
            return await self._database.run(
                lambda connection: inbox.read(connection, caller.oin, pull.header_hash, self._clock())
            )
        except RegieError as refusal:
            return refusal

    async def _release(self, kept: Kept, signed: decisions_pb2.SignedPull, seconds: float) -> pb.Delivery | RegieError:
        """Ask the ledger first. A crash after its answer: the recipient pulls again and gets the same release."""
        try:
            request = decisions_pb2.ReleaseRequest(pull=signed)
            with traces.continuing(kept.traceparent):  # whoever pulls, and however many at once
                release = await ask(self._ledger.Release, request, seconds, "LEDGER_UNAVAILABLE")
        except RegieError as refusal:
            return refusal
        await self._database.run(
            lambda connection: inbox.mark_delivered(connection, kept.header_hash, self._clock(), self._lease_ms)
        )
        return delivery_of(kept, release)

    async def acknowledge(self, caller: Participant, request: decisions_pb2.AcknowledgeRequest, seconds: float) -> None:
        """Tell the ledger that the recipient has a batch, then offer it no more; the same again changes nothing."""
        said = parse(decisions_pb2.Acknowledgement, request.acknowledgement, "acknowledgement.acknowledgement")
        require_same(said.recipient, caller, "acknowledgement.recipient")
        done = await self._database.run(
            lambda connection: inbox.is_acknowledged(connection, caller.oin, said.header_hash)
        )
        if done:
            return
        await ask(self._ledger.Acknowledge, request, seconds, "LEDGER_UNAVAILABLE")
        await self._database.run(
            lambda connection: inbox.mark_acknowledged(connection, said.header_hash, self._clock())
        )

    async def copy(self, header_hash: bytes, position: int) -> pb.GetCopyResponse:
        """Return the resident's sealed copy of one signal; without the ledger's opening nobody reads it."""
        found = await self._database.run(lambda connection: inbox.copy_of(connection, header_hash, position))
        return pb.GetCopyResponse(**{name: getattr(found, name) for name in found.__dataclass_fields__})

    async def report(self, caller: Participant, request: decisions_pb2.ReportOutcomeRequest, seconds: float) -> int:
        """Relay what became of a signal, sealed to the ledger; returns the log index."""
        require_same(request.recipient, caller, "report.recipient")
        answer = await ask(self._ledger.ReportOutcome, request, seconds, "LEDGER_UNAVAILABLE")
        return int(answer.log_index)

    async def tasks(
        self, caller: Participant, request: decisions_pb2.ListTasksRequest, seconds: float
    ) -> decisions_pb2.ListTasksResponse:
        """Relay the caller's question what it is asked to do; the answer is sealed to it."""
        said = parse(decisions_pb2.TaskQuery, request.query, "list.query")
        require_same(said.organisation, caller, "list.query.organisation")
        answer: decisions_pb2.ListTasksResponse = await ask(
            self._ledger.ListTasks, request, seconds, "LEDGER_UNAVAILABLE"
        )
        return answer

    async def report_task(self, caller: Participant, request: decisions_pb2.ReportTaskRequest, seconds: float) -> int:
        """Relay what the caller did about a task, sealed to the ledger; returns the log index."""
        require_same(request.organisation, caller, "report.organisation")
        answer = await ask(self._ledger.ReportTask, request, seconds, "LEDGER_UNAVAILABLE")
        return int(answer.log_index)

    async def declare(self, caller: Participant, request: decisions_pb2.DeclareSupportRequest, seconds: float) -> int:
        """Relay which channels the caller supports; returns the log index."""
        said = parse(events_pb2.SupportDeclaration, request.declaration, "declare.declaration")
        require_same(said.oin, caller, "declare.declaration.oin")
        answer = await ask(self._ledger.DeclareSupport, request, seconds, "LEDGER_UNAVAILABLE")
        return int(answer.log_index)


def delivery_of(kept: Kept, release: decisions_pb2.ReleaseResponse) -> pb.Delivery:
    """Return every permitted signal of a batch with the ledger's release."""
    path = len(kept.paths) // kept.permitted
    size = kept.ciphertext_size
    return pb.Delivery(
        header=kept.header,
        sealed_recipient=kept.sealed_recipient,
        sealed_viewer_hash=sha256(kept.sealed_viewer),
        signature_recipient=kept.signature_recipient,
        root=kept.root,
        release=release,
        items=[
            pb.DeliveredItem(
                position=int.from_bytes(kept.positions[2 * i : 2 * i + 2], "big"),
                commitment=kept.commitments[32 * i : 32 * i + 32],
                ciphertext=kept.ciphertexts[size * i : size * i + size],
                path=kept.paths[path * i : path * i + path],
                evaluated=kept.evaluated[32 * i : 32 * i + 32],
            )
            for i in range(kept.permitted)
        ],
    )


async def _ring_within(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
