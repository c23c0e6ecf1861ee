"""Three database machines as deploy/ha describes them, on loopback: etcd, Patroni and PostgreSQL each, and HAProxy.

The files of deploy/ha are used as they are, but for addresses and folders; every process of a machine runs in its folder,
by which it is found and killed. Nothing here waits for a time, only for a condition.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import shutil
import signal
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg

from consent_ledger.clock import system_clock
from consent_ledger.storage.migrations import migrate_postgres
from gateway.directory.authority import Authority, issue, make_authority
from gateway.directory.founding import free_ports
from tests.support import tools
from tests.support.deploying import FOLDER as DEPLOYED
from tests.support.deploying import variables

DEPLOY = DEPLOYED / "ha"
FOLDER = "/var/lib/regie-db"
DATABASE, OWNER, WRITER, READER = "regie", "regie_owner", "regie_ledger", "regie_audit"
NEEDED = ("patroni", "etcd", "haproxy", "postgres15")
_LOOK_SECONDS = 0.1
_START_SECONDS = 90


def until(seconds: float, condition: Callable[[], Any], what: str) -> Any:
    """Return what a condition gives once it holds; raises TimeoutError naming what did not come."""
    end, pause = monotonic() + seconds, threading.Event()
    while not (given := condition()):
        if monotonic() > end:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        pause.wait(_LOOK_SECONDS)
    return given


def _unprivileged() -> dict[str, Any]:
    """How to run programs that refuse to be root, or need not be."""
    return {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}


class Machine:
    """One of three: its folder, its ports, and whatever runs there."""

    def __init__(self, number: int, folder: Path, environment: dict[str, str]) -> None:
        """Describe a machine that is not started yet."""
        self.name = f"db{number}"
        self.folder = folder / self.name
        self._environment = environment
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def rest(self) -> int:
        """The port of Patroni's health checks."""
        return int(self._environment["PATRONI_RESTAPI_CONNECT_ADDRESS"].rpartition(":")[2])

    def prepare(self, authority: Authority) -> None:
        """Make its folders and its certificate."""
        tls = self.folder / "tls"
        tls.mkdir(parents=True)
        own = issue(authority, self.name, self.name, system_clock(), host=self.name, dns_names=[self.name, "localhost"])
        for name, content in (("ca.crt", authority.pem), ("node.crt", own.certificate), ("node.key", own.key)):
            (tls / name).write_bytes(content)
            (tls / name).chmod(0o600)
        shutil.copyfile(DEPLOY / "patroni.yml", self.folder / "patroni.yml")  # others may not see where the tests are
        if os.geteuid() == 0:
            for path in (self.folder, *self.folder.rglob("*")):
                shutil.chown(path, "nobody", "nogroup")

    def start(self) -> None:
        """Start etcd and Patroni, which starts PostgreSQL."""
        self._run("etcd", str(tools.path("etcd")), "--log-level=error")
        self._run("patroni", str(tools.path("patroni")), str(self.folder / "patroni.yml"))

    def _run(self, what: str, *command: str) -> None:
        with (self.folder / f"{what}.log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self._environment, stdout=log, stderr=log, **_unprivileged()
            )
        self._started[what] = process

    def processes(self) -> list[int]:
        """Return every process that has this folder, or one in it, as its own."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    if (entry / "cwd").readlink().is_relative_to(self.folder):
                        found.append(int(entry.name))
        return found

    def kill(self) -> None:
        """End everything of it with SIGKILL, as when it is cut off from its power."""
        self._signal(signal.SIGSTOP)  # so that nobody has time to notice that others are gone
        until(10, lambda: not self._signal(signal.SIGKILL), f"the end of {self.name}")
        for process in self._started.values():
            process.wait(10)
        self._started.clear()

    def freeze(self) -> None:
        """Stop Patroni and PostgreSQL where they are: their connections stay, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on, as if no time had passed."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals, *, but: int = 0) -> list[int]:
        """Send a signal to every process, and to those that they start meanwhile; returns their ids."""
        sent: list[int] = []
        while new := [pid for pid in self.processes() if pid not in (*sent, but)]:
            for pid in new:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            sent += new
        return sent

    def logs(self) -> str:
        """Return the end of what its programs said."""
        return "\n".join(path.read_text("utf-8", "replace")[-1500:] for path in sorted(self.folder.glob("*.log")))


