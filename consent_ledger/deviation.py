"""In what a recipient did otherwise than the resident asked (R22, R35).

Computed from what travelled with the signal, and not left to the recipient to admit. Only what is asked can be deviated
from: a resident who set no language or form of address has none to be ignored.
"""

from __future__ import annotations

from consent_ledger.state import Contact
from consent_ledger.v1 import decisions_pb2
from consent_ledger.v1 import events_pb2 as pb


def deviations(wished: Contact, report: decisions_pb2.OutcomeReport) -> list[pb.Deviation.ValueType]:
    """Return every deviation of a report from the preferences that were delivered, in the order of their numbers."""
    found: list[pb.Deviation.ValueType] = []
    if report.channel == pb.CHANNEL_UNSPECIFIED:
        pass  # nobody was approached
    elif report.channel in wished.never:
        found.append(pb.DEVIATION_NEVER_CHANNEL)
    elif report.channel not in wished.usable():
        found.append(pb.DEVIATION_OTHER_CHANNEL)
    if report.language and wished.language and report.language != wished.language:
        found.append(pb.DEVIATION_LANGUAGE)
    if report.form_of_address and wished.form_of_address and report.form_of_address != wished.form_of_address:
        found.append(pb.DEVIATION_FORM_OF_ADDRESS)
    if report.other_person and wished.same_person:
        found.append(pb.DEVIATION_OTHER_PERSON)
    return found
