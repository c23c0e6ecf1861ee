"""Addresses and roles: before a start each address is free; of what runs, every role answers whom it should."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import grpc
import httpx2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from consent_ledger.errors import RegieError
from consent_ledger.log.keys import parse_verifiers
from consent_ledger.service.http import prefix_of
from gateway.directory.channels import explain, open_channel
from gateway.doctor.finding import Case, Finding, fail, ok, warn
from gateway.doctor.telemetry import metrics_here
from gateway.home import HomeError, Role
from gateway.rpc import is_free
from gateway.server import GRPC_ROLES

SECONDS = 5.0
_SERVER_ERRORS = 500


def check_free(case: Case) -> Iterator[Finding]:
    """Look, before anything was started, whether the addresses of this machine's roles can be had."""
    here = {organisation.oin for organisation in case.organisations}
    operator = {"log": "ledger", "desk": "viewer"}
    operators: dict[str, str] = {str(role): oin for role, oin in case.home.operators.items()}
    places: list[tuple[str, str, str]] = [(n, operator.get(n, n), at) for n, at in case.home.addresses.items()]
    places += [(f"metrics of the {role}", role, at) for role, at in metrics_here(case).items()]
    for name, role, address in places:
        if role != "witness" and operators.get(role) not in here:
            continue
        if is_free(address):
            yield ok("addresses", f"{address} is free for the {name}")
        else:
            how = f"stop what listens there, or give the {name} another address in regie.toml"
            yield fail("addresses", f"{address} of the {name} is in use or not of this machine", how)


async def check_roles(case: Case) -> list[Finding]:
    """Ask every role of the home how it is, over mutual TLS where it speaks gRPC."""
    asked = [_grpc(case, role) for role in GRPC_ROLES]
    asked += [_http(name, url, f"regie serve {role}") for name, role, url in _pages(case)]
    return list(await asyncio.gather(*asked))


async def _grpc(case: Case, role: Role) -> Finding:
    start = f"start it: regie serve {role}"
    try:
        channel = open_channel(case.home, case.asking(), role)
    except (RegieError, HomeError) as error:
        return fail("roles", str(error), "mend what it names, then run this again", reached=False)
    async with channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
        except (grpc.aio.AioRpcError, ValueError):
            why = await asyncio.to_thread(explain, case.home, case.asking(), role, case.clock)
            refused = why.reason.startswith("PEER_")
            how = "mend the certificate that it names, ours or the operator's" if refused else start
            return fail("roles", why.message, how, reached=refused)
    address = case.home.addresses[role]
    if answer.status == health_pb2.HealthCheckResponse.SERVING:
        return ok("roles", f"the {role} at {address} serves over mutual TLS")
    how = "read its log: a ledger waits for its witnesses, the others for a directory that verifies"
    return fail("roles", f"the {role} at {address} runs and does not serve", how, reached=False)


def _pages(case: Case) -> Iterator[tuple[str, str, str]]:
    """Yield what is served over HTTP: name, the role that serves it, and an address that answers."""
    addresses = case.home.addresses
    if "log" in addresses:
        prefix = prefix_of(parse_verifiers(case.home.log_verifier_key)[0].name)
        yield "public log", "ledger", f"http://{addresses['log']}{prefix}/checkpoint"
    served = (("viewer", "viewer"), ("desk", "viewer"), ("witness", "witness"), ("auditor", "auditor"))
    for name, role in served:
        # A console that asks for a certificate answers nobody without one: its metrics tell how it is.
        if name in addresses and not (name == "auditor" and case.home.auditor.get("tls")):
            yield name, role, f"http://{addresses[name]}/"


async def _http(name: str, url: str, start: str) -> Finding:
    try:
        async with httpx2.AsyncClient(timeout=SECONDS) as http:
            answer = await http.get(url)
    except httpx2.HTTPError as error:
        what = f"the {name} does not answer at {url} ({type(error).__name__})"
        return fail("roles", what, f"start it: {start}", reached=False)
    if answer.status_code >= _SERVER_ERRORS:
        return warn("roles", f"the {name} at {url} answers {answer.status_code}", "read its log: it says what fails")
    return ok("roles", f"the {name} answers at {url}")


def clock_urls(case: Case) -> dict[str, str]:
    """Return whom to ask for the time: whatever is served over HTTP."""
    pages = {name: url for name, _, url in _pages(case)}
    return pages | {role: f"http://{at}/healthz" for role, at in metrics_here(case).items()}
