"""What agencies import: send and receive signals, enrol residents, record their choices.

async with Agency.open(Home.open(Path(".regie")), "00000099000000005001") as agency:
    summary = await agency.sender().send(rows, purpose="vroegsignalering-energie", recipient="00000099000000007001")
    # An agency that stays open sends one row at a time at a fraction of the cost: its outbox and connection stay open.

async with Agency.open(home, "00000099000000007001") as agency:
    async for delivery in agency.recipient().deliveries(follow=True):
        keep(delivery.resident_ref, delivery.signal, delivery.receipt)
        await delivery.done()

    async for batch in agency.recipient().batches(follow=True):  # many at once: one wait for the disk
        keep_all(batch.deliveries)
        await batch.done()
"""

from gateway.home import Home
from gateway.sdk.agency import Agency
from gateway.sdk.enrolment import Enrolment, EnrolmentSummary
from gateway.sdk.portal import Portal, Recorded
from gateway.sdk.recipient import DeliveredBatch, Delivery, Recipient
from gateway.sdk.rows import ArrearsRow, ChoiceRow, IncomeRow, Resident, ResidentRow
from gateway.sdk.sender import Sender, Summary

__all__ = [
    "Agency",
    "ArrearsRow",
    "ChoiceRow",
    "DeliveredBatch",
    "Delivery",
    "Enrolment",
    "EnrolmentSummary",
    "Home",
    "IncomeRow",
    "Portal",
    "Recipient",
    "Recorded",
    "Resident",
    "ResidentRow",
    "Sender",
    "Summary",
]
