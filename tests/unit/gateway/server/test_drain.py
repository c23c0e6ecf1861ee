"""Who stops says so first, serves until a balancer has noticed, finishes what is in flight, and only then is gone."""

import asyncio
from contextlib import AsyncExitStack

import grpc
import httpx2
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from consent_ledger.v1 import log_pb2, log_pb2_grpc
from gateway.directory.channels import open_channel
from gateway.server import serving
from gateway.settings import Settings
from gateway.town.participants import LAMPJE
from tests.support.servers import make_home

DRAINING = Settings(drain_seconds=1.0, directory_seconds=0.2)


@pytest.fixture
def home(tmp_path):
    return make_home(tmp_path / "home")


async def healthz(home):
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"http://{home.metrics['ledger']}/healthz")
        return answer.status_code, answer.json()["status"]


async def test_a_role_says_that_it_stops_and_serves_on_until_that_is_noticed(home):
    async with AsyncExitStack() as stack:
        channel = await stack.enter_async_context(open_channel(home, home.organisation(LAMPJE.oin), "ledger"))
        checked = health_pb2_grpc.HealthStub(channel)
        block = serving(home, ["witness", "ledger"], settings=DRAINING)
        await block.__aenter__()
        assert await healthz(home) == (200, "ok")
        watching = checked.Watch(health_pb2.HealthCheckRequest())
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.SERVING
        leaving = asyncio.create_task(block.__aexit__(None, None, None))
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await healthz(home) == (503, "draining")
        head = log_pb2_grpc.LogServiceStub(channel).GetCheckpoint
        assert (await head(log_pb2.GetCheckpointRequest(), timeout=5)).checkpoint
        assert not leaving.done()
        watching.cancel()
        await leaving
        with pytest.raises(grpc.aio.AioRpcError):
            await head(log_pb2.GetCheckpointRequest(), timeout=1)


async def test_nobody_waits_where_no_balancer_is(home):
    block = serving(home, ["witness", "ledger"], settings=Settings())
    await block.__aenter__()
    async with asyncio.timeout(DRAINING.grace_seconds + 10):
        await block.__aexit__(None, None, None)
