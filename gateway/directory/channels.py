"""Connections to the operators: mutual TLS, and one clear sentence when it fails.

gRPC says "Socket closed" or "handshake failed" whatever went wrong, so the same handshake is done once more with the
standard library, which knows why.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime

import grpc
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from consent_ledger.clock import Clock, system_clock
from consent_ledger.errors import RegieError
from gateway.directory.authority import internal_name
from gateway.directory.certificates import KeyPair, RenewingChannel
from gateway.directory.identity import oin_of
from gateway.home import Home, Organisation, Role

os.environ.setdefault("GRPC_VERBOSITY", "NONE")
"""gRPC's core writes lines of its own about every failed handshake; people get one sentence, see ``explain``."""

MAX_MESSAGE = 16 * 1024 * 1024
"""Bytes of one message, both ways: 16 offers of the largest batch would be more, so Pull delivers what fits."""

UNREACHABLE: dict[str, str] = {
    "gateway": "GATEWAY_UNAVAILABLE",
    "pseudonyms": "EVALUATOR_UNAVAILABLE",
    "ledger": "LEDGER_UNAVAILABLE",
    "viewer": "GATEWAY_UNAVAILABLE",
}

_TIMEOUT = 3.0
_EXPIRED_ALERTS = ("CERTIFICATE_EXPIRED",)
_UNKNOWN_ALERTS = ("UNKNOWN_CA", "BAD_CERTIFICATE", "CERTIFICATE_UNKNOWN", "UNSUPPORTED_CERTIFICATE", "ACCESS_DENIED")
_PLAINTEXT = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "UNEXPECTED_MESSAGE")
_NAME_MISMATCH = 62  # X509_V_ERR_HOSTNAME_MISMATCH
_SERVER_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED
_SERVER_NOT_YET = 9  # X509_V_ERR_CERT_NOT_YET_VALID


def open_channel(home: Home, organisation: Organisation, role: Role) -> grpc.aio.Channel:
    """Return a channel to the operator of a role; the server must show that operator's certificate.

    A certificate of ours that is replaced on disk is shown from the next second on. Raises RegieError when this home
    has no address of the role, and HomeError when the organisation has no keys.
    """
    address, authority = _address(home, role), home.authority
    options = [
        ("grpc.ssl_target_name_override", internal_name(home.operators[role])),
        ("grpc.max_send_message_length", MAX_MESSAGE),
        ("grpc.max_receive_message_length", MAX_MESSAGE),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2000),
        # A channel of its own: gRPC would share connections, and with them the certificate, between organisations.
        ("grpc.use_local_subchannel_pool", 1),
    ]

    def opened(pair: KeyPair) -> grpc.aio.Channel:
        credentials = grpc.ssl_channel_credentials(authority, pair.key, pair.certificate)
        return grpc.aio.secure_channel(address, credentials, options=options)

    return RenewingChannel(organisation, opened)


def explain(home: Home, organisation: Organisation, role: Role, clock: Clock = system_clock) -> RegieError:
    """Return why calls of ``organisation`` to the operator of ``role`` fail, as one sentence that says what to do.

    Blocks for at most a few seconds: call it in a thread. Checks our own certificate first, then does the handshake.
    """
    return own_certificate(home, organisation, clock()) or _connection(home, organisation, role)


def _address(home: Home, role: Role) -> str:
    try:
        return home.addresses[role]
    except KeyError:
        raise RegieError(UNREACHABLE[role], f"this home has no address of the {role}: see regie.toml") from None


def own_certificate(home: Home, organisation: Organisation, now_ms: int) -> RegieError | None:
    """Say what is wrong with the certificate we show, as far as we can tell ourselves."""
    ours = x509.load_pem_x509_certificate(organisation.certificate)
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    if now > ours.not_valid_after_utc:
        day = ours.not_valid_after_utc.date().isoformat()
        return _unidentified(f"the certificate of organisation {organisation.oin} expired on {day}: request a new one")
    if now < ours.not_valid_before_utc:
        since = ours.not_valid_before_utc.isoformat()
        return _unidentified(
            f"the certificate of organisation {organisation.oin} is only valid from {since}: check this machine's clock"
        )
    try:
        oin = oin_of(ours)
    except RegieError as error:
        return error
    if oin != organisation.oin:
        return RegieError("PEER_MISMATCH", f"the certificate of organisation {organisation.oin} names OIN {oin}")
    try:
        ours.verify_directly_issued_by(x509.load_pem_x509_certificate(home.authority))
    except (ValueError, TypeError, InvalidSignature):
        return _unidentified(
            f"the certificate of organisation {organisation.oin} was not issued by the authority of this home, "
            "so the servers do not trust it"
        )
    return None


