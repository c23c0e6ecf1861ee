"""Homes on disk and single servers with real certificates, without a ledger behind them."""

from __future__ import annotations

import shutil
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from consent_ledger.clock import system_clock
from consent_ledger.events import parse_leaf
from consent_ledger.registry import Registry
from consent_ledger.v1 import log_pb2
from consent_ledger.verify.snapshot import open_snapshot
from gateway.directory.authority import Credentials, issue, load_authority, make_authority
from gateway.directory.founding import found_home
from gateway.directory.identity import Identity
from gateway.directory.service import DirectoryService
from gateway.home import Home
from gateway.rpc import RoleServer
from gateway.telemetry import traces
from gateway.town.participants import TOWN
from gateway.v1 import directory_pb2, directory_pb2_grpc

DAY = timedelta(days=1)


def make_home(folder: Path, *, demo: bool = True, clock=system_clock) -> Home:
    return found_home(folder, TOWN, clock, demo=demo)


def entries_of(home: Home) -> list[bytes]:
    with open_snapshot(home.operator("ledger").data / "ledger.db") as snapshot:
        return [row.entry for rows in snapshot.rows(256) for row in rows]


def registry_of(home: Home) -> Registry:
    entries = entries_of(home)
    return Registry.fold([(index, parse_leaf(entry).public) for index, entry in enumerate(entries)])


def authority_of(home: Home):
    return load_authority(home.authority, (home.folder / "ca" / "ca.key").read_bytes())


def certificate(home: Home, oin: str, *, foreign: bool = False, **odd) -> Credentials:
    """A certificate of the home's authority, or of a foreign one; ``odd`` goes to ``issue``."""
    authority = make_authority(system_clock()) if foreign else authority_of(home)
    return issue(authority, oin, "Een organisatie", system_clock(), **odd)


def with_certificate(home: Home, oin: str, credentials: Credentials, folder: Path) -> Home:
    """A copy of the home, as seen by somebody who shows another certificate for this organisation."""
    shutil.copytree(home.folder, folder)
    for name, content in (("tls.pem", credentials.certificate), ("tls.key", credentials.key)):
        path = folder / "orgs" / oin / name
        path.unlink()
        path.touch(mode=0o600)
        path.write_bytes(content)
    return replace(home, folder=folder)


@asynccontextmanager
async def directory_server(home: Home, registry: Registry, *, provider=None):
    """The gateway's server with its directory only."""
    shell = RoleServer(home, "gateway", traces.Tracing(provider or traces.make_provider()), 0.5)
    answer = directory_pb2.GetDirectoryResponse(events=log_pb2.GetPublicEventsResponse(checkpoint="x"))
    directory_pb2_grpc.add_DirectoryServiceServicer_to_server(DirectoryService(lambda: answer), shell.server)
    await shell.start(Identity("gateway", lambda: registry), ["gateway.v1.DirectoryService"])
    await shell.set_serving(True)
    try:
        yield shell
    finally:
        await shell.stop()
