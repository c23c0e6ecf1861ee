"""What agencies type around an exchange: report again later, declare support, say what was done, deliver to CBS."""

import csv
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from gateway.sdk.csvfile import OUTCOMES
from gateway.town.participants import LAMPJE, ZONNEVEEN
from tests.support import people
from tests.support.command import Regie, served
from tests.support.servers import make_home
from tests.support.shared import ddas_file

PURPOSE = "vroegsignalering-energie"
CITY, SUPPLIER = ZONNEVEEN.oin, LAMPJE.oin
PERSONS = people.people(4)
YES, FIRST, NO, EMAIL_ONLY = PERSONS


@pytest.fixture(scope="module")
def regie(tmp_path_factory):
    """A town in which four people live; what they chose is in their names."""
    folder = tmp_path_factory.mktemp("agency")
    regie = Regie(make_home(folder / "home").folder)
    answers = [(YES, "JA"), (FIRST, "VRAAG_MIJ_EERST"), (NO, "NEE"), (EMAIL_ONLY, "JA")]
    with served(regie):
        regie.ok("enrol", str(people.residents(folder / "residents.csv", PERSONS)), "--as", CITY)
        chosen = people.choices(folder / "choices.csv", answers, SUPPLIER, CITY, PURPOSE, "")
        regie.ok("consent", "import", str(chosen))
        yield regie


@pytest.fixture
def send(regie, tmp_path):
    def send(persons, *options, **changes):
        file = people.arrears(tmp_path / "arrears.csv", persons, **changes)
        return regie.run("send", str(file), "--purpose", PURPOSE, "--to", CITY, "--as", SUPPLIER, "--json", *options)

    return send


def me(tmp_path, person):
    return str(people.write(tmp_path / "me.csv", ("bsn", *people.ADDRESS), [{"bsn": person.bsn, **person.address}]))


def outcomes(path, rows, **every):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, OUTCOMES.columns, restval="")
        writer.writeheader()
        writer.writerows({**every, **row} for row in rows)
    return str(path)


def test_the_day_of_two_agencies(regie, send, tmp_path):
    sent = send(PERSONS).json
    assert (sent["accepted"], sent["later_opnieuw"], sent["geen_toestemming"]) == (2, 1, 1)
    assert "passed_over" not in sent

    # The resident answers; the sender's list of the next day has her bill and a new one.
    regie.ok(
        *("consent", "answer", "yes", "--resident", me(tmp_path, FIRST), "--sender", SUPPLIER, "--recipient", CITY),
        *("--purpose", PURPOSE),
    )
    again = send([YES, FIRST, NO], "--retry-later", months="4").json
    assert (again["rows"], again["accepted"], again["passed_over"], again["forgotten"]) == (3, 1, 2, 0)
    assert send([FIRST], "--retry-later").json["rows"] == 1
    assert send([FIRST], "--retry-later").json["accepted"] == 0

    received = regie.ok("receive", "--as", CITY, "--json").lines
    by_ref = {one["resident_ref"]: one for one in received}
    assert set(by_ref) == {YES.ref, FIRST.ref, EMAIL_ONLY.ref}
    assert by_ref[FIRST.ref]["signal"]["months"] == ">3"  # the facts of the day on which it went

    # What was done, from the municipality's own system.
    rows = [
        {"delivery_id": by_ref[YES.ref]["delivery_id"], "channel": "telefoon", "offer": "gesprek", "reached": "ja"},
        {
            "delivery_id": by_ref[FIRST.ref]["delivery_id"],
            "part_of_day": "avond",
            "channel": "Afspraak op locatie",
            "result": "Vervolghulp en/of verwijzing financieel",
        },
        {"delivery_id": by_ref[EMAIL_ONLY.ref]["delivery_id"], "result": "Niet opgepakt: onterecht signaal"},
        {"delivery_id": "ab" * 16 + "-1", "channel": "brief", "offer": "brief"},
        {"delivery_id": by_ref[YES.ref]["delivery_id"], "channel": "postduif", "offer": "brief"},
        {"delivery_id": by_ref[YES.ref]["delivery_id"], "offer": "brief"},
    ]
    today = regie.json("consent", "list", "--resident", me(tmp_path, YES))["exchanges"][0]["time"][:10]
    file = outcomes(tmp_path / "outcomes.csv", rows, date=today)
    done = regie.run("outcome", "import", file, "--as", CITY, "--json")
    assert done.code == 1
    counts = [done.json[name] for name in ("rows", "reported", "unchanged", "rejected_rows")]
    assert counts == [6, 3, 0, 3]
    with Path(done.json["rejected_file"]).open(newline="", encoding="utf-8") as stream:
        rejected = [(one["row"], one["field"]) for one in csv.DictReader(stream)]
    assert rejected == [("5", "delivery_id"), ("6", "channel"), ("7", "channel")]
    again = regie.run("outcome", "import", file, "--as", CITY, "--json").json
    assert (again["reported"], again["unchanged"]) == (0, 3)
    record = regie.json("consent", "list", "--resident", me(tmp_path, YES))
    assert record["exchanges"][0]["outcome"]["deviations"] == ["other_channel"]  # until chosen: letter only

    # One by hand, in the short form as well.
    told = ("--offer", "brief", "--channel", "brief", "--as", CITY)
    one = regie.json("outcome", by_ref[YES.ref]["delivery_id"], *told)
    other = regie.json("outcome", "report", by_ref[FIRST.ref]["delivery_id"], *told)
    assert other["log_index"] > one["log_index"]

    # To Statistics Netherlands, with the municipality's own register.
    register = people.residents(tmp_path / "register.csv", [YES, FIRST])
    export = tmp_path / "ddas.json"
    made = regie.run(
        *("receive", "--export-ddas", str(export), "--register", str(register), "--municipality", "0344"),
        *("--period", f"{today}/{today}", "--kvk", "12345678", "--as", CITY, "--json"),
    )
    assert (made.code, made.json["signals"], made.json["cases"], made.json["left_out"]) == (1, 2, 2, 1)
    assert export.stat().st_mode & 0o077 == 0
    delivery = json.loads(export.read_text("utf-8"))
    Draft202012Validator(ddas_file("v1.2", "json_schema_Uitwisselmodel.json")).validate(delivery)
    (found,) = delivery["leveringen"]
    assert {signal["client"]["burgerservicenummer"] for signal in found["vroegsignalen"]} == {YES.bsn, FIRST.bsn}
    assert {case.get("resultaat") for case in found["vroegsignaalzaken"]} == {
        None,
        "Vervolghulp en/of verwijzing financieel",
    }


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (("--municipality", "0344"), "register"),
        (("--register", "r.csv", "--municipality", "344"), "municipality"),
        (("--register", "r.csv", "--municipality", "0344", "--kvk", "1"), "kvk"),
        (("--register", "r.csv", "--municipality", "0344", "--period", "2026-13"), "period"),
        (("--register", "r.csv", "--municipality", "0344", "--period", "2026-02-02/2026-02-01"), "period"),
    ],
)
def test_a_delivery_needs_to_be_told_what_it_is_of(regie, tmp_path, options, field):
    result = regie.run("receive", "--export-ddas", str(tmp_path / "d.json"), *options, "--as", CITY, "--json")
    assert (result.code, result.json["error"]["field"]) == (2, field)
    assert not (tmp_path / "d.json").exists()


