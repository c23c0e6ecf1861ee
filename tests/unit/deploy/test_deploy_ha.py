"""The three database machines: nothing that was answered may be lost, and nobody talks to them in the clear."""

from __future__ import annotations

import os
import re
import subprocess
from typing import Any

import pytest

from gateway.directory.authority import make_authority
from tests.support import tools
from tests.support.deploying import FOLDER, registry_hosts, variables
from tests.support.plainyaml import load

HA = FOLDER / "ha"
PATRONI: dict[str, Any] = load(HA / "patroni.yml")
SHARED: dict[str, Any] = PATRONI["bootstrap"]["dcs"]
NAMES = ("cluster.env", "node.env", "haproxy.env")


def test_what_is_answered_is_on_two_machines_and_only_they_may_lead():
    assert SHARED["synchronous_mode"] is True
    assert SHARED["synchronous_mode_strict"] is True
    assert SHARED["synchronous_node_count"] == 1
    assert SHARED["primary_start_timeout"] == 0
    assert SHARED["check_timeline"] is True
    assert "failsafe_mode" not in SHARED  # not tried here
    server = SHARED["postgresql"]["parameters"]
    assert server["synchronous_commit"] == "on"
    assert not {"fsync", "full_page_writes"} & set(server)  # on, unless somebody says otherwise
    assert SHARED["postgresql"]["use_pg_rewind"] is True
    assert "data-checksums" in PATRONI["bootstrap"]["initdb"]  # pg_rewind needs them


def test_no_copy_is_thrown_away_by_itself():
    assert SHARED["postgresql"]["remove_data_directory_on_rewind_failure"] is False
    assert SHARED["postgresql"]["remove_data_directory_on_diverged_timelines"] is False


def test_times_fit_one_another():
    assert SHARED["ttl"] >= 20, "Patroni's least"
    assert SHARED["loop_wait"] + 2 * SHARED["retry_timeout"] <= SHARED["ttl"]


def test_everybody_comes_over_tls_with_a_password():
    server = SHARED["postgresql"]["parameters"]
    assert server["ssl"] == "on"
    assert server["unix_socket_directories"] == ""
    for rule in SHARED["postgresql"]["pg_hba"]:
        assert re.fullmatch(r"hostssl (\S+) (\S+) all scram-sha-256", rule), rule
    ours = next(rule.split()[2] for rule in SHARED["postgresql"]["pg_hba"] if rule.startswith("hostssl regie "))
    assert set(ours.split(",")) == {"regie_owner", "regie_ledger", "regie_audit"}
    given = variables(HA / "cluster.env")
    for role in ("SUPERUSER", "REPLICATION", "REWIND"):
        assert given[f"PATRONI_{role}_SSLMODE"] == "verify-full"
        assert given[f"PATRONI_{role}_PASSWORD"].startswith("change-me-")


def test_only_who_has_a_certificate_writes_to_etcd():
    given = variables(HA / "cluster.env") | variables(HA / "node.env")
    assert given["ETCD_CLIENT_CERT_AUTH"] == given["ETCD_PEER_CLIENT_CERT_AUTH"] == "true"
    assert given["PATRONI_ETCD_PROTOCOL"] == "https"
    assert {given[name].split(":")[0] for name in given if name.startswith("ETCD_") and name.endswith("_URLS")} == {
        "https"
    }
    # Patroni 3.0.2 overwrites somebody else's lease over the v3 API (ADR 14).
    assert given["ETCD_ENABLE_V2"] == "true"
    assert not any(name.startswith("PATRONI_ETCD3_") for name in given)


def test_the_files_mean_the_same_three_machines():
    shared, own, proxy = (variables(HA / name) for name in NAMES)
    addresses = [f"10.0.0.{number}" for number in (1, 2, 3)]
    members = dict(one.split("=", 1) for one in shared["ETCD_INITIAL_CLUSTER"].split(","))
    assert members == {f"db{n}": f"https://{address}:2380" for n, address in enumerate(addresses, 1)}
    assert shared["PATRONI_ETCD_HOSTS"] == ",".join(f"{address}:2379" for address in addresses)
    assert own["ETCD_NAME"] == own["PATRONI_NAME"] == "db1"
    assert own["ETCD_INITIAL_ADVERTISE_PEER_URLS"] == members["db1"]
    for number, address in enumerate(addresses, 1):
        assert proxy[f"DB{number}"].split(":") == [address, own["PATRONI_POSTGRESQL_LISTEN"].split(":")[1]]
        assert proxy[f"DB{number}_REST"] == own["PATRONI_RESTAPI_LISTEN"].split(":")[1]


def test_the_proxy_goes_to_the_leader_only():
    text = (HA / "haproxy.cfg").read_text("utf-8")
    assert "option httpchk OPTIONS /primary" in text
    assert "on-marked-down shutdown-sessions" in text
    assert "verify required" in text
    used = set(re.findall(r"\$\{(\w+)\}", text))
    assert used == set(variables(HA / "haproxy.env"))
    assert len(re.findall(r"^ +server ", text, re.MULTILINE)) == 3


@pytest.mark.needs("haproxy")
@pytest.mark.parametrize(("old", "new", "good"), [("", "", True), ("on-marked-down", "on-market-down", False)])
def test_haproxy_reads_its_configuration(tmp_path, old, new, good):
    authority = tmp_path / "ca.crt"
    authority.write_bytes(make_authority(0).pem)
    copy = tmp_path / "haproxy.cfg"
    copy.write_text((HA / "haproxy.cfg").read_text("utf-8").replace(old, new))
    given = variables(HA / "haproxy.env") | {"DB_CA": str(authority), "PATH": os.environ["PATH"]}
    command = [tools.path("haproxy"), "-c", "-f", copy]
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode == 0) is good, done.stderr
    assert not good or "WARNING" not in done.stderr, done.stderr


def test_nothing_is_fetched_and_nothing_is_secret():
    for path in HA.iterdir():
        text = path.read_text("utf-8")
        assert registry_hosts(text) == []
        assert re.findall(r"PASSWORD=(?!change-me-)", text) == []
