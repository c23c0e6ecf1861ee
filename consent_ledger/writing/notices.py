"""Telling recipients to stop, in the transaction of the choice that stops it (R5).

Durable with the choice: there is no moment at which the resident stopped and the notice could get lost.
"""

from __future__ import annotations

from collections.abc import Sequence

from consent_ledger.stopuse import notices_due
from consent_ledger.storage.rows import TaskRow
from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.writing.transaction import Transaction


def notify(tx: Transaction, event: pb.Event, index: int, subjects: Sequence[bytes]) -> None:
    """Append the notices that a choice leads to; it was recorded at ``index`` about these subjects."""
    for subject in subjects:
        for notice in notices_due(tx.registry, tx.state(subject), event):
            noticed = tx.record(pb.Event(stop_use_noticed=notice), [subject], decided_by=[index])
            tx.put_task(TaskRow(noticed, notice.recipient.encode(), notice.due_ms))
