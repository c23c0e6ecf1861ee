"""Sending: rows become sealed batches, go out through the outbox, and count only on the ledger's verified signature."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import chain, islice
from time import monotonic

from consent_ledger.errors import RegieError
from consent_ledger.purpose import Purpose
from consent_ledger.registry import Registry
from gateway.crypto.identifiers import ADDRESS, BSN
from gateway.sdk.agency import Agency
from gateway.sdk.canary.riding import Rider
from gateway.sdk.describe import partner_kind
from gateway.sdk.dispatch import BATCH_SIZE, Dispatch, Progress, Summary
from gateway.sdk.later import Waiting, waiting_ms
from gateway.sdk.local import Busy, KeyedHash
from gateway.sdk.outbox import Outbox
from gateway.sdk.remote import FIRST_PAUSE, LONGEST_PAUSE
from gateway.sdk.rows import ArrearsRow, Prepared, SignalRow, prepare
from gateway.sdk.sealing import Basis, Letter, address_letter

__all__ = ["PATIENCE_SECONDS", "Progress", "Sender", "Summary", "check_fit", "default_items", "options_key"]

PATIENCE_SECONDS = 30.0
_SCHEME_OF_SIGNAL = {"ARREARS": ADDRESS, "INCOME_DROP": BSN}


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What a send is asked to do with its rows."""

    purpose: str
    recipient: str
    items: tuple[str, ...]
    basis: Basis
    patience: float
    progress: Progress
    alone: bool = False  # send today's canary by itself
    retry_later: bool = False  # report again what is to be reported again later, and nothing else
    whole: Callable[[], bool] = lambda: True  # once all rows were read: whether they are all that is still true


