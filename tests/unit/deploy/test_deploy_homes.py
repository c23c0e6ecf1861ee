"""A home that was divided: each operator gets its own keys, reaches whom it may, and that is enough to serve."""

from __future__ import annotations

import asyncio
import re
import shutil
from contextlib import AsyncExitStack

import pytest

from consent_ledger.clock import system_clock
from gateway.directory.founding import AGENCY_KEYS, found_home, free_ports
from gateway.home import Home, HomeError
from gateway.sdk.agency import Agency
from gateway.server import serving
from gateway.town.participants import SMALL, ZONNEVEEN
from tests.support.deploying import FOLDER, HOMES, PORTS, SERVICES, keys_of, role_of

write_homes = HOMES["write_homes"]


@pytest.fixture(scope="module")
def founder(tmp_path_factory):
    return found_home(tmp_path_factory.mktemp("founder") / "home", SMALL, system_clock)


@pytest.fixture
def homes(founder, tmp_path):
    write_homes(founder, tmp_path / "homes", {})
    return tmp_path / "homes"


def keys_in(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.key")}


def test_each_home_holds_its_own_organisations_keys_and_no_others(founder, homes):
    agencies = {one.oin for one in SMALL} - set(founder.operators.values())
    assert {path.name for path in homes.iterdir()} == {*SERVICES, *agencies, "operators.env"}
    for service in SERVICES - {"witness"}:
        oin = founder.operators[role_of(service)]
        made = {name for name in keys_of(service) if not name.startswith("oidc")}  # the identity provider gives those
        assert keys_in(homes / service) == {f"orgs/{oin}/{name}.key" for name in made}
    assert keys_in(homes / "witness") == {"witness/witness.key"}
    for oin in agencies:
        assert keys_in(homes / oin) == {f"orgs/{oin}/{name}.key" for name in (*AGENCY_KEYS, "tls")}
    assert not [path for path in homes.rglob("*.key") if path.stat().st_mode & 0o077]


def test_only_the_ledger_gets_the_ledger(homes):
    assert [path.parent.parent.parent.parent.name for path in homes.rglob("ledger.db")] == ["ledger"]


def test_a_home_names_the_addresses_it_needs_and_no_others(homes):
    for service in SERVICES - {"witness"}:
        home = Home.open(homes / service)
        named = set(HOMES["ASKS"][service]) | set(HOMES["COMMANDS"].get(service, ()))
        own = {"ledger": {"ledger", "log"}, "desk": {"viewer", "desk"}}.get(service, {service})
        assert set(home.addresses) == named | own
        assert {address.rpartition(":")[0] for name, address in home.addresses.items() if name in own} <= {
            "0.0.0.0",
            "127.0.0.1",
        }
        assert {name: home.addresses[name] for name in named} == {name: f"{name}:{PORTS[name]}" for name in named}


def test_nothing_is_written_over_and_a_demo_is_not_divided(founder, homes, tmp_path):
    with pytest.raises(HomeError, match="not written over"):
        write_homes(founder, homes, {})
    shutil.copytree(founder.folder, tmp_path / "demo")
    settings = tmp_path / "demo" / "regie.toml"
    settings.write_text(settings.read_text().replace("demo = false", "demo = true"))
    with pytest.raises(HomeError, match="for one machine"):
        write_homes(Home.open(tmp_path / "demo"), tmp_path / "other", {})


async def test_the_roles_serve_from_divided_homes(founder, homes):
    """With the addresses of a home, and nothing else: an edge that is missing here stops a role or a call."""
    free = iter(free_ports(40))
    ports = {port: next(free) for port in PORTS.values()}
    for settings in homes.glob("*/regie.toml"):
        text = re.sub(r"\b7\d{3}\b", lambda found: str(ports.get(int(found[0]), found[0])), settings.read_text())
        text = re.sub(r'"[a-z]+:(\d+)"', r'"127.0.0.1:\1"', text.replace("http://witness:", "http://127.0.0.1:"))
        settings.write_text(text.replace("9464", str(next(free))))
    async with AsyncExitStack() as stack:
        for role in ("witness", "ledger", "pseudonyms", "gateway"):
            open_ = Home.open_witness if role == "witness" else Home.open
            served = await stack.enter_async_context(serving(open_(homes / role), [role]))
            async with asyncio.timeout(30):
                await served.ready()
        home = Home.open(homes / ZONNEVEEN.oin)
        agency = await stack.enter_async_context(Agency.open(home, ZONNEVEEN.oin))
        assert len((await agency.registry()).participants) == len(SMALL)


def test_the_ports_are_those_that_prometheus_and_the_image_know():
    exposed = re.search(r"^EXPOSE (.*)$", (FOLDER / "container" / "Containerfile").read_text(), re.MULTILINE)
    assert exposed
    assert set(map(int, exposed[1].split())) == {*PORTS.values(), HOMES["METRICS"]}
