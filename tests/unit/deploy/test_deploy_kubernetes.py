"""The manifests: a workload for each role, policies that draw exactly the allowed edges, and hardened pods."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.deploying import EDGES, FOLDER, METRICS, OUTSIDE, PORTS, SERVICES, keys_of, registry_hosts, role_of
from tests.support.plainyaml import load, load_all

BASE, DEMO = FOLDER / "kubernetes" / "base", FOLDER / "kubernetes" / "overlays" / "demo"
COMPONENT = "app.kubernetes.io/component"
AGENCIES, INGRESS, STAFF, MONITORING = ("agencies", "ingress", "staff", "monitoring")
FROM_OUTSIDE = {
    ("ledger", AGENCIES, PORTS["ledger"]),
    ("gateway", AGENCIES, PORTS["gateway"]),
    ("ledger", INGRESS, PORTS["log"]),
    *((name, INGRESS, PORTS[name]) for name in ("viewer", "auditor", "witness")),
    ("desk", STAFF, PORTS["desk"]),
    *((name, MONITORING, METRICS) for name in SERVICES),
}


def resources(folder: Path):
    """Yield every document that a kustomization leads to."""
    for name in load(folder / "kustomization.yaml")["resources"]:
        path = (folder / name).resolve()
        yield from resources(path) if path.is_dir() else load_all(path)


EVERYTHING = list(resources(DEMO))
SETS = {one["metadata"]["name"]: one for one in EVERYTHING if one["kind"] == "StatefulSet"}
POLICIES = {one["metadata"]["name"]: one["spec"] for one in EVERYTHING if one["kind"] == "NetworkPolicy"}


def pod(name):
    return SETS[name]["spec"]["template"]["spec"]


def containers(name):
    return [*pod(name).get("initContainers", ()), *pod(name)["containers"]]


def peers(rules, side):
    """Return the pods and the namespaces that rules name, each with a port."""
    pods, namespaces = set(), set()
    for rule in rules:
        for peer in rule[side]:
            for port in rule["ports"]:
                if "podSelector" in peer:
                    pods.add((peer["podSelector"]["matchLabels"][COMPONENT], port["port"]))
                elif "namespaceSelector" in peer:
                    ((label, _),) = peer["namespaceSelector"]["matchLabels"].items()
                    namespaces.add((label.removeprefix("regie/"), port["port"]))
    return pods, namespaces


def test_every_role_has_a_workload_a_service_a_budget_and_a_policy():
    assert set(SETS) == {*SERVICES, "postgres"}
    for name in SERVICES:
        kinds = [one["kind"] for one in load_all(BASE / name / f"{name}.yaml")]
        assert kinds == ["StatefulSet", "Service", "PodDisruptionBudget"]
        (container,) = pod(name)["containers"]
        assert container["args"] == ["serve", role_of(name)]
        assert SETS[name]["metadata"]["labels"][COMPONENT] == name
    assert set(POLICIES) == {*SERVICES, "postgres", "deny"}
    assert POLICIES["deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize("name", sorted({*SERVICES, "postgres"}))
def test_pods_are_nobody_and_write_nowhere_but_to_their_volumes(name):
    context = pod(name)["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] > 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod(name)["automountServiceAccountToken"] is False
    for container in containers(name):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod(name))
    assert not any("hostPath" in volume for volume in pod(name)["volumes"])


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_probes_ask_whether_it_serves_and_do_not_kill_who_waits(name):
    (container,) = pod(name)["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports["metrics"] == METRICS
    asked = {probe: container[probe]["httpGet"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert asked["startupProbe"] == asked["readinessProbe"] == {"path": "/healthz", "port": "metrics"}
    assert asked["livenessProbe"] == {"path": "/metrics", "port": "metrics"}
    listens = {"ledger": {"ledger", "log"}}.get(name, {name})
    assert {port: ports[port] for port in listens} == {port: PORTS[port] for port in listens}
    assert set(ports) == {*listens, "metrics"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_pod_is_given_its_own_keys_by_file_and_no_others(name):
    volumes = {volume["name"]: volume for volume in pod(name)["volumes"]}
    secret = volumes["keys"]["secret"]
    assert secret["secretName"] == f"{name}-keys"
    assert secret["defaultMode"] == 0o440
    assert {item["path"] for item in secret["items"]} == {
        *(f"{key}.key" for key in keys_of(name)),
        *(["pgpass"] if name == "ledger" else []),
    }
    assert [volume["secret"]["secretName"] for volume in volumes.values() if "secret" in volume] == [f"{name}-keys"]
    assert not any("secretKeyRef" in str(container) for container in containers(name))
    home, serving = containers(name)
    assert "umask 077" in home["command"][2]
    assert {mount["name"] for mount in serving["volumeMounts"]} == {"home", "data", "tmp"}


def test_policies_draw_exactly_the_edges():
    reached, reaching, outside = set(), set(), set()
    for name in {*SERVICES, "postgres"}:
        policy = POLICIES[name]
        assert policy["podSelector"] == {"matchLabels": {COMPONENT: name}}
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        pods, namespaces = peers(policy["ingress"], "from")
        reached |= {(asking, name, port) for asking, port in pods}
        outside |= {(name, where, port) for where, port in namespaces}
        pods, namespaces = peers(policy["egress"], "to")
        reaching |= {(name, asked, port) for asked, port in pods}
        assert namespaces <= {("kubernetes.io/metadata.name", 53)}
    drawn = {(asking, asked, {**PORTS, "postgres": 5432}[asked]) for asking, asked in EDGES}
    assert reached == drawn
    assert reaching == drawn
    assert outside == FROM_OUTSIDE


def test_only_who_asks_an_identity_provider_gets_out():
    for name, policy in POLICIES.items():
        blocks = [peer["ipBlock"] for rule in policy.get("egress", ()) for peer in rule["to"] if "ipBlock" in peer]
        assert bool(blocks) == (name in OUTSIDE)
        assert all("10.0.0.0/8" in block["except"] for block in blocks)


def test_only_what_shares_a_database_is_there_more_than_once():
    base = {name: load_all(BASE / name / f"{name}.yaml")[0]["spec"]["replicas"] for name in SERVICES}
    assert {name for name, count in base.items() if count > 1} == {"ledger"}
    budgets = [one for one in EVERYTHING if one["kind"] == "PodDisruptionBudget"]
    assert {one["metadata"]["name"] for one in budgets} == SERVICES
    assert all(one["spec"]["maxUnavailable"] == 1 for one in budgets)


def test_images_are_pinned_and_come_from_no_named_host():
    kustomization = load(DEMO / "kustomization.yaml")
    (image,) = kustomization["images"]
    images = {container["image"] for name in SETS for container in containers(name)}
    assert images == {"regie", "postgres:18.1"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", image["newTag"])
    assert registry_hosts("\n".join([*images, image["newName"]])) == []