class Sender:
    """Sends signals of one organisation. Its outbox stays open between sends, so that one signal costs little more."""

    def __init__(self, agency: Agency) -> None:
        """Send for this agency, until it is closed."""
        self._agency = agency
        self._hash = KeyedHash(agency.organisation, "outbox")
        self._outbox, self._turns = Outbox.kept(agency.organisation), asyncio.Lock()
        self._addressed: tuple[Registry, tuple[object, ...], Letter] | None = None

    def close(self) -> None:
        """Close the outbox; no send may be under way."""
        self._outbox.close()

    async def send(
        self,
        rows: Sequence[SignalRow],
        *,
        purpose: str,
        recipient: str,
        items: Sequence[str] = (),
        basis: Basis = "observed",
        retry_later: bool = False,
        patience: float = PATIENCE_SECONDS,
        progress: Progress = lambda _: None,
    ) -> Summary:
        """Send rows, each under its own reference, and return every row's answer.

        With ``retry_later``, ``rows`` are all that is true now, and only those go that the sender was told to report
        again later; what is not among them any more is forgotten.

        Sending the same rows again creates no second exchange: accepted ones are not asked again, and a send that was
        interrupted is gone on with. A gateway that is out of reach is waited for ``patience`` seconds in all; what is
        left then is counted ``probeer_later`` and goes out at the next send. Raises RegieError when a refusal concerns
        the whole send, or an answer does not verify.
        """
        if len({row.reference for row in rows}) != len(rows):
            raise RegieError("FIELD_INVALID", "each row needs a reference of its own", "reference")
        partner = partner_kind((await self._agency.me()).kind)
        natural = tuple(row.natural_item for row in rows[:1])
        wishes = _Wishes(purpose, recipient, tuple(items), basis, patience, progress, retry_later=retry_later)
        return await self._send([prepare(row, partner) for row in rows], None, natural, wishes)

    async def send_rows(
        self,
        rows: Iterable[SignalRow],
        digest: bytes,
        *,
        purpose: str,
        recipient: str,
        items: Sequence[str] = (),
        basis: Basis = "observed",
        retry_later: bool = False,
        whole: Callable[[], bool] = lambda: True,
        patience: float = PATIENCE_SECONDS,
        progress: Progress = lambda _: None,
    ) -> Summary:
        """Send rows as they come; ``digest`` tells whether this is the send that was interrupted before.

        ``whole`` is asked at the end of a ``retry_later`` whether these were all rows: else nothing is forgotten.
        """
        partner = partner_kind((await self._agency.me()).kind)
        rows = iter(rows)
        first = list(islice(rows, 1))
        natural = tuple(row.natural_item for row in first)
        wishes = _Wishes(
            purpose, recipient, tuple(items), basis, patience, progress, retry_later=retry_later, whole=whole
        )
        return await self._send((prepare(row, partner) for row in chain(first, rows)), digest, natural, wishes)

    async def send_canary(
        self, *, purpose: str, recipient: str, patience: float = PATIENCE_SECONDS, progress: Progress = lambda _: None
    ) -> Summary:
        """Send today's canary by itself; the answer is the summary's ``canary``. The gateway may guess what it is.

        Raises RegieError as ``send``, and as ``Rider.due`` when there is no canary to send.
        """
        digest = self._hash(b"canary", purpose.encode(), recipient.encode())
        wishes = _Wishes(purpose, recipient, (), "observed", patience, progress, alone=True)
        return await self._send((), digest, (), wishes)

    async def _send(
        self, rows: Iterable[Prepared], digest: bytes | None, natural_items: tuple[str, ...], wishes: _Wishes
    ) -> Summary:
        """Send prepared rows; without a ``digest``, what tells this send from others is its rows."""
        agency, begun = self._agency, monotonic()
        letter = self._address(await agency.registry(), wishes, natural_items)
        options = options_key(letter.purpose.id, letter.recipient.oin, letter.items, letter.basis)
        if digest is None:
            rows = list(rows)
            digest = self._hash(b"rows", *(key for key, _ in self._keyed(rows, options)))
        async with self._turn(wishes.patience) as outbox:
            summary = await self._dispatch(outbox, rows, digest, letter, wishes)
        summary.seconds = round(monotonic() - begun, 3)
        return summary

    async def _dispatch(
        self, outbox: Outbox, rows: Iterable[Prepared], digest: bytes, letter: Letter, wishes: _Wishes
    ) -> Summary:
        agency, now_ms = self._agency, self._agency.clock()
        options = options_key(letter.purpose.id, letter.recipient.oin, letter.items, letter.basis)
        terms, first = self._hash(b"terms", options), list[tuple[bytes, Prepared]]()
        if not wishes.retry_later:
            keyed = self._keyed(rows, options)
            first = list(islice(keyed, BATCH_SIZE))
        digest = self._hash(b"retry", digest) if wishes.retry_later else digest
        begun = await outbox.start(
            digest, letter.recipient.oin, letter.purpose.id, terms=terms, ahead=[key for key, _ in first], now_ms=now_ms
        )
        waiting = Waiting(terms, begun.told_later, waiting_ms(letter.purpose), self._hash)
        if wishes.retry_later:
            keyed = self._keyed(waiting.still_reported(rows), options)
        rider = await Rider.due(agency.organisation, letter, now_ms, alone=wishes.alone)
        dispatch = Dispatch(agency, outbox, begun, letter, waiting, patience=wishes.patience, progress=wishes.progress)
        try:
            await dispatch.settle_open()
            if rider is None:
                await dispatch.take(first)
                while chunk := list(islice(keyed, BATCH_SIZE)):
                    await dispatch.take(chunk)
            else:
                rider.board(next(self._keyed([rider.row], options)), alone=wishes.alone)
                await rider.along(dispatch, outbox, begun.run, chain(first, keyed))
            summary = await dispatch.finish()
            if rider is not None:
                await rider.settle(summary)
            if wishes.retry_later:
                await _forget(outbox, waiting, summary, whole=wishes.whole())
        finally:
            await dispatch.cancel()
        return summary

    def _address(self, registry: Registry, wishes: _Wishes, natural_items: tuple[str, ...]) -> Letter:
        """Return the letter of a send; keys are read and checked once for sends that follow each other."""
        items = wishes.items or default_items(registry.purpose(wishes.purpose), natural_items)
        asked, known = (wishes.recipient, wishes.purpose, items, wishes.basis), self._addressed
        if known is not None and known[0] is registry and known[1] == asked:
            return known[2]
        letter = address_letter(
            registry,
            self._agency.organisation,
            recipient=wishes.recipient,
            purpose=wishes.purpose,
            items=items,
            basis=wishes.basis,
        )
        self._addressed = registry, asked, letter
        return letter

    async def told_later(
        self, *, purpose: str, recipient: str, items: Sequence[str] = (), basis: Basis = "observed"
    ) -> list[str]:
        """Return the sender's own references of what it was told to report again later, for as long as that helps.

        What of it is still true goes to ``send`` with ``retry_later``, with the facts of that moment.
        """
        chosen = (await self._agency.registry()).purpose(purpose)
        options = options_key(purpose, recipient, tuple(items) or default_items(chosen, ()), basis)
        async with self._turn(0) as outbox:
            return sorted(await outbox.told_later(self._hash(b"terms", options), self._agency.clock()))

    def _keyed(self, rows: Iterable[Prepared], options: bytes) -> Iterator[tuple[bytes, Prepared]]:
        """Yield each row with what names it in the outbox: all that is sent, and what it is sent for."""
        for row in rows:
            yield self._hash(row.reference.encode(), row.message, row.payload, options), row

    @asynccontextmanager
    async def _turn(self, patience: float) -> AsyncIterator[Outbox]:
        """Take a turn at the outbox; another send, here or in another process, is waited for."""
        try:
            async with asyncio.timeout(patience):
                await self._turns.acquire()
        except TimeoutError:
            raise Busy("sending is already running for this organisation: wait until it has ended") from None
        try:
            with ExitStack() as stack:
                yield await self._after_others(stack, patience)
        finally:
            self._turns.release()

    async def _after_others(self, stack: ExitStack, patience: float) -> Outbox:
        waited, wait = 0.0, FIRST_PAUSE
        while True:
            try:
                return stack.enter_context(Outbox.turn(self._outbox))
            except Busy:
                if waited >= patience:
                    raise
            await self._agency.pause(wait)
            waited, wait = waited + wait, min(2 * wait, LONGEST_PAUSE)


