"""The form with which staff says whose case it is; what is typed is turned into rows and forgotten."""

from __future__ import annotations

from starlette.requests import Request

from consent_ledger.errors import RegieError
from consent_ledger.v1 import consents_pb2
from consent_ledger.viewer.context import portal_of
from consent_ledger.viewer.forms import Form
from consent_ledger.viewer.port import Person

FIELDS = {
    "bsn": "bsn",
    "postcode": "postcode",
    "house_number": "huisnummer",
    "house_letter": "letter",
    "house_addition": "toevoeging",
    "birth_date": "geboortedatum",
}
"""Fields of a Person, and what they are called in the form."""
_LONGEST = 32


def read_person(form: Form) -> Person:
    """Return who was typed; without a number or a whole address the form has an error."""
    typed = {name: form.text(field)[:_LONGEST] for name, field in FIELDS.items()}
    if not (typed["bsn"] or (typed["postcode"] and typed["house_number"] and typed["birth_date"])):
        form.errors["bsn"] = "desk.nobody"
    return Person(**typed)


async def rows_of(request: Request, form: Form) -> tuple[consents_pb2.Rows, ...]:
    """Return the rows of who was typed; with an error in the form there are none."""
    person = read_person(form)
    if form.errors:
        return ()
    try:
        return await portal_of(request).rows(person)
    except RegieError as error:
        if error.reason != "FIELD_INVALID":
            raise
        form.errors[FIELDS.get(error.field, "bsn")] = "desk.wrong"
        return ()


def is_among(rows: tuple[consents_pb2.Rows, ...], of_case: tuple[consents_pb2.Rows, ...]) -> bool:
    """Tell whether these rows are of the case's resident."""
    known = {(each.purpose, element) for each in of_case for element in each.elements}
    return bool(rows) and all((each.purpose, element) in known for each in rows for element in each.elements)
