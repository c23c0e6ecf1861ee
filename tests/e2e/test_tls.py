"""Every way a TLS connection is refused, with real certificates and servers, and what the client is told."""

import asyncio
import socket
from dataclasses import replace

import grpc
import pytest

from consent_ledger.errors import RegieError
from gateway.directory.channels import explain, open_channel
from gateway.directory.client import explained
from gateway.errors import from_rpc
from gateway.town.participants import GATEWAY, LAMPJE, LEDGER, ZONNEVEEN
from gateway.v1 import directory_pb2, directory_pb2_grpc, evaluator_pb2, evaluator_pb2_grpc
from tests.support.servers import DAY, certificate, directory_server, make_home, registry_of, with_certificate

OIN = LAMPJE.oin


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return make_home(tmp_path_factory.mktemp("tls") / "home")


@pytest.fixture(scope="module")
def registry(home):
    return registry_of(home)


async def ask(home, oin=OIN):
    """Call the gateway; the answer, or the refusal as an agency's program sees it."""
    organisation = home.organisation(oin)
    async with open_channel(home, organisation, "gateway") as channel:
        try:
            stub = directory_pb2_grpc.DirectoryServiceStub(channel)
            return await stub.GetDirectory(directory_pb2.GetDirectoryRequest(), timeout=5)
        except grpc.aio.AioRpcError as error:
            raise await explained(error, home, organisation, "gateway") from None


async def refusal(home, oin=OIN):
    with pytest.raises(RegieError) as caught:
        await ask(home, oin)
    return caught.value


async def test_a_participant_is_served(home, registry):
    async with directory_server(home, registry):
        assert (await ask(home)).events.checkpoint == "x"


async def test_own_expired_certificate_is_said_with_its_date(home, registry, tmp_path):
    expired = with_certificate(home, OIN, certificate(home, OIN, valid_for=-2 * DAY), tmp_path / "home")
    async with directory_server(home, registry):
        error = await refusal(expired)
    assert error.reason == "PEER_UNIDENTIFIED"
    assert f"certificate of organisation {OIN} expired on 20" in error.message


async def test_own_certificate_that_is_not_valid_yet(home, registry, tmp_path):
    early = with_certificate(home, OIN, certificate(home, OIN, valid_since=-2 * DAY), tmp_path / "home")
    async with directory_server(home, registry):
        error = await refusal(early)
    assert error.reason == "PEER_UNIDENTIFIED"
    assert "only valid from 20" in error.message


async def test_own_certificate_of_an_unknown_authority(home, registry, tmp_path):
    foreign = with_certificate(home, OIN, certificate(home, OIN, foreign=True), tmp_path / "home")
    async with directory_server(home, registry):
        error = await refusal(foreign)
    assert error.reason == "PEER_UNIDENTIFIED"
    assert "not issued by the authority of this home" in error.message


async def test_the_servers_alert_is_told_when_nothing_is_wrong_on_our_side(home, registry, tmp_path, monkeypatch):
    """The same two cases as the server sees them: here the client cannot tell by itself."""
    monkeypatch.setattr("gateway.directory.channels.own_certificate", lambda *_: None)
    foreign = with_certificate(home, OIN, certificate(home, OIN, foreign=True), tmp_path / "foreign")
    expired = with_certificate(home, OIN, certificate(home, OIN, valid_for=-DAY), tmp_path / "expired")
    async with directory_server(home, registry):
        for odd in (foreign, expired):
            error = await refusal(odd)
            assert error.reason == "PEER_UNIDENTIFIED"
            assert "our certificate" in error.message


async def test_server_with_the_certificate_of_another_operator(home, registry, tmp_path):
    wrong = with_certificate(home, GATEWAY.oin, certificate(home, LEDGER.oin), tmp_path / "home")
    async with directory_server(wrong, registry):
        error = await refusal(home)
    assert error.reason == "PEER_MISMATCH"
    assert f"another organisation than its operator {GATEWAY.oin}" in error.message