async def _forget(outbox: Outbox, waiting: Waiting, summary: Summary, *, whole: bool) -> None:
    """Forget what the sender does not report any more, unless it may stand in a row that could not be read."""
    summary.passed_over = waiting.passed_over
    if whole:
        gone = waiting.no_longer_reported()
        await outbox.forget_later(waiting.terms, gone)
        summary.forgotten = len(gone)


def options_key(purpose: str, recipient: str, items: Sequence[str], basis: Basis) -> bytes:
    """Return what, beside its content, makes a file's send another one."""
    return "\0".join((purpose, recipient, ",".join(sorted(items)), basis)).encode()


def default_items(purpose: Purpose, natural_items: tuple[str, ...]) -> tuple[str, ...]:
    """Return the purpose's own data items; for a prohibited purpose, the natural one of the rows."""
    if purpose.prohibited or not purpose.items:
        return natural_items or (ArrearsRow.natural_item,)
    return tuple(item.name for item in purpose.items)


def check_fit(registry: Registry, purpose: Purpose, scheme: str) -> None:
    """Raise RegieError FIELD_INVALID when rows of this identifier scheme are not what the purpose exchanges.

    Prohibited purposes fit any row: the attempt is refused, and recorded, by the ledger.
    """
    expected = _SCHEME_OF_SIGNAL.get(purpose.signal_type)
    if not purpose.prohibited and (expected != scheme or scheme not in purpose.schemes):
        kind = {ADDRESS: "an arrears", BSN: "an income"}[scheme]
        fits = [p.id for p in registry.purposes if not p.prohibited and _SCHEME_OF_SIGNAL.get(p.signal_type) == scheme]
        raise RegieError("FIELD_INVALID", f"{kind} file is for {' or '.join(fits)}, not for {purpose.id}", "purpose")
