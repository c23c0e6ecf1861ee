import hashlib
import os
import stat

import pytest

from consent_ledger.clock import system_clock
from consent_ledger.events import parse_leaf
from consent_ledger.log.keys import LogKeys
from consent_ledger.purposes import CATALOGUE
from consent_ledger.registry import Registry, check_separation
from consent_ledger.verify import verify_database
from consent_ledger.verify.snapshot import open_snapshot
from gateway.crypto import hpke, signatures
from gateway.directory.authority import verify_participant_key
from gateway.directory.founding import found_home, free_ports, require_empty
from gateway.directory.participants import NewParticipant
from gateway.home import Home, HomeError
from gateway.town.participants import LEDGER, SMALL, TAX_OFFICE, ZONNEVEEN


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return found_home(tmp_path_factory.mktemp("found") / "home", SMALL, system_clock)


def registry_of(home):
    with open_snapshot(home.operator("ledger").data / "ledger.db") as snapshot:
        entries = [row.entry for rows in snapshot.rows(256) for row in rows]
    return Registry.fold([(index, parse_leaf(entry).public) for index, entry in enumerate(entries)])


def test_settings_are_read_back(home):
    again = Home.open(home.folder)
    assert again == home
    assert not again.demo
    assert set(again.addresses) == {"gateway", "pseudonyms", "ledger", "viewer", "auditor", "log", "witness"}
    assert set(again.metrics) == {"gateway", "pseudonyms", "ledger", "viewer", "auditor", "witness"}
    addresses = [*again.addresses.values(), *again.metrics.values()]
    assert all(20_000 <= int(address.removeprefix("127.0.0.1:")) < 32_000 for address in addresses)
    assert len(set(addresses)) == len(addresses) == 13


def test_only_the_owner_reads_secrets(home):
    for path in home.folder.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir():
            assert mode == 0o700, path
        elif path.suffix in {".key", ".db"}:
            assert mode == 0o600, path
    assert stat.S_IMODE(home.folder.stat().st_mode) == 0o700


def test_the_ledger_verifies_and_holds_everything_in_the_clear(home):
    report = verify_database(home.operator("ledger").data / "ledger.db", home.log_verifier_key)
    keys = {"gateway": 1, "pseudonyms": 2, "ledger": 2, "viewer": 2, "auditor": 1}
    expected = 2 + sum(1 + keys.get(participant.kind, 2) for participant in SMALL) + len(CATALOGUE)
    assert (report.log.size, report.opened) == (expected, 0)
    assert LogKeys.parse(home.operator("ledger").text_key("log")).names == tuple(home.log_verifier_key.split())


def test_the_directory_says_what_was_registered(home):
    registry = registry_of(home)
    check_separation(registry)
    found = {(p.oin, p.kind, p.name, p.population, p.private_party) for p in registry.participants}
    assert found == {(p.oin, p.kind, p.name, p.population, p.kind == "energy_supplier") for p in SMALL}
    assert {purpose.id for purpose in registry.purposes} == {purpose.id for purpose in CATALOGUE}


def test_published_keys_are_those_in_the_folders_and_are_signed_by_the_certificate(home):
    for participant in registry_of(home).participants:
        organisation = home.organisation(participant.oin)
        public = signatures.public_bytes(signatures.signing_key(organisation.key("sign")))
        assert participant.key("sign").public == public
        if organisation.has("hpke"):
            assert participant.key("hpke").public == hpke.PrivateKey.from_bytes(organisation.key("hpke")).public
        for key in participant.keys:
            usage = {"sign": 1, "hpke": 2}[key.usage]
            assert key.key_id == hashlib.sha256(b"regie/keyid/v1" + bytes([usage]) + key.public).digest()[:8]
            verify_participant_key(participant.certificate, participant.oin, usage, key.public, key.signature)


def test_who_holds_which_keys(home):
    def names(oin):
        return {path.stem for path in home.organisation(oin).folder.glob("*.key")} - {"tls"}

    assert names(home.operators["gateway"]) == {"sign", "master"}
    assert names(home.operators["pseudonyms"]) == {"sign", "hpke", "master"}
    assert names(home.operators["ledger"]) == {"sign", "hpke", "closing", "log", "ldv"}
    assert names(TAX_OFFICE.oin) == names(ZONNEVEEN.oin) == {"sign", "hpke", "closing", "hedge"}


@pytest.mark.parametrize("content", ["file", "home", "something"])
def test_nothing_is_written_over(tmp_path, content):
    folder = tmp_path / "home"
    if content == "file":
        folder.write_text("x")
    else:
        folder.mkdir()
        (folder / {"home": "regie.toml", "something": ".hidden"}[content]).write_text("x")
    with pytest.raises(HomeError, match=r"new or empty|another folder"):
        found_home(folder, SMALL, system_clock)
    with pytest.raises(HomeError):
        require_empty(folder)


def test_an_empty_folder_is_fine(tmp_path):
    assert found_home(tmp_path, SMALL, system_clock, demo=True).demo


@pytest.mark.parametrize("exists", [True, False])
def test_a_failure_leaves_no_half_home(tmp_path, exists):
    folder = tmp_path / "home"
    if exists:
        folder.mkdir()
    left = iter(range(12))

    def rng(count):
        if next(left, None) is None:
            raise OSError("no more randomness")
        return os.urandom(count)

    with pytest.raises(OSError, match="no more randomness"):
        found_home(folder, SMALL, system_clock, rng=rng)
    assert list(tmp_path.rglob("*")) == ([folder] if exists else [])


@pytest.mark.parametrize(
    "participants",
    [
        SMALL[1:],
        [*SMALL, ZONNEVEEN],
        [*SMALL, NewParticipant("00000099000000009999", "ledger", "Nog een register")],
        [*SMALL, NewParticipant("00000099000000009999", "tax_office", LEDGER.name.upper())],
        [*SMALL[:2], NewParticipant(SMALL[0].oin, "ledger", LEDGER.name), *SMALL[3:]],
    ],
)
def test_one_operator_of_each_kind_and_every_oin_once(tmp_path, participants):
    with pytest.raises(HomeError, match="one operator of each kind"):
        found_home(tmp_path / "home", participants, system_clock)


def test_free_ports_differ():
    assert len(set(free_ports(20))) == 20
