"""A town whose roles run twice each, in processes and homes of their own, behind the HAProxy that is shipped."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.directory.founding import free_ports
from gateway.home import Home
from tests.support import tools
from tests.support.command import Regie, Server, serve
from tests.support.postgres import OWNER, WRITER
from tests.support.postgres import Server as Postgres

SHIPPED = Path(__file__).parents[2] / "deploy" / "replicas" / "haproxy.cfg"
ROLES = ("ledger", "pseudonyms", "gateway", "viewer")
SERVED = (*ROLES, "log")
UP_SECONDS = 60
_SERVER = re.compile(r"server (\w+)-(\d) \S+:\d+ port \d+")


@dataclass
class Places:
    """Where everything listens: the balancer by service, each replica by service and number, its health by role."""

    balancer: dict[str, int] = field(default_factory=lambda: dict(zip(SERVED, free_ports(len(SERVED)), strict=True)))
    replicas: dict[tuple[str, int], int] = field(default_factory=dict)
    health: dict[tuple[str, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ports = iter(free_ports(2 * (len(SERVED) + len(ROLES) + 1)))
        for number in (1, 2):
            self.replicas |= {(service, number): next(ports) for service in (*SERVED, "desk")}
            self.health |= {(role, number): next(ports) for role in ROLES}


class Balancer:
    """The shipped configuration with the addresses of this machine."""

    def __init__(self, places: Places, folder: Path) -> None:
        self._places, self._socket = places, folder / "admin.sock"
        self.configuration = folder / "haproxy.cfg"
        self.configuration.write_text("".join(self._lines()), "utf-8")

    def _lines(self) -> Iterator[str]:
        section = ""
        for line in SHIPPED.read_text("utf-8").splitlines(keepends=True):
            section = line.split()[1] if line.startswith("listen ") else section
            if line.split()[:1] in (["user"], ["group"]):
                continue
            here = line.replace("/run/haproxy/admin.sock", str(self._socket))
            here = re.sub(r"bind :\d+", f"bind 127.0.0.1:{self._places.balancer.get(section)}", here)
            yield _SERVER.sub(lambda found, service=section: self._server(service, found[1], int(found[2])), here)

    def _server(self, service: str, role: str, number: int) -> str:
        port, health = self._places.replicas[service, number], self._places.health[role, number]
        return f"server {role}-{number} 127.0.0.1:{port} port {health}"

    @contextmanager
    def running(self) -> Iterator[None]:
        command = [tools.path("haproxy"), "-q", "-db", "-f", self.configuration]
        process = subprocess.Popen(command)
        try:
            while not self._socket.exists():
                assert process.poll() is None, "haproxy ended"
                time.sleep(0.01)
            yield
        finally:
            process.kill()
            process.wait()

    def states(self) -> dict[str, str]:
        """What the balancer thinks of each server: "gateway/gateway-1" -> "UP"."""
        with socket.socket(socket.AF_UNIX) as asked:
            asked.connect(str(self._socket))
            asked.sendall(b"show stat\n")
            answer = b"".join(iter(lambda: asked.recv(1 << 16), b"")).decode()
        head, *rows = (line.split(",") for line in answer.splitlines() if line)
        status = head.index("status")
        return {f"{row[0]}/{row[1]}": row[status] for row in rows if row[1] not in ("FRONTEND", "BACKEND")}

    def until_up(self, *names: str) -> None:
        """Wait until these (all, when none is named) are served to."""
        deadline, seen = time.monotonic() + UP_SECONDS, {}
        while time.monotonic() < deadline:
            try:
                seen = self.states()
            except OSError as error:
                seen = {"the balancer": type(error).__name__}
            if seen and all(seen.get(name) == "UP" for name in names or seen):
                return
            time.sleep(0.05)
        raise AssertionError(f"not up: {seen}")


@dataclass
class Replica:
    """One process of one role."""

    role: str
    number: int
    regie: Regie
    server: Server | None = None

    def start(self) -> None:
        self.server = serve(self.regie, self.role)

    def stop(self) -> int:
        assert self.server is not None
        return self.server.stop()

    @property
    def names(self) -> list[str]:
        """What the balancer calls it."""
        services = ("ledger", "log") if self.role == "ledger" else (self.role,)
        return [f"{service}/{self.role}-{self.number}" for service in services]


class Town:
    """A demo home whose addresses are the balancer's, and a copy of it for each replica."""

    def __init__(self, folder: Path, postgres: Postgres) -> None:
        self.places = Places()
        self.ledger_database = postgres.database()
        self.databases = {role: postgres.database(migrated=False) for role in ("gateway", "pseudonyms", "viewer")}
        self.regie = Regie(folder / "home")
        self.regie.ok("init", "--demo", "--ledger-database", postgres.uri(self.ledger_database, WRITER))
        self._postgres = postgres
        made = Home.open(self.regie.home)
        self.replicas = [self._replica(folder, made, role, number) for number in (1, 2) for role in ROLES]
        self._write(self.regie.home, made, {name: self.places.balancer[name] for name in SERVED}, {})
        self.home = Home.open(self.regie.home)
        self.balancer = Balancer(self.places, folder)

    def _replica(self, folder: Path, made: Home, role: str, number: int) -> Replica:
        home = folder / f"{role}-{number}"
        shutil.copytree(self.regie.home, home)
        listens = {"ledger": ("ledger", "log"), "viewer": ("viewer", "desk")}.get(role, (role,))
        ports = {name: self.places.balancer[name] for name in SERVED}
        ports |= {name: self.places.replicas[name, number] for name in listens}
        self._write(home, made, ports, {role: self.places.health[role, number]})
        shared = "".join(
            f'{name} = "{self._postgres.uri(database, OWNER)}"\n' for name, database in self.databases.items()
        )
        settings = home / "regie.toml"
        settings.write_text(f"{settings.read_text('utf-8')}\n[databases]\n{shared}", "utf-8")
        return Replica(role, number, Regie(home))

    def _write(self, home: Path, made: Home, ports: dict[str, int], health: dict[str, int]) -> None:
        """Give a home other addresses; pages are asked for at the balancer's."""
        text = (home / "regie.toml").read_text("utf-8")
        origin = f'origin = "http://{made.addresses["viewer"]}"'
        text = text.replace(origin, f'origin = "http://127.0.0.1:{self.places.balancer["viewer"]}"')
        for found, changed in ((made.addresses, ports), (made.metrics, health)):
            for name, port in changed.items():
                text = text.replace(f'{name} = "{found[name]}"', f'{name} = "127.0.0.1:{port}"')
        (home / "regie.toml").write_text(text, "utf-8")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the witness, every replica and the balancer."""
        with self.balancer.running(), ThreadPoolExecutor(len(self.replicas)) as pool:
            witness = serve(self.regie, "witness")
            try:
                list(pool.map(lambda replica: replica.start(), self.replicas))  # at once: some wait for others
                self.balancer.until_up()
                yield
            finally:
                for server in [witness, *(replica.server for replica in self.replicas if replica.server)]:
                    if not server.stopped:
                        server.kill()


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file as programs that renew certificates do: a new one in its place."""
    draft = path.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_bytes(content)
    os.replace(draft, path)  # noqa: PTH105
