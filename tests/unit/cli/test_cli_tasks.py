"""`regie question` and `regie notice`: what an agency types, against running services."""

import asyncio

import pytest

from consent_ledger.v1 import events_pb2
from consent_ledger.viewer.port import Person
from gateway.sdk.resident import open_portal
from tests.support.sdk import CITY, PURPOSE, SUPPLIER
from tests.unit.cli.test_cli_commands import files, home, ok, one, regie, served

__all__ = ["files", "home", "regie"]  # fixtures

CAPTURE = events_pb2.Capture(via=events_pb2.CAPTURED_VIA_WEB, language="nl")


async def ask(where, text):
    """What the resident does in the viewer."""
    async with open_portal(where) as portal:
        rows = await portal.rows(Person(postcode="1234AB", house_number="1", birth_date="1980-02-29"))
        return (await portal.ask(rows, CAPTURE, organisation=CITY, purpose=PURPOSE, text=text)).record.reference


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "answer.txt"
    path.write_text("Dat doen wij niet meer.\n", "utf-8")
    return path


def test_a_question_is_listed_and_answered(home, regie, text):
    mine = ("--as", CITY, "--json")
    with served(home):
        assert one(regie("question", "list", *mine)) == {"questions": []}
        assert "no question waits" in ok(regie("question", "list", "--as", CITY)).stderr
        reference = asyncio.run(ask(home, "Waarom belt u mij?"))
        (asked,) = one(regie("question", "list", *mine))["questions"]
        assert (asked["reference"], asked["text"], asked["overdue"]) == (reference, "Waarom belt u mij?", False)
        assert "Waarom belt u mij?" in ok(regie("question", "list", "--as", CITY)).stdout
        assert (
            one(regie("question", "answer", "VR-0000-0000", "--file", text, *mine), 2)["error"]["field"] == "reference"
        )
        done = one(regie("question", "answer", reference.lower(), "--file", text, *mine))
        assert done["log_index"] > asked["log_index"]
        assert one(regie("question", "list", *mine)) == {"questions": []}
        (answered,) = one(regie("question", "list", "--all", *mine))["questions"]
        assert answered["answered_ms"] > 0
        empty = regie("question", "answer", reference, *mine, input="  ")
        assert one(empty, 2)["error"]["reason"] == "FIELD_INVALID"


def test_a_stopped_use_is_listed_and_acknowledged(home, regie, files):
    mine = ("--as", CITY, "--json")
    with served(home):
        ok(regie("enrol", files["residents"], "--as", CITY))
        ok(regie("consent", "import", files["choices"]))
        ok(regie("send", files["arrears"], "--purpose", PURPOSE, "--to", CITY, "--as", SUPPLIER))
        delivery = one(regie("receive", *mine))["delivery_id"]
        assert "nothing has to stop" in ok(regie("notice", "list", "--as", CITY)).stderr
        which = ("--sender", SUPPLIER, "--recipient", CITY, "--purpose", PURPOSE)
        ok(regie("consent", "withdraw", "--resident", files["me"], *which))
        (notice,) = one(regie("notice", "list", *mine))["notices"]
        assert (notice["delivery_ids"], notice["acknowledged_ms"]) == ([delivery], None)
        assert delivery[:20] in ok(regie("notice", "list", "--as", CITY)).stdout
        wrong = regie("notice", "acknowledge", "1", "--how", "deleted", *mine)
        assert '"reason": "ENTRY_UNKNOWN"' in ok(wrong, 1).stdout.splitlines()[-1]  # before it: the server's log line
        assert one(regie("notice", "acknowledge", notice["log_index"], "--how", "deleted", *mine))["log_index"] > 0
        assert one(regie("notice", "list", *mine)) == {"notices": []}
        assert one(regie("notice", "list", "--all", *mine))["notices"][0]["acknowledged_ms"] > 0


def test_a_threshold_and_a_change_in_life_are_told_to_the_ledger(home, regie, files):
    which = ("--sender", SUPPLIER, "--recipient", CITY, "--purpose", PURPOSE, "--resident", files["me"], "--json")
    with served(home):
        long = regie("consent", "grant", *which, "--months", "12", "--life-event")
        assert one(long, 2)["error"]["reason"] == "BEYOND_PURPOSE"
        ok(regie("consent", "grant", *which, "--months", "3", "--life-event", "--threshold", "4"))
        send = ("send", files["arrears"], "--purpose", PURPOSE, "--to", CITY, "--as", SUPPLIER, "--json")
        assert one(regie(*send))["geen_toestemming"] == 2
