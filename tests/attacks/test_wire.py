"""Whatever bytes come over the wire from somebody with a certificate: a refusal that names the field, never a failure of ours."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consent_ledger.v1 import consents_pb2, decisions_pb2, log_pb2
from gateway.directory.authority import internal_name
from gateway.directory.channels import MAX_MESSAGE
from gateway.directory.identity import SERVED
from gateway.errors import DETAILS_KEY
from gateway.town.participants import AUDITOR, GATEWAY, LAMPJE, LEDGER, VIEWER
from gateway.v1 import directory_pb2, evaluator_pb2, exchange_pb2
from tests.support.command import Regie, served
from tests.support.generated import messages
from tests.support.servers import make_home

PULL = "/gateway.v1.ExchangeService/Pull"
FILES = (consents_pb2, decisions_pb2, log_pb2, directory_pb2, evaluator_pb2, exchange_pb2)
METHODS = {
    f"/{service.full_name}/{method.name}": method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
CALLS = [(role, name) for role, served_here in SERVED.items() for name in served_here]
KIND_OF = {"gateway": GATEWAY, "viewer": VIEWER, "auditor": AUDITOR, "ledger": LEDGER}
OURS = {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS, grpc.StatusCode.UNIMPLEMENTED}
"""What an answer to a message of somebody else may never be."""


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    home = make_home(tmp_path_factory.mktemp("wire") / "home")
    with served(Regie(home.folder), "witness", "ledger", "pseudonyms", "gateway"):
        yield home


@asynccontextmanager
async def calling(home, role, oin, *, limit=MAX_MESSAGE):
    """A channel of bytes, as somebody with another program would have."""
    organisation = home.organisation(oin)
    credentials = grpc.ssl_channel_credentials(home.authority, organisation.tls_key, organisation.certificate)
    options = [
        ("grpc.ssl_target_name_override", internal_name(home.operators[role])),
        ("grpc.max_send_message_length", limit),
        ("grpc.max_receive_message_length", -1),
    ]
    async with grpc.aio.secure_channel(home.addresses[role], credentials, options) as channel:
        yield channel


async def call(channel, method, body, **options):
    """The answer's bytes, or the failure."""
    ask = channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
    try:
        return await ask(body, timeout=5, **options)
    except grpc.aio.AioRpcError as error:
        return error


def said(error):
    """The reason and the fields at fault of a refusal."""
    status = status_pb2.Status()
    status.ParseFromString(dict(error.trailing_metadata())[DETAILS_KEY])
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info) or detail.Unpack(bad)
    return info.reason, [violation.field for violation in bad.field_violations]


def require_refusal(answer):
    """An answer that is a message, or a refusal with a reason of ours; a field of another form is named."""
    if isinstance(answer, bytes):
        return
    assert answer.code() not in OURS, (answer.code(), answer.details())
    reason, fields = said(answer)
    assert reason
    assert reason != "FIELD_INVALID" or fields or "the request cannot be read" in answer.details(), answer.details()


def run(town, role, method, body):
    kinds = SERVED[role][method]
    oin = LAMPJE.oin if "energy_supplier" in kinds else KIND_OF[min(kinds)].oin

    async def once():
        async with calling(town, role, oin) as channel:
            return await call(channel, method, body)

    return asyncio.run(once())


@pytest.mark.parametrize(("role", "method"), CALLS, ids=[f"{role}-{name.rpartition('/')[2]}" for role, name in CALLS])
def test_messages_made_from_the_contract_are_answered_or_refused_by_field(town, role, method):
    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(messages(METHODS[method].input_type))
    def any_message(message):
        require_refusal(run(town, role, method, message.SerializeToString()))

    any_message()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=300))
def test_bytes_of_any_kind_are_answered_or_refused(town, body):
    require_refusal(run(town, "gateway", PULL, body))


@pytest.mark.parametrize(
    "body",
    [b"\x0b" * 5_000, b"\x9b\x06" * 50_000, b"\x0a\x10cut", b"\x80" * 11, b"\xff" * 100],
    ids=["groups within groups", "unknown groups", "cut off", "a number without an end", "no tag"],
)
def test_what_is_no_message_is_refused_in_our_words(town, body):
    answer = run(town, "gateway", PULL, body)
    assert answer.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert said(answer)[0] == "FIELD_INVALID"
    assert "Decode" not in answer.details()


