"""The command line: what it prints, where, and with which exit code."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pysqlite3.dbapi2 as sqlite
import pytest
from typer.testing import CliRunner

from gateway.cli.app import app
from gateway.home import Home
from gateway.sdk import agency as agency_module
from gateway.sdk.csvfile import ARREARS, CHOICES, INCOME, RESIDENT, RESIDENTS
from gateway.server import serving
from tests.support.sdk import CITY, PURPOSE, SUPPLIER, TAX_OFFICE
from tests.support.servers import make_home

BSN, OTHER_BSN = "123456782", "111222333"
ARREARS_ROW = "{ref},1980-02-29,1234AB,{number},,,2,ja,nee,2026-01-01,reminder"


@contextmanager
def served(home: Home) -> Iterator[None]:
    """Serve every role on a thread of its own, as commands bring their own event loop."""
    ready, stop = threading.Event(), threading.Event()

    async def serve():
        async with serving(home, ("witness", "ledger", "pseudonyms", "gateway")) as running:
            await running.ready()
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(20)
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def home(tmp_path):
    return make_home(tmp_path / "home")


@pytest.fixture
def regie(home):
    def run(*arguments, **options):
        return CliRunner(env={"REGIE_HOME": str(home.folder)}).invoke(app, [str(part) for part in arguments], **options)

    return run


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(agency_module, "START_SECONDS", 0)


def write(path, layout, *lines):
    path.write_text("\n".join((",".join(layout.columns), *lines, "")), "utf-8")
    return path


@pytest.fixture
def files(tmp_path):
    residents = (f"R{number},{bsn},1980-02-29,1234AB,{number},," for number, bsn in ((1, BSN), (2, OTHER_BSN)))
    who = f"{BSN},1980-02-29,1234AB,1,,"
    return {
        "residents": write(tmp_path / "residents.csv", RESIDENTS, *residents),
        "choices": write(
            tmp_path / "choices.csv",
            CHOICES,
            f"{who},{SUPPLIER},{CITY},{PURPOSE},,JA,12",
            f"{who},{TAX_OFFICE},{CITY},regelingen-bij-inkomensdaling,inkomen_gedaald,EERST_ZELF,3",
        ),
        "arrears": write(
            tmp_path / "arrears.csv",
            ARREARS,
            *(ARREARS_ROW.format(ref=f"K{number}", number=number) for number in (1, 2)),
        ),
        "income": write(tmp_path / "income.csv", INCOME, f"T1,{BSN},25-50,2025"),
        "me": write(tmp_path / "me.csv", RESIDENT, who),
    }


def ok(result, code=0):
    assert result.exit_code == code, (result.exit_code, result.stdout, result.stderr, result.exception)
    return result


def one(result, code=0):
    return json.loads(ok(result, code).stdout)


SEND_KEYS = [
    *("rows", "rejected_rows", "batches", "accepted", "geen_toestemming", "later_opnieuw"),
    *("gegevens_niet_toegestaan", "doel_verboden", "probeer_later", "seconds", "rejected_file"),
]


def test_the_whole_way(home, regie, files, tmp_path):
    with served(home):
        enrolled = one(regie("enrol", files["residents"], "--as", CITY, "--json"))
        assert (enrolled["rows"], enrolled["enrolled"], enrolled["rejected_rows"]) == (2, 2, 0)
        imported = one(regie("consent", "import", files["choices"], "--json"))
        assert (imported["rows"], imported["recorded"], imported["unchanged"]) == (2, 2, 0)
        send = ("send", files["arrears"], "--purpose", PURPOSE, "--to", CITY, "--as", SUPPLIER, "--json")
        sent = one(regie(*send))
        assert list(sent) == SEND_KEYS
        assert (sent["rows"], sent["accepted"], sent["geen_toestemming"], sent["batches"]) == (2, 1, 1, 1)
        again = one(regie(*send))
        assert (again["accepted"], again["geen_toestemming"]) == (1, 1)
        drop = ("send", files["income"], "--purpose", "regelingen-bij-inkomensdaling", "--to", CITY, "--json")
        assert one(regie(*drop, "--as", TAX_OFFICE))["later_opnieuw"] == 1
        too_much = one(regie(*drop, "--as", TAX_OFFICE, "--items", "inkomen_gedaald,inkomen_bedrag"))
        assert too_much["gegevens_niet_toegestaan"] == 1
        banned = ("send", files["income"], "--purpose", "handhaving", "--to", CITY, "--as", TAX_OFFICE, "--json")
        assert one(regie(*banned))["doel_verboden"] == 1

        got = ok(regie("receive", "--as", CITY, "--json", "--receipts", tmp_path / "receipts"))
        (delivery,) = map(json.loads, got.stdout.splitlines())
        assert (delivery["resident_ref"], delivery["sender"], delivery["purpose"]) == ("R1", SUPPLIER, PURPOSE)
        assert set(delivery["explanation"]) == {"nl", "en"}
        assert ok(regie("receive", "--as", CITY, "--json")).stdout == ""

        record = one(regie("consent", "list", "--resident", files["me"], "--json"))
        assert {choice["answer"] for choice in record["choices"]} == {"JA", "EERST_ZELF"}
        reasons = {exchange["reason"] for exchange in record["exchanges"]}
        assert {"ALLOWED", "SELF_FIRST_WINDOW", "SCOPE_EXCEEDED"} <= reasons
        shown = ok(regie("consent", "list", "--resident", files["me"])).stdout
        assert "Tegengehouden" in shown

        told = ("--offer", "gesprek", "--channel", "brief", "--as", CITY, "--json")
        assert one(regie("outcome", delivery["delivery_id"], *told))["log_index"] > 0
        listed = one(regie("directory", "list", "--json"))
        assert {p["kind"] for p in listed["participants"]} >= {"gateway", "municipality", "tax_office"}
        assert listed["checkpoint_size"] > 0
        assert "Gemeente Zonneveen" in ok(regie("directory", "list")).stdout
        (released,) = (tmp_path / "receipts").iterdir()
        index = released.read_text().partition("\nindex ")[2].partition("\n")[0]
        again = tmp_path / "again.tlog-proof"
        made = one(regie("log", "receipt", index, "--out", again, "--as", CITY, "--json"))
        assert (made["event"], made["receipt"]) == ("exchange_released", again.read_text())
        assert "valid" in ok(regie("proof", "verify", again)).stdout
        assert one(regie("log", "receipt", index, "--as", SUPPLIER, "--json"), code=2)["error"]["reason"]
        online = one(regie("log", "verify", "--online", "--json"))
        checkpoint = one(regie("log", "checkpoint", "--json"))
        assert checkpoint["size"] == online["size"]

    assert one(regie("log", "verify", "--json"))["root"] == online["root"]
    for path in home.folder.rglob("*"):
        planted = [
            mark
            for mark in (BSN, OTHER_BSN, "1980-02-29", "1234AB")
            if path.is_file() and mark.encode() in path.read_bytes()
        ]
        assert not planted, path
    ok(regie("log", "verify", home.folder))
    (receipt,) = (tmp_path / "receipts").iterdir()
    proven = one(regie("proof", "verify", receipt, "--json"))
    assert (proven["event"], proven["content"]["purpose"]) == ("exchange_released", PURPOSE)
    assert "valid" in ok(regie("proof", "verify", receipt, "--vkey", home.log_verifier_key)).stdout
    receipt.write_text(receipt.read_text().replace("index ", "index 1"))
    assert one(regie("proof", "verify", receipt, "--json"), code=1)["error"]["reason"] == "PROOF_INVALID"


def test_one_resident_changes_choices(home, regie, files):
    scope = ("--resident", files["me"], "--sender", SUPPLIER, "--recipient", CITY, "--purpose", PURPOSE)
    with served(home):

        def answer(reference):
            path = write(
                files["me"].with_name(f"{reference}.csv"), ARREARS, ARREARS_ROW.format(ref=reference, number=1)
            )
            send = ("send", path, "--purpose", PURPOSE, "--to", CITY, "--as", SUPPLIER, "--json")
            counts = one(regie(*send))
            return next(name for name in SEND_KEYS[3:9] if counts[name])

        ok(regie("consent", "grant", *scope, "--months", "6"))
        assert answer("A") == "accepted"
        ok(regie("consent", "withdraw", *scope))
        assert answer("B") == "geen_toestemming"
        ok(regie("consent", "grant", *scope, "--months", "6"))
        ok(regie("consent", "pause", "--resident", files["me"], "--days", "3"))
        assert answer("C") == "geen_toestemming"
        ok(regie("consent", "resume", "--resident", "-", input=files["me"].read_text()), code=2)  # no real stdin here
        ok(regie("consent", "resume", "--resident", files["me"]))
        assert answer("D") == "accepted"
        ok(regie("consent", "refuse", *scope))
        assert answer("E") == "geen_toestemming"
        ok(regie("consent", "grant", *scope, "--months", "3", "--answer", "VRAAG_MIJ_EERST"))
        assert answer("F") == "later_opnieuw"
        ok(regie("consent", "answer", "yes", *scope))
        assert answer("G") == "accepted"
        ok(regie("consent", "prefer", "--resident", files["me"], "--general-only"))
        assert answer("H") == "geen_toestemming"


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("consent", "grant", "--months", "5"), "months"),
        (("consent", "grant", "--months", "6", "--items", "alles"), "items"),
        (("consent", "prefer", "--channels", "postduif"), "channels"),
    ],
)
def test_a_wrong_choice_is_a_wrong_call(home, regie, files, arguments, field):
    scope = ("--sender", SUPPLIER, "--recipient", CITY, "--purpose", PURPOSE) if "grant" in arguments else ()
    with served(home):
        error = one(regie(*arguments, *scope, "--resident", files["me"], "--json"), code=2)["error"]
    assert (error["reason"], error["field"]) == ("FIELD_INVALID", field)


def test_bad_rows_are_exit_1_and_named(home, regie, files):
    with files["arrears"].open("a") as stream:
        stream.write(ARREARS_ROW.format(ref="K3", number=1).replace("1234AB", "0123AB") + "\n")
    with served(home):
        sent = one(
            regie("send", files["arrears"], "--purpose", PURPOSE, "--to", CITY, "--as", SUPPLIER, "--json"), code=1
        )
        assert (sent["rows"], sent["rejected_rows"], sent["geen_toestemming"]) == (3, 1, 2)
        assert "4,postcode," in Path(sent["rejected_file"]).read_text()
        choices = write(files["choices"], CHOICES, f"{BSN},,,,,,{SUPPLIER},{CITY},handhaving,,JA,12")
        imported = one(regie("consent", "import", choices, "--json"), code=1)
        assert (imported["rejected_rows"], imported["recorded"]) == (1, 0)
        residents = write(files["residents"], RESIDENTS, "R1,123456789,1980-02-29,,,,")
        assert one(regie("enrol", residents, "--as", CITY, "--json"), code=1)["rejected_rows"] == 1


def test_a_bad_file_is_exit_2(home, regie, tmp_path):
    empty = tmp_path / "empty.csv"
    empty.write_bytes(b"")
    with served(home):
        for arguments in (
            ("send", empty, "--purpose", PURPOSE, "--to", CITY, "--as", SUPPLIER),
            ("enrol", empty, "--as", CITY),
            ("consent", "import", empty),
        ):
            error = one(regie(*arguments, "--json"), code=2)["error"]
            assert (error["reason"], error["field"], error["row"]) == ("FIELD_INVALID", "header", 1)
            (tmp_path / "empty.csv.rejected.csv").unlink()


def test_unknown_names_are_exit_2(home, regie, files):
    with served(home):
        for purpose, to, reason in (("nope", CITY, "PURPOSE_UNKNOWN"), (PURPOSE, "9" * 20, "PARTY_UNKNOWN")):
            arguments = ("send", files["arrears"], "--purpose", purpose, "--to", to, "--as", SUPPLIER, "--json")
            assert one(regie(*arguments), code=2)["error"]["reason"] == reason


def test_several_organisations_need_as(home, regie, files):
    with served(home):
        error = one(regie("receive", "--json"), code=2)["error"]
    assert "--as" in error["message"]
    assert CITY in error["message"]


def test_nobody_listening_is_exit_3(regie, files, impatient):
    for arguments in (
        ("send", files["arrears"], "--purpose", PURPOSE, "--to", CITY, "--as", SUPPLIER),
        ("receive", "--as", CITY),
        ("enrol", files["residents"], "--as", CITY),
        ("consent", "import", files["choices"]),
        ("directory", "list"),
    ):
        result = ok(regie(*arguments, "--json"), code=3)
        assert json.loads(result.stdout)["error"]["reason"] == "GATEWAY_UNAVAILABLE"
        assert "nobody listens" in result.stderr


def test_no_home_is_exit_2(tmp_path):
    runner = CliRunner(env={"REGIE_HOME": str(tmp_path)})
    for arguments in (("directory", "list"), ("log", "verify"), ("receive", "--as", CITY)):
        result = ok(runner.invoke(app, [*arguments, "--json"]), code=2)
        assert "regie init" in json.loads(result.stdout)["error"]["message"]


def test_a_changed_log_is_exit_1_and_says_where(home, regie):
    path = home.operator("ledger").data / "ledger.db"
    with sqlite.connect(path) as database:
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {trigger}")
        database.execute("UPDATE leaf SET entry = zeroblob(40) WHERE idx = 5")
    database.close()
    error = one(regie("log", "verify", "--json"), code=1)["error"]
    assert error["reason"] == "PROOF_INVALID"
    assert "5" in error["message"]


def test_json_goes_to_standard_output_and_words_to_standard_error(home, regie, files):
    with served(home):
        result = ok(regie("consent", "import", files["choices"], "--json"))
    assert len(result.stdout.splitlines()) == 1
    assert result.stderr == ""