def _unidentified(text: str) -> RegieError:
    return RegieError("PEER_UNIDENTIFIED", text)


def _connection(home: Home, organisation: Organisation, role: Role) -> RegieError:
    address = _address(home, role)
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context(cadata=home.authority.decode("ascii"))
    context.load_cert_chain(organisation.folder / "tls.pem", organisation.folder / "tls.key")
    context.set_alpn_protocols(["h2"])
    where = f"the {role} at {address}"
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_TIMEOUT) as plain:
            return _handshake(context, plain, internal_name(home.operators[role]), role, where)
    except (ConnectionRefusedError, socket.gaierror):
        return RegieError(UNREACHABLE[role], f"nobody listens at {address}: is the {role} running?")
    except OSError as error:
        return RegieError(UNREACHABLE[role], f"{where} cannot be reached ({type(error).__name__})")


def _handshake(context: ssl.SSLContext, plain: socket.socket, name: str, role: Role, where: str) -> RegieError:
    try:
        secure = context.wrap_socket(plain, server_hostname=name)
    except ssl.SSLCertVerificationError as error:
        return _of_server_certificate(error, name, where)
    except (ssl.SSLEOFError, ConnectionResetError):  # before it saw who we are: a balancer with nobody behind it
        return RegieError(UNREACHABLE[role], f"{where} closes connections at once: is the {role} running behind it?")
    except ssl.SSLError as error:
        return _of_alert(error.reason or "", role, where)
    except TimeoutError:
        return RegieError(UNREACHABLE[role], f"{where} does not answer the TLS handshake: does it speak TLS?")
    with secure:
        return _after_handshake(secure, role, where)


def _after_handshake(secure: ssl.SSLSocket, role: Role, where: str) -> RegieError:
    """TLS 1.3: our side is done before the server looked at our certificate; its alert comes with a read."""
    try:
        if secure.recv(1):
            return RegieError(UNREACHABLE[role], f"{where} accepts our connection but gave no answer: try again later")
        return _unidentified(f"{where} closed the connection after it saw our certificate")
    except ssl.SSLError as error:
        return _of_alert(error.reason or "", role, where)
    except TimeoutError:
        return RegieError(UNREACHABLE[role], f"{where} does not answer the TLS handshake: does it speak TLS?")
    except OSError:
        return _unidentified(
            f"{where} broke the connection during the TLS handshake: it did not accept our certificate"
        )


def _of_server_certificate(error: ssl.SSLCertVerificationError, name: str, where: str) -> RegieError:
    oin = name.partition(".")[0]
    if error.verify_code == _NAME_MISMATCH:
        return RegieError(
            "PEER_MISMATCH",
            f"{where} shows a certificate of another organisation than its operator {oin}: not connected",
        )
    if error.verify_code == _SERVER_EXPIRED:
        return RegieError("PEER_UNIDENTIFIED", f"the certificate of {where} has expired: its operator must renew it")
    if error.verify_code == _SERVER_NOT_YET:
        return RegieError(
            "PEER_UNIDENTIFIED", f"the certificate of {where} is not valid yet: check this machine's clock"
        )
    return RegieError("PEER_UNKNOWN", f"{where} shows a certificate of an unknown authority: not connected")


def _of_alert(reason: str, role: Role, where: str) -> RegieError:
    if _names(reason, _PLAINTEXT):
        return RegieError(UNREACHABLE[role], f"{where} does not speak TLS: only encrypted connections are used")
    if _names(reason, _EXPIRED_ALERTS):
        return _unidentified(f"{where} refused our certificate: it finds it expired, so compare the clocks")
    if _names(reason, _UNKNOWN_ALERTS):
        return _unidentified(f"{where} refused our certificate: it does not trust the authority that issued it")
    return _unidentified(f"{where} refused the TLS connection ({reason or 'no reason given'})")


def _names(reason: str, alerts: Sequence[str]) -> bool:
    return any(alert in reason for alert in alerts)
