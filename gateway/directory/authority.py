"""A development certificate authority, and the certificates of participants.

In production a participant's certificate comes from its own issuer (in the Netherlands PKIoverheid, which puts the OIN
in ``Subject.serialNumber`` too). This authority makes certificates of the same shape for `regie init` and for tests.
Every property that a service checks is a parameter, so that a test can make the expired, foreign and odd ones.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from consent_ledger.errors import RegieError
from consent_ledger.hashing import length_prefixed

VALID_SINCE = timedelta(days=30)
"""Certificates start in the past: a demo tells a story that began 16 days ago, and clocks differ between machines."""
VALID_FOR = timedelta(days=2 * 365)
AUTHORITY_VALID_FOR = timedelta(days=10 * 365)
KEY_LABEL = b"regie/s/key/v1"


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority with its private key; it exists in development homes only."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate (PEM)."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key (PKCS 8, PEM, not encrypted)."""
        return _private_pem(self.key)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What one participant shows and proves in a TLS handshake."""

    certificate: bytes
    key: bytes

    @property
    def der(self) -> bytes:
        """The certificate (DER), as it stands in the directory."""
        return x509.load_pem_x509_certificate(self.certificate).public_bytes(serialization.Encoding.DER)


def internal_name(oin: str) -> str:
    """Return the DNS name that clients expect of the operator with this OIN, whatever address it listens on."""
    return f"{oin}.oin.regie.internal"


def make_authority(now_ms: int, name: str = "Regie development authority") -> Authority:
    """Make an authority with a new P-256 key, valid from 30 days before ``now_ms`` (Unix milliseconds)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "NL"), x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _builder(subject, subject, key.public_key(), _validity(now_ms, VALID_SINCE, AUTHORITY_VALID_FOR))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = builder.add_extension(own, critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own),
        critical=False,
    )
    return Authority(builder.sign(key, hashes.SHA256()), key)


def load_authority(certificate: bytes, key: bytes) -> Authority:
    """Read an authority from its two PEM files; raises ValueError when they are not one P-256 pair."""
    private = serialization.load_pem_private_key(key, None)
    loaded = x509.load_pem_x509_certificate(certificate)
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != loaded.public_key():
        raise ValueError("the authority's key is not the P-256 key of its certificate")
    return Authority(loaded, private)


def issue(
    authority: Authority,
    oin: str,
    name: str,
    now_ms: int,
    *,
    host: str = "localhost",
    serial_numbers: Sequence[str] | None = None,
    dns_names: Sequence[str] | None = None,
    valid_since: timedelta = VALID_SINCE,
    valid_for: timedelta = VALID_FOR,
) -> Credentials:
    """Issue a certificate for client and server authentication, with a new P-256 key.

    Valid from ``valid_since`` before ``now_ms`` until ``valid_for`` after it (negative: expired already).
    ``serial_numbers`` replaces the one ``Subject.serialNumber`` that should be there, ``dns_names`` the subject
    alternative names. The certificate's own serial number is random and says nothing about the organisation.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    attributes = [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "NL"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, name),
        *(
            x509.NameAttribute(NameOID.SERIAL_NUMBER, number)
            for number in ([oin] if serial_numbers is None else serial_numbers)
        ),
        x509.NameAttribute(NameOID.COMMON_NAME, host),
    ]
    names = [host, internal_name(oin)] if dns_names is None else dns_names
    builder = _builder(
        x509.Name(attributes),
        authority.certificate.subject,
        key.public_key(),
        _validity(now_ms, valid_since, valid_for),
    )
    for extension, critical in _leaf_extensions(authority, key.public_key(), names):
        builder = builder.add_extension(extension, critical=critical)
    certificate = builder.sign(authority.key, hashes.SHA256())
    return Credentials(certificate.public_bytes(serialization.Encoding.PEM), _private_pem(key))


def key_statement(oin: str, usage: int, public: bytes) -> bytes:
    """Return what a participant's certificate key signs about its other keys (ParticipantKeyAdded in events.proto)."""
    return KEY_LABEL + length_prefixed(oin.encode("ascii")) + bytes([usage]) + length_prefixed(public)


def sign_participant_key(tls_key: bytes, oin: str, usage: int, public: bytes) -> bytes:
    """Sign a participant's key with the P-256 key of its certificate (PEM): ECDSA with SHA-256, DER."""
    private = serialization.load_pem_private_key(tls_key, None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise TypeError("the certificate key is not an elliptic-curve key")
    return private.sign(key_statement(oin, usage, public), ec.ECDSA(hashes.SHA256()))


def verify_participant_key(certificate: bytes, oin: str, usage: int, public: bytes, signature: bytes) -> None:
    """Check that the key of a certificate (DER) signed a participant's key; raises RegieError SIGNATURE_INVALID.

    ECDSA with SHA-256, or RSA-PSS with SHA-256 and a salt of the digest's length, by the kind of the certificate's key.
    """
    holder = x509.load_der_x509_certificate(certificate).public_key()
    statement = key_statement(oin, usage, public)
    try:
        if isinstance(holder, ec.EllipticCurvePublicKey):
            holder.verify(signature, statement, ec.ECDSA(hashes.SHA256()))
        elif isinstance(holder, rsa.RSAPublicKey):
            pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
            holder.verify(signature, statement, pss, hashes.SHA256())
        else:
            raise RegieError("SIGNATURE_INVALID", f"expected an EC or RSA certificate key for organisation {oin}")
    except InvalidSignature:
        raise RegieError(
            "SIGNATURE_INVALID",
            f"expected the key of organisation {oin} to be signed by the key of its certificate, got another signature",
        ) from None


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    validity: tuple[datetime, datetime],
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity[0])
        .not_valid_after(validity[1])
    )


def _validity(now_ms: int, since: timedelta, valid_for: timedelta) -> tuple[datetime, datetime]:
    now = datetime.fromtimestamp(now_ms // 1000, UTC)
    return now - since, now + valid_for


def _leaf_extensions(
    authority: Authority,
    public: ec.EllipticCurvePublicKey,
    dns_names: Sequence[str],
) -> list[tuple[x509.ExtensionType, bool]]:
    issuer = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    alternatives: list[x509.GeneralName] = [
        *(x509.DNSName(name) for name in dns_names),
        x509.IPAddress(ipaddress.IPv4Address("127.0.0.1")),
    ]
    return [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage(signs_certificates=False), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName(alternatives), False),
        (x509.SubjectKeyIdentifier.from_public_key(public), False),
        (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), False),
    ]


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
