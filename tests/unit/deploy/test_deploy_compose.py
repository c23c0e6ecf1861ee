"""The compose file: a service for each role, a network for each edge, and nothing that a role may not have."""

from __future__ import annotations

import re

from tests.support.deploying import EDGES, FOLDER, METRICS, OUTSIDE, PORTS, SERVICES, registry_hosts, role_of
from tests.support.plainyaml import load

COMPOSE = load(FOLDER / "compose" / "compose.yaml")
ROLE = load(FOLDER / "compose" / "role.yaml")["services"]["role"]
ALL = COMPOSE["services"]
ROLES = {name: service for name, service in ALL.items() if service.get("command", [""])[0] == "serve"}


def test_every_role_is_a_service_of_its_own():
    assert set(ROLES) == SERVICES
    assert {name: service["command"] for name, service in ROLES.items()} == {
        name: ["serve", role_of(name)] for name in SERVICES
    }
    assert all(service["extends"] == {"file": "role.yaml", "service": "role"} for service in ROLES.values())
    assert set(ALL) - SERVICES == {"postgres", "migrate", "import"}


def test_nobody_is_root_or_writes_where_programs_are():
    for service in (ROLE, ALL["postgres"]):
        assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", service["user"])
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    assert not any(
        {"privileged", "cap_add", "user", "read_only", "pid", "network_mode"} & set(one) for one in ROLES.values()
    )
    # A tmpfs is noexec unless it is said otherwise, and libsodium is loaded from there.
    assert ROLE["tmpfs"] == ["/tmp:exec,nosuid,nodev,size=64m,mode=1777"]


def test_a_home_is_read_only_but_for_its_data_and_nobody_has_anothers():
    for name, service in ROLES.items():
        home, data = service["volumes"]
        assert home == f"./homes/{name}:/regie:ro"
        oin = f"${{REGIE_{name.upper()}_OIN:?}}"
        inside = "witness" if name == "witness" else f"orgs/{oin}/data"
        assert data == f"./homes/{name}/{inside}:/regie/{inside}"
    assert {name for name, service in ALL.items() if "secrets" in service} == {
        "postgres",
        "migrate",
        "import",
        "ledger",
    }
    assert ALL["ledger"]["secrets"] == ["ledger_pgpass"]
    assert all(secret["file"].startswith("./secrets/") for secret in COMPOSE["secrets"].values())


def test_there_is_a_network_for_each_edge_and_none_else():
    networks = COMPOSE["networks"]
    shared = {"published", "outside"}
    setup = {("migrate", "postgres"), ("import", "postgres")}
    edges = {tuple(name.split("-")) for name in networks if name not in shared}
    assert edges == EDGES | setup
    for asking, asked in edges:
        name = f"{asking}-{asked}"
        assert networks[name] == {"internal": True}
        assert {service for service, said in ALL.items() if name in said["networks"]} == {asking, asked}
    for name in shared:
        assert networks[name]["driver_opts"]["com.docker.network.bridge.enable_icc"] == "false"
    assert {name for name, service in ALL.items() if "outside" in service["networks"]} == OUTSIDE


def test_ports_are_of_this_machine_but_where_agencies_come():
    inside = {name: {int(port.rpartition(":")[2]) for port in service["ports"]} for name, service in ROLES.items()}
    served = {"ledger": {"ledger", "log"}, "witness": set(), "pseudonyms": set()}
    assert inside == {name: {METRICS, *(PORTS[one] for one in served.get(name, {name}))} for name in SERVICES}
    public = {port for service in ROLES.values() for port in service["ports"] if not port.startswith("127.0.0.1:")}
    assert public == {f"${{REGIE_PUBLIC:-127.0.0.1}}:{PORTS[name]}:{PORTS[name]}" for name in ("gateway", "ledger")}


def test_prometheus_finds_the_roles_where_they_are_published():
    assert COMPOSE["include"] == ["../observability/compose.yaml"]
    text = (FOLDER / "observability" / "prometheus.yml").read_text("utf-8")
    asked = dict(re.findall(r'targets: \["(127\.0\.0\.1:\d+)"\]\n\s+labels: \{role: (\w+)\}', text))
    published = {
        port.removesuffix(f":{METRICS}"): name
        for name, service in ROLES.items()
        for port in service["ports"]
        if port.endswith(f":{METRICS}")
    }
    assert asked
    assert asked.items() <= published.items()


def test_who_is_asked_starts_first():
    for name, service in ROLES.items():
        waits = set(service.get("depends_on", ()))
        assert waits == {asked for asking, asked in EDGES if asking == name}


def test_images_are_pinned():
    images = [service["image"] for service in (ROLE, ALL["postgres"])]
    assert all(re.search(r":(\$\{\w+:-)?(regie:)?\d+(\.\d+)+\}?$", image) for image in images)
    assert registry_hosts("\n".join(images)) == []
