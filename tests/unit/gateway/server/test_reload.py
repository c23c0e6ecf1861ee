"""A certificate that is replaced on disk is shown and used from then on, and no call is lost by it."""

import asyncio
import os
import socket
import ssl
from contextlib import asynccontextmanager

import grpc
import pytest
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.directory import certificates
from gateway.directory.authority import internal_name
from gateway.directory.certificates import KeyPair
from gateway.directory.channels import explain, open_channel
from gateway.town.participants import GATEWAY, LAMPJE
from gateway.v1 import directory_pb2, directory_pb2_grpc
from tests.support.servers import certificate, directory_server, make_home, registry_of


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(certificates, "LOOK_SECONDS", 0.0)
    return make_home(tmp_path / "home")


@pytest.fixture
def registry(home):
    return registry_of(home)


def put(home, oin, name, content):
    """Replace a file as programs that renew certificates do: a new one in its place."""
    path = home.organisation(oin).folder / name
    draft = path.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_bytes(content)
    draft.replace(path)


def renew(home, oin):
    """Replace certificate and key; return the certificate."""
    fresh = certificate(home, oin)
    put(home, oin, "tls.pem", fresh.certificate)
    put(home, oin, "tls.key", fresh.key)
    return fresh.certificate


def shown(home):
    """The certificate that a new connection to the gateway meets."""
    ours = home.organisation(LAMPJE.oin).folder
    context = ssl.create_default_context(cadata=home.authority.decode())
    context.load_cert_chain(ours / "tls.pem", ours / "tls.key")
    context.set_alpn_protocols(["h2"])
    host, _, port = home.addresses["gateway"].rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=internal_name(GATEWAY.oin)) as secure,
    ):
        return secure.getpeercert(binary_form=True)


def der(pem):
    return x509.load_pem_x509_certificate(pem).public_bytes(certificates.serialization.Encoding.DER)


async def ask(channel):
    return await directory_pb2_grpc.DirectoryServiceStub(channel).GetDirectory(
        directory_pb2.GetDirectoryRequest(), timeout=5
    )


async def test_a_server_shows_its_new_certificate_and_keeps_its_connections(home, registry):
    old = home.organisation(GATEWAY.oin).certificate
    async with (
        directory_server(home, registry),
        open_channel(home, home.organisation(LAMPJE.oin), "gateway") as channel,
    ):
        await ask(channel)
        assert await asyncio.to_thread(shown, home) == der(old)
        fresh = renew(home, GATEWAY.oin)
        assert await asyncio.to_thread(shown, home) == der(fresh) != der(old)
        await ask(channel)


async def test_grpc_is_given_a_certificate_only_when_there_is_another(home, registry, monkeypatch):
    """Each that it is given replaces its TLS context, which handshakes of other threads may be taking up just then."""
    given = []
    real = grpc.dynamic_ssl_server_credentials

    def recorded(first, current, **options):
        def noted():
            given.append(current())
            return given[-1]

        return real(first, noted, **options)

    monkeypatch.setattr(grpc, "dynamic_ssl_server_credentials", recorded)
    async with directory_server(home, registry):
        for _ in range(3):
            await asyncio.to_thread(shown, home)
        renew(home, GATEWAY.oin)
        for _ in range(3):
            await asyncio.to_thread(shown, home)
    assert len(given) == 6
    assert [number for number, config in enumerate(given) if config is not None] == [3]


async def test_a_pair_that_is_half_replaced_is_not_used(home, registry):
    old, fresh = home.organisation(GATEWAY.oin).certificate, certificate(home, GATEWAY.oin)
    async with directory_server(home, registry):
        put(home, GATEWAY.oin, "tls.pem", fresh.certificate)
        assert await asyncio.to_thread(shown, home) == der(old)
        put(home, GATEWAY.oin, "tls.key", fresh.key)
        assert await asyncio.to_thread(shown, home) == der(fresh.certificate)


@pytest.mark.parametrize("damage", [b"no certificate", b""])
def test_a_file_that_is_no_certificate_changes_nothing(home, damage):
    pair = KeyPair(home.organisation(LAMPJE.oin))
    before = pair.certificate, pair.key
    put(home, LAMPJE.oin, "tls.pem", damage)
    assert not pair.renewed()
    os.chmod(home.organisation(LAMPJE.oin).folder / "tls.key", 0o644)  # noqa: PTH101
    assert not pair.renewed()
    assert (pair.certificate, pair.key) == before
    os.chmod(home.organisation(LAMPJE.oin).folder / "tls.key", 0o600)  # noqa: PTH101
    renew(home, LAMPJE.oin)
    assert pair.renewed()
    assert not pair.renewed()


@asynccontextmanager
async def noting(home, registry):
    """The gateway's server, and which certificates its callers showed."""
    async with directory_server(home, registry) as shell:
        admit, seen = shell._identity.admit, []

        def note(method, context):
            seen.extend(context.auth_context()["x509_pem_cert"])
            admit(method, context)

        shell._identity.admit = note
        yield shell, seen


async def test_a_client_shows_its_new_certificate_and_loses_no_call(home, registry):
    ours = home.organisation(LAMPJE.oin)
    old = ours.certificate
    async with noting(home, registry) as (shell, seen), open_channel(home, ours, "gateway") as channel:
        stub = directory_pb2_grpc.DirectoryServiceStub(channel)  # made once, used before and after
        watching = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.SERVING
        await stub.GetDirectory(directory_pb2.GetDirectoryRequest(), timeout=5)
        fresh = renew(home, LAMPJE.oin)
        await stub.GetDirectory(directory_pb2.GetDirectoryRequest(), timeout=5)
        assert [x509.load_pem_x509_certificate(pem) for pem in seen[-2:]] == [
            x509.load_pem_x509_certificate(pem) for pem in (old, fresh)
        ]
        await shell.set_serving(False)  # the call that began before goes on over the old connection
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watching.cancel()


async def test_a_closed_channel_takes_its_older_ones_along(home, registry):
    ours = home.organisation(LAMPJE.oin)
    async with directory_server(home, registry):
        channel = open_channel(home, ours, "gateway")
        watching = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        await watching.read()
        renew(home, LAMPJE.oin)
        await ask(channel)
        await channel.close()
        with pytest.raises((asyncio.CancelledError, grpc.aio.AioRpcError)):
            await watching.read()


async def test_a_balancer_with_nobody_behind_it_is_not_taken_for_a_refusal(home):
    """Else senders would hold their certificate for refused, and give up what they have only to send again."""

    async def hang_up(_reader, writer):
        writer.close()

    host, _, port = home.addresses["gateway"].rpartition(":")
    server = await asyncio.start_server(hang_up, host, int(port))
    async with server:
        error = await asyncio.to_thread(explain, home, home.organisation(LAMPJE.oin), "gateway")
    assert (error.reason, error.status) == ("GATEWAY_UNAVAILABLE", "UNAVAILABLE")
    assert "is the gateway running behind it?" in error.message
