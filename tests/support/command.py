"""Regie as its users meet it: the command `regie` in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REGIE = [str(Path(sys.executable).with_name("regie"))]


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines() if line.strip()]


@dataclass(frozen=True)
class Regie:
    """The command in one home."""

    home: Path

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*REGIE, *arguments, "--home", str(self.home)],
            stdout=options.get("stdout", subprocess.PIPE),
            stderr=options.get("stderr", subprocess.PIPE),
            stdin=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "NO_COLOR": "1", "PYTHONFAULTHANDLER": "1"},
        )

    def run(self, *arguments: str, timeout: float = 110) -> Result:
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        return Result(process.returncode, out, err)

    def ok(self, *arguments: str, timeout: float = 110) -> Result:
        result = self.run(*arguments, timeout=timeout)
        assert result.code == 0, f"regie {' '.join(arguments)} ended with {result.code}:\n{result.out}\n{result.err}"
        return result

    def json(self, *arguments: str, timeout: float = 110) -> Any:
        return self.ok(*arguments, "--json", timeout=timeout).json

    def directory(self) -> dict[str, list[str]]:
        """Participants by kind; needs a running town."""
        kinds: dict[str, list[str]] = {}
        for participant in self.json("directory", "list")["participants"]:
            kinds.setdefault(participant["kind"], []).append(participant["oin"])
        return kinds


@dataclass
class Server:
    process: subprocess.Popen[str]
    log: Path
    stopped: bool = field(default=False)

    def kill(self) -> None:
        """Kill -9, as a machine that loses power would."""
        self.process.kill()
        self.process.wait()
        self._ended()

    def stop(self) -> int:
        """Ask it to drain and end."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        self._ended()
        return code

    def _ended(self) -> None:
        self.stopped = True
        if self.process.stdout:
            self.process.stdout.close()


def serve(regie: Regie, *roles: str, log: Path | None = None) -> Server:
    """Start roles (default all) and return once they say they are ready."""
    log = log or regie.home / "serve.log"
    with log.open("a") as err:
        process = regie.start("serve", *(roles or ("all",)), "--json", stderr=err)
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        process.wait()
        raise AssertionError(f"regie serve ended with {process.returncode}:\n{log.read_text()[-2000:]}")
    assert json.loads(line).get("ready"), f"{line}\n{log.read_text()[-2000:]}"
    return Server(process, log)


@contextmanager
def served(regie: Regie, *roles: str) -> Iterator[Server]:
    server = serve(regie, *roles)
    try:
        yield server
    finally:
        if not server.stopped:
            code = server.process.poll()
            server.kill()
            # Whatever used it says no more than "connection refused"; why it is gone, only this says.
            assert code is None, f"regie serve ended by itself with {code}:\n{server.log.read_text()[-4000:]}"
