"""`regie serve` as a process: ready line, signals, exit codes."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from tests.support.servers import make_home


@pytest.fixture
def home(tmp_path):
    return make_home(tmp_path / "home")


def start(home, *roles, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", "serve", *roles, "--home", str(home.folder), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def ended(process, code):
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "Traceback" not in err
    return json.loads(out.splitlines()[-1])["error"] if out else None, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ready_then_stopped_by_a_signal(home, number):
    process = start(home, "all")
    ready = json.loads(process.stdout.readline())
    addresses = {role: home.addresses[role] for role in ready["addresses"]}
    served = (("pages", "viewer"), ("desk", "desk"), ("console", "auditor"))
    pages = {name: f"http://{home.addresses[role]}" for name, role in served}
    assert ready == {"ready": True, "addresses": addresses, **pages}
    assert set(ready["addresses"]) == {"witness", "ledger", "pseudonyms", "gateway", "viewer", "auditor"}
    process.send_signal(number)
    _, err = ended(process, 0)
    assert "ready: witness at 127.0.0.1:" in err
    assert f"pages for residents: {ready['pages']}\n" in err
    assert f"pages for the desk's staff: {ready['desk']} (log in as Noor (balie Zonneveen), Sam" in err
    assert f"the auditor's console: {ready['console']} (log in as Femke" in err
    for name in ("gateway.db-wal", "pseudonyms.db-wal"):
        assert not list(home.folder.glob(f"orgs/*/data/{name}"))


def test_a_signal_while_waiting_for_the_ledger(home):
    process = start(home, "gateway", "pseudonyms")
    while "listening" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGTERM)
    ended(process, 0)


def test_a_signal_while_the_ledger_waits_for_its_witness(home):
    process = start(home, "ledger")
    while "witness_failed" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGTERM)
    ended(process, 0)


def test_address_in_use(home):
    host, port = home.addresses["ledger"].split(":")
    with socket.socket() as taken:
        taken.bind((host, int(port)))
        taken.listen()
        error, err = ended(start(home, "all"), 2)
    assert "address is in use" in error["message"]
    assert err.count("\n") == 1


def test_second_writer_of_one_ledger(home):
    """Another address does not help: a ledger has one writer."""
    first = start(home, "witness", "ledger")
    first.stdout.readline()
    settings = home.folder / "regie.toml"
    text = settings.read_text().replace(home.addresses["ledger"], "127.0.0.1:19999")
    text = text.replace(home.addresses["log"], "127.0.0.1:19998")
    settings.write_text(text.replace(home.metrics["ledger"], "127.0.0.1:19997"))
    error, _ = ended(start(home, "ledger"), 3)
    assert error["reason"] == "LEDGER_UNAVAILABLE"
    first.send_signal(signal.SIGTERM)
    ended(first, 0)


def test_all_only_in_a_demo_home(tmp_path):
    error, _ = ended(start(make_home(tmp_path / "home", demo=False), "all"), 2)
    assert "not marked demo" in error["message"]


@pytest.mark.parametrize("role", ["auditors", "nonsense"])
def test_roles_that_are_none(home, role):
    error, _ = ended(start(home, role), 2)
    assert f"no role {role}" in error["message"]


def test_a_setting_that_cannot_be(home):
    error, _ = ended(start(home, "all", REGIE_LEASE_SECONDS="-1"), 2)
    assert "REGIE_LEASE_SECONDS" in error["message"]


def test_a_home_whose_key_others_may_read(home):
    key = home.operator("gateway").folder / "master.key"
    key.chmod(0o644)
    error, _ = ended(start(home, "all"), 2)
    assert "chmod 600" in error["message"]
