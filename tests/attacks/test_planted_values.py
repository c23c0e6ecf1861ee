"""I4: no identifier, name or amount in any table, file, log line, span or error of gateway, pseudonyms, ledger, portal.

Everything runs for real; then every artefact of the operators is searched for planted values, also in the encodings
that a careless line of code would use.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import pysqlite3.dbapi2 as sqlite
import pytest

from consent_ledger.clock import system_clock
from consent_ledger.errors import RegieError
from gateway.home import ROLES, Home
from gateway.sdk import csvfile, formats
from gateway.sdk.agency import Agency
from gateway.sdk.choices import choice, pause, resumption
from gateway.sdk.recipient import Delivery
from gateway.sdk.sendfile import send_file
from gateway.server import serving
from gateway.telemetry import logs
from gateway.telemetry.spanstore import span_stores
from gateway.town.participants import LAMPJE, TAX_OFFICE, VIEWER, ZONNEVEEN
from tests.support.servers import make_home

PLANTED = {
    "bsn": "999990019",
    "postcode": "9471ZQ",
    "birth_date": "1961-07-23",
    "resident_ref": "dossier-Pietersen-77",
    "reference": "klant-Willemsen-88",
    "amount": "4321.99",
    "period": "2025-Q3",
    "signal_date": "2026-02-27",
}
SERVED = ("gateway", "pseudonyms", "ledger", "witness")
RESIDENTS = "resident_ref,bsn,birth_date,postcode,house_number,house_letter,house_addition\n"
CHOICES = (
    "bsn,birth_date,postcode,house_number,house_letter,house_addition,sender,recipient,purpose,items,answer,months\n"
)
ARREARS = (
    "reference,birth_date,postcode,house_number,house_letter,house_addition,months,end_of_supply,warm_handover,"
    "signal_date,steps,amount\n"
)


def write(path: Path, text: str) -> Path:
    path.write_text(text.format_map(PLANTED), encoding="utf-8")
    return path


def rows(path: Path, layout, parse) -> list:
    with path.open("rb") as stream:
        file = csvfile.CsvFile(stream, layout)
        return [parse(record, formats.today(system_clock())) for record in file]


async def day_in_the_life(home: Home, folder: Path) -> list[Delivery]:
    """Enrol, choose, pause and resume, send what is allowed and what is not, receive, report."""
    address = "{birth_date},{postcode},17,,"
    residents = write(folder / "residents.csv", RESIDENTS + "{resident_ref},{bsn}," + address + "\n")
    energy, income = "vroegsignalering-energie", "regelingen-bij-inkomensdaling"
    wanted = [(LAMPJE.oin, energy), (TAX_OFFICE.oin, income)]
    lines = "".join("{bsn}," + address + f",{sender},{ZONNEVEEN.oin},{purpose},,JA,6\n" for sender, purpose in wanted)
    chosen = write(folder / "choices.csv", CHOICES + lines)
    fact = ",3,ja,nee,{signal_date},reminder,"
    arrears = write(
        folder / "arrears.csv",
        ARREARS + "{reference}," + address + fact + "\n" + "{reference}-2," + address + fact + "{amount}\n",
    )
    fallen = write(folder / "income.csv", "reference,bsn,drop_band,period\n{reference},{bsn},25-50,{period}\n")

    async with Agency.open(home, ZONNEVEEN.oin) as agency:
        await agency.enrolment().enrol(rows(residents, csvfile.RESIDENTS, formats.resident_row))
    async with Agency.open(home, VIEWER.oin) as agency:
        registry = await agency.registry()
        found = rows(chosen, csvfile.CHOICES, formats.choice_row)
        wishes = [choice(row, registry.purpose(row.purpose)) for row in found]
        resident = found[0].resident
        purposes = [row.purpose for row in found]
        done = await agency.portal().record([*wishes, pause(resident, purposes, 0), resumption(resident, purposes)])
        assert not [result for result in done.results if isinstance(result, RegieError)]
        await agency.portal().look_up(resident)
    async with Agency.open(home, LAMPJE.oin) as agency:
        summary = await send_file(agency, arrears, purpose=energy, recipient=ZONNEVEEN.oin)
        assert (summary.rejected_rows, summary.sent.counts["accepted"]) == (1, 1)
        await send_file(agency, arrears, purpose="handhaving", recipient=ZONNEVEEN.oin)
    async with Agency.open(home, TAX_OFFICE.oin) as agency:
        await send_file(agency, fallen, purpose=income, recipient=ZONNEVEEN.oin)
    async with Agency.open(home, ZONNEVEEN.oin) as agency:
        deliveries = []
        async for delivery in agency.recipient().deliveries():
            await delivery.done()
            deliveries.append(delivery)
        await agency.recipient().report(
            deliveries[0].delivery_id, offer="gesprek", channel="telefoon", when_ms=system_clock()
        )
    return deliveries


def spellings(value: str) -> Iterator[bytes]:
    """The value as text, and as it would stand in hexadecimal or base64."""
    raw = value.encode()
    yield raw
    yield value.encode("utf-16-le")
    yield raw.hex().encode()
    yield base64.b64encode(raw).rstrip(b"=")[:-1]
    if value.isdigit():
        yield int(value).to_bytes(4, "big")
    if "-" in value and value.replace("-", "").isdigit():
        yield value.replace("-", "").encode()


def found_in(name: str, content: bytes) -> list[str]:
    return [f"{what} in {name}" for what, value in PLANTED.items() for each in spellings(value) if each in content]


def stored_spans(path: Path) -> bytes:
    """Every field of every span, as text."""
    with closing(sqlite.connect(path)) as connection:
        rows = connection.execute("SELECT * FROM span").fetchall()
    texts = [value.hex() if isinstance(value, bytes) else str(value) for row in rows for value in row]
    return "\n".join(texts).encode()


def test_the_search_finds_what_it_looks_for() -> None:
    for what, value in PLANTED.items():
        assert found_in("x", b"..." + value.encode() + b"...")[0] == f"{what} in x"
    assert found_in("x", PLANTED["postcode"].encode("utf-16-le"))


@pytest.mark.timeout(120)
async def test_planted_values_are_found_at_no_operator(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    log = io.StringIO()
    logs.configure(log)
    async with serving(home, SERVED) as served, httpx2.AsyncClient() as http:
        await served.ready()
        deliveries = await day_in_the_life(home, tmp_path)
        metrics = [(await http.get(f"http://{home.metrics[role]}/metrics")).content for role in SERVED]
        # While everything is open, so that the write-ahead logs are searched too.
        found = [
            hit
            for role, folder in [
                *((role, home.operator(role).folder) for role in ROLES),
                ("witness", home.folder / "witness"),
            ]
            for path in sorted(folder.rglob("*"))
            if path.is_file()
            for hit in found_in(f"{role}/{path.name}", path.read_bytes())
        ]
    assert {delivery.resident_ref for delivery in deliveries} == {PLANTED["resident_ref"]}
    assert len(deliveries) == 2
    # Spans of everybody, also of the agencies: they go to collectors, and to the auditor.
    stores = {path: stored_spans(path) for path in span_stores(home)}
    assert {home.operator(role).data / "spans.db" for role in ("gateway", "pseudonyms", "ledger")} < set(stores)
    assert {home.organisation(oin).data / "spans.db" for oin in (LAMPJE.oin, ZONNEVEEN.oin)} < set(stores)
    assert all(b"regie.purpose" in content for content in stores.values()), "a search that finds nothing"
    assert b"regie_exchanges_total" in metrics[0]
    found += found_in("a log line", log.getvalue().encode())
    for path, content in stores.items():
        found += found_in(f"a span of {path.parent.parent.name}", content)
    for role, content in zip(SERVED, metrics, strict=True):
        found += found_in(f"a metric of the {role}", content)
    assert found == []
