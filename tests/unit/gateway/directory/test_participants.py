import pytest

from consent_ledger.errors import RegieError
from gateway.directory.participants import NewParticipant, read_participants

HEADER = "oin,kind,name,population\n"
GOOD = HEADER + "00000099000000000001,energy_supplier,Lampje,\n00000099000000000002,municipality,Gemeente Een,120000\n"


def write(tmp_path, content, encoding="utf-8"):
    path = tmp_path / "participants.csv"
    path.write_bytes(content.encode(encoding))
    return path


@pytest.mark.parametrize("content", [GOOD, GOOD.replace(",", ";"), "\ufeff" + GOOD, GOOD.replace("\n", "\r\n")])
def test_reads_what_spreadsheets_write(tmp_path, content):
    assert read_participants(write(tmp_path, content)) == [
        NewParticipant("00000099000000000001", "energy_supplier", "Lampje", 0),
        NewParticipant("00000099000000000002", "municipality", "Gemeente Een", 120_000),
    ]


def test_columns_may_stand_in_any_order(tmp_path):
    path = write(tmp_path, "name,population,oin,kind\nBelastingkantoor,0,00000099000000000003,tax_office\n")
    assert read_participants(path) == [NewParticipant("00000099000000000003", "tax_office", "Belastingkantoor")]


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("0000009900000000000,energy_supplier,Een,", "oin"),
        ("00000099000000000001,gateway,Een,", "kind"),
        ("00000099000000000001,bank,Een,", "kind"),
        ("00000099000000000001,energy_supplier,,", "name"),
        (f"00000099000000000001,energy_supplier,{'x' * 65},", "name"),
        ("00000099000000000001,municipality,Een,", "population"),
        ("00000099000000000001,municipality,Een,0", "population"),
        ("00000099000000000001,municipality,Een,veel", "population"),
        ("00000099000000000001,energy_supplier,Een,5", "population"),
    ],
)
def test_names_row_and_field(tmp_path, line, field):
    path = write(tmp_path, HEADER + "00000099000000000009,energy_supplier,Goed,\n" + line + "\n")
    with pytest.raises(RegieError) as caught:
        read_participants(path)
    assert (caught.value.row, caught.value.field) == (3, field)


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ("", "oin"),
        (HEADER, "oin"),
        ("oin,kind,name\n", "population"),
        (GOOD + "00000099000000000001,tax_office,Nog een,\n", "oin"),
    ],
)
def test_refuses_the_file(tmp_path, content, field):
    with pytest.raises(RegieError) as caught:
        read_participants(write(tmp_path, content))
    assert caught.value.field == field


def test_refuses_latin_1_and_absent_files(tmp_path):
    path = write(tmp_path, HEADER + "00000099000000000001,energy_supplier,Café,\n", "latin-1")
    with pytest.raises(RegieError, match="UTF-8"):
        read_participants(path)
    with pytest.raises(RegieError, match="no file"):
        read_participants(tmp_path / "absent.csv")


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Gemeente Zonneveen", "zonneveen"),
        ("Stichting Mijn Regie", "mijn"),
        ("B.V. X", "bv"),
        ("Gemeente", "participant"),
    ],
)
def test_slug(name, slug):
    assert NewParticipant("00000099000000000001", "municipality", name, 1).slug == slug