@pytest.mark.parametrize(
    ("odd", "text"),
    [
        ({"foreign": True}, "unknown authority"),
        ({"valid_for": -DAY}, "has expired"),
        ({"valid_since": -DAY}, "not valid yet"),
    ],
)
async def test_server_whose_certificate_does_not_hold(home, registry, tmp_path, odd, text):
    wrong = with_certificate(home, GATEWAY.oin, certificate(home, GATEWAY.oin, **odd), tmp_path / "home")
    async with directory_server(wrong, registry):
        error = await refusal(home)
    assert text in error.message
    assert "gateway at 127.0.0.1:" in error.message


async def test_server_that_speaks_plaintext(home):
    server = grpc.aio.server()
    server.add_insecure_port(home.addresses["gateway"])
    await server.start()
    try:
        error = await refusal(home)
    finally:
        await server.stop(0)
    assert error.reason == "GATEWAY_UNAVAILABLE"
    assert "does not speak TLS" in error.message


async def test_plaintext_client_gets_nothing(home, registry):
    async with (
        directory_server(home, registry),
        grpc.aio.insecure_channel(home.addresses["gateway"]) as channel,
    ):
        stub = directory_pb2_grpc.DirectoryServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetDirectory(directory_pb2.GetDirectoryRequest(), timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_client_without_a_certificate_gets_nothing(home, registry):
    credentials = grpc.ssl_channel_credentials(home.authority)
    options = [("grpc.ssl_target_name_override", f"{GATEWAY.oin}.oin.regie.internal")]
    async with (
        directory_server(home, registry),
        grpc.aio.secure_channel(home.addresses["gateway"], credentials, options) as channel,
    ):
        stub = directory_pb2_grpc.DirectoryServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetDirectory(directory_pb2.GetDirectoryRequest(), timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_nobody_listens(home):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    error = await refusal(replace(home, addresses={"gateway": address}))
    assert error.reason == "GATEWAY_UNAVAILABLE"
    assert error.message == f"nobody listens at {address}: is the gateway running?"


async def test_somebody_who_never_answers(home, monkeypatch):
    monkeypatch.setattr("gateway.directory.channels._TIMEOUT", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        away = replace(home, addresses={"gateway": f"127.0.0.1:{silent.getsockname()[1]}"})
        error = await asyncio.to_thread(explain, away, home.organisation(OIN), "gateway")
    assert error.reason == "GATEWAY_UNAVAILABLE"
    assert "does not answer the TLS handshake" in error.message


async def test_another_kind_of_organisation_is_refused_by_name(home, registry):
    """A perfect certificate, of an operator that has no business with this method."""
    async with (
        directory_server(home, registry) as shell,
        open_channel(home, home.organisation(LEDGER.oin), "gateway") as channel,
    ):
        stub = evaluator_pb2_grpc.EvaluatorServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.EvaluateRows(evaluator_pb2.EvaluateRowsRequest(), timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        shell._identity._served = {"/gateway.v1.DirectoryService/GetDirectory": frozenset({"municipality"})}
        error = await refusal(home)
        assert error.reason == "PEER_KIND_NOT_SERVED"
        assert error.status == "PERMISSION_DENIED"
        assert "energy_supplier" in error.message
        assert (await ask(home, ZONNEVEEN.oin)).events.checkpoint == "x"


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        ({"serial_numbers": []}, "PEER_UNIDENTIFIED"),
        ({"serial_numbers": [OIN, ZONNEVEEN.oin]}, "PEER_UNIDENTIFIED"),
        ({"serial_numbers": ["1234"]}, "PEER_UNIDENTIFIED"),
        ({"serial_numbers": [], "host": OIN}, "PEER_UNIDENTIFIED"),
        ({"serial_numbers": ["00000099000000009999"]}, "PEER_UNKNOWN"),
    ],
)
async def test_certificate_that_names_nobody_is_refused_by_the_server(home, registry, tmp_path, odd, reason):
    strange = with_certificate(home, OIN, certificate(home, OIN, **odd), tmp_path / "home")
    async with directory_server(home, registry), open_channel(strange, strange.organisation(OIN), "gateway") as channel:
        stub = directory_pb2_grpc.DirectoryServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetDirectory(directory_pb2.GetDirectoryRequest(), timeout=5)
    assert from_rpc(caught.value).reason == reason