def test_a_register_with_a_row_that_cannot_be_read_makes_no_delivery(regie, tmp_path):
    register = people.residents(tmp_path / "register.csv", [YES])
    register.write_text(register.read_text().replace(YES.bsn, "123456789"))
    export = tmp_path / "d.json"
    result = regie.run(
        *("receive", "--export-ddas", str(export), "--register", str(register), "--municipality", "0344"),
        *("--as", CITY, "--json"),
    )
    assert (result.code, result.json["error"]["field"]) == (2, "bsn")
    assert not export.exists()


def test_what_a_municipality_can_do_is_said_by_itself(regie, send, tmp_path):
    other = "00000099000000007002"
    assert regie.json("directory", "support", "--as", other)["declared"] is False
    said = regie.json("directory", "support", "--channels", "telefoon, huisbezoek", "--as", other)
    assert said == {
        "oin": other,
        "channels": ["telefoon", "huisbezoek"],
        "declared": True,
        "log_index": said["log_index"],
    }
    for _ in range(20):  # the gateway reads the directory every few seconds
        channels = {one["oin"]: one["channels"] for one in regie.json("directory", "list")["participants"]}
        if channels[other] == ["telefoon", "huisbezoek"]:
            break
    assert (channels[other], channels[SUPPLIER]) == (["telefoon", "huisbezoek"], None)
    assert regie.json("directory", "support", "--as", other) == said
    wrong = regie.run("directory", "support", "--channels", "postduif", "--as", other, "--json")
    assert (wrong.code, wrong.json["error"]["field"]) == (2, "channels")
    regie.ok(
        *("consent", "grant", "--resident", me(tmp_path, YES), "--sender", SUPPLIER, "--recipient", other),
        *("--purpose", PURPOSE, "--months", "3"),
    )
    file = people.arrears(tmp_path / "a.csv", [YES])
    sent = regie.json("send", str(file), "--purpose", PURPOSE, "--to", other, "--as", SUPPLIER)
    assert sent["geen_toestemming"] == 1  # she wants letters only
    record = regie.json("consent", "list", "--resident", me(tmp_path, YES))
    assert record["exchanges"][0]["reason"] == "RECEIVER_CANNOT_HONOUR"


def test_refusals_are_counted_for_the_operator(regie, send):
    assert send([NO], reference="refused-once").json["geen_toestemming"] == 1
    shown = regie.json("exchange", "refusals")
    assert shown["alarms"] == 0
    assert shown["hours"][0]["sender"] == SUPPLIER
    assert shown["hours"][0]["refused"] >= 1