async def test_more_than_the_largest_message_is_refused_before_it_is_read(town):
    async with calling(town, "gateway", LAMPJE.oin, limit=-1) as channel:
        answer = await call(channel, PULL, bytes(MAX_MESSAGE + 1))
        assert answer.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await call(channel, PULL, b"") == b""


async def test_a_small_message_that_unpacks_to_a_large_one_is_refused(town):
    bomb = bytes(4 * MAX_MESSAGE)
    assert len(gzip.compress(bomb)) < MAX_MESSAGE // 100
    async with calling(town, "gateway", LAMPJE.oin, limit=-1) as channel:
        answer = await call(channel, PULL, bomb, compression=grpc.Compression.Gzip)
        assert answer.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await call(channel, PULL, b"") == b""


@pytest.mark.parametrize(
    "metadata",
    [
        [("traceparent", "00-" + "0" * 32 + "-" + "0" * 16 + "-01")],
        [("traceparent", "x" * 4000)],
        [("fsc-transaction-id", "../../etc/passwd")],
        [("x-forwarded-for", "127.0.0.1"), ("oin", GATEWAY.oin), ("x-ssl-client-s-dn", f"serialNumber={GATEWAY.oin}")],
        [("planted-bin", bytes(range(256)))],
        [("grpc-timeout", "1n")],
    ],
    ids=["zeros", "long", "path", "another organisation", "binary", "no time"],
)
async def test_what_stands_beside_a_message_changes_nothing(town, metadata):
    """Who calls is told by the certificate alone, and a trace that makes no sense is left out."""
    async with calling(town, "gateway", LAMPJE.oin) as channel:
        assert await call(channel, PULL, b"", metadata=metadata) == b""
        refused = await call(channel, "/gateway.v1.ExchangeService/GetCopy", b"", metadata=metadata)
        assert refused.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_headers_without_end_are_refused(town):
    async with calling(town, "gateway", LAMPJE.oin) as channel:
        much = [(f"x-{n}", "y" * 1000) for n in range(100)]
        answer = await call(channel, PULL, b"", metadata=much)
        assert answer.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await call(channel, PULL, b"") == b""


def address_of(town):
    host, _, port = town.addresses["gateway"].rpartition(":")
    return host, int(port)


def tls_of(town):
    """What somebody with a certificate and no gRPC would connect with."""
    organisation = town.organisation(LAMPJE.oin)
    context = ssl.create_default_context(cadata=town.authority.decode())
    context.check_hostname = False
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(organisation.folder / "tls.pem", organisation.folder / "tls.key")
    return context


def test_many_handshakes_at_once_end_nothing(town):
    """Handshakes meet in several threads of gRPC: what they share may not be swapped under them at each."""
    where, context = address_of(town), tls_of(town)

    def shake_hands(_):
        with socket.create_connection(where, timeout=10) as plain, context.wrap_socket(plain, server_hostname="x"):
            return True

    with ThreadPoolExecutor(8) as strangers:
        assert all(strangers.map(shake_hands, range(400)))
    assert run(town, "gateway", PULL, b"") == b""


def test_those_who_connect_and_say_nothing_do_not_keep_others_waiting(town):
    """A hundred connections, half of them through their handshake, and none that goes on."""
    where, context = address_of(town), tls_of(town)
    open_ = []
    try:
        for number in range(100):
            plain = socket.create_connection(where, timeout=10)
            open_.append(plain)
            if number % 2:
                secure = context.wrap_socket(plain, server_hostname="x")
                secure.send(b"PRI * HTTP/2.0\r\n")  # the beginning of the preface
                open_[-1] = secure
        assert run(town, "gateway", PULL, b"") == b""
    finally:
        for connection in open_:
            connection.close()


async def test_a_method_that_nobody_has_says_so_and_nothing_else(town):
    async with calling(town, "gateway", LAMPJE.oin) as channel:
        answer = await call(channel, "/gateway.v1.ExchangeService/../../Pull", b"")
        assert (answer.code(), answer.details()) == (grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