class Cluster:
    """Three machines and the HAProxy beside the ledger."""

    def __init__(self, folder: Path) -> None:
        """Lay out folders, addresses, secrets and certificates; ``start`` begins."""
        self.folder = folder
        ports = iter(free_ports(13))
        authority = make_authority(system_clock())
        self._ca = folder / "ca.crt"
        self._ca.write_bytes(authority.pem)
        self._tls = ssl.create_default_context(cafile=str(self._ca))
        self._moved = {
            f"10.0.0.{number}:{port}": f"127.0.0.1:{next(ports)}"
            for number in (1, 2, 3)
            for port in (2379, 2380, 8008, 5432)
        }
        self._secrets = {f"change-me-{name}": secrets.token_hex(16) for name in ("superuser", "replication", "rewind")}
        self.machines = [Machine(number, folder, self._environment(number)) for number in (1, 2, 3)]
        for machine in self.machines:
            machine.prepare(authority)
        self._port = next(ports)
        self._haproxy: subprocess.Popen[bytes] | None = None
        self._passwords = {name: secrets.token_hex(16) for name in (OWNER, WRITER, READER)}
        self._passwords["postgres"] = self._secrets["change-me-superuser"]

    def _environment(self, number: int) -> dict[str, str]:
        own = {
            name: value.replace("10.0.0.1:", f"10.0.0.{number}:").replace("db1", f"db{number}")
            for name, value in variables(DEPLOY / "node.env").items()
        }
        given = variables(DEPLOY / "cluster.env") | own
        for old, new in (*self._moved.items(), *self._secrets.items(), (FOLDER, str(self.folder / f"db{number}"))):
            given = {name: value.replace(old, new) for name, value in given.items()}
        return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **given}

    # -- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start everything; on return three machines replicate and the ledger's database is there, with its schema."""
        for machine in self.machines:
            machine.start()
        self._start_haproxy()
        until(_START_SECONDS, self.whole, "three machines that replicate")
        passfile = self.folder / "pgpass"
        passfile.write_text("".join(f"*:*:*:{role}:{word}\n" for role, word in self._passwords.items()), "utf-8")
        passfile.chmod(0o600)
        for role in (OWNER, WRITER, READER):
            self.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{self._passwords[role]}'")
        self.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
        migrate_postgres(self.uri(DATABASE, OWNER), writers=[WRITER], readers=[READER])

    def _start_haproxy(self) -> None:
        given = {"DB_BIND": f"127.0.0.1:{self._port}", "DB_CA": str(self._ca)}
        for number in (1, 2, 3):
            given[f"DB{number}"] = self._moved[f"10.0.0.{number}:5432"]
            given[f"DB{number}_REST"] = self._moved[f"10.0.0.{number}:8008"].rpartition(":")[2]
        assert given.keys() == variables(DEPLOY / "haproxy.env").keys()
        with (self.folder / "haproxy.log").open("ab") as log:
            self._haproxy = subprocess.Popen(
                [tools.path("haproxy"), "-db", "-f", DEPLOY / "haproxy.cfg"],
                env={"PATH": os.environ["PATH"], **given},
                stdout=log,
                stderr=log,
            )

    def stop(self) -> None:
        """End every process; nothing of it is kept."""
        for machine in self.machines:
            machine.kill()
        if self._haproxy is not None:
            self._haproxy.kill()
            self._haproxy.wait(10)

    # -- asking it --------------------------------------------------------------------------------------------------

    def uri(self, database: str, role: str = WRITER) -> str:
        """Return the address of the database, through HAProxy, as one of its roles."""
        return (
            f"postgresql://{role}@127.0.0.1:{self._port}/{database}?sslmode=verify-full&sslrootcert={self._ca}"
            f"&passfile={self.folder / 'pgpass'}"
        )

    def execute(self, sql: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement as superuser at the leader and return its rows."""
        with psycopg.connect(self.uri(database, "postgres"), autocommit=True) as connection:
            cursor = connection.execute(sql)  # type: ignore[call-overload]  # text of the test
            return cursor.fetchall() if cursor.description else []

    def leader(self, *, but: Machine | None = None) -> Machine | None:
        """Return the machine that says it leads."""
        for machine in self.machines:
            if machine is not but and self._asked(machine, "/primary")[0] == http.client.OK:
                return machine
        return None

    def whole(self) -> bool:
        """Whether all three say the same: a leader, a synchronous standby and another, all on one timeline.

        A leader that slept says for a moment what it knew before.
        """
        said = [self._asked(machine, "/cluster")[1].get("members", []) for machine in self.machines]
        seen = {
            frozenset((one["name"], one["role"], one["state"], one.get("timeline")) for one in each) for each in said
        }
        if len(seen) != 1:
            return False
        (members,) = seen
        roles = sorted(role for _, role, state, _ in members if state in {"running", "streaming"})
        return roles == ["leader", "replica", "sync_standby"] and len({timeline for *_, timeline in members}) == 1

    def _asked(self, machine: Machine, path: str) -> tuple[int, dict[str, Any]]:
        """Return status and body of what a machine's Patroni says; (0, {}) when it does not."""
        with suppress(OSError, http.client.HTTPException, ValueError):
            client = http.client.HTTPSConnection("127.0.0.1", machine.rest, timeout=2, context=self._tls)
            try:
                client.request("GET", path)
                answer = client.getresponse()
                return answer.status, json.loads(answer.read())
            finally:
                client.close()
        return 0, {}

    def logs(self) -> str:
        """Return the end of what every machine said."""
        return "\n".join(f"-- {machine.name}\n{machine.logs()}" for machine in self.machines)


@contextmanager
def running(*, in_memory: bool = False) -> Iterator[Cluster]:
    """Run a cluster; everything of it is gone afterwards. ``in_memory``: where no disk is needed; figures need one."""
    folder = Path(tempfile.mkdtemp(prefix="regie-ha-", dir=_memory() if in_memory else None))
    try:
        folder.chmod(0o755)
        cluster = Cluster(folder)
        try:
            cluster.start()
            yield cluster
        except BaseException as error:
            error.add_note(cluster.logs())
            raise
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder)


def _memory() -> Path | None:
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and shutil.disk_usage(memory).free > 4 << 30 else None
