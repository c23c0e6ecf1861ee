import datetime as dt
import ipaddress
import socket
import ssl
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from consent_ledger.errors import RegieError
from gateway.directory import authority

OIN = "00000099000000000001"
NOW = time.time_ns() // 1_000_000


@pytest.fixture(scope="module")
def ca():
    return authority.make_authority(NOW)


def subject(credentials, oid):
    return [
        a.value for a in x509.load_pem_x509_certificate(credentials.certificate).subject.get_attributes_for_oid(oid)
    ]


def test_the_oin_is_the_subjects_serial_number_and_not_the_certificates(ca):
    credentials = authority.issue(ca, OIN, "Voorbeeld Energie", NOW)
    assert subject(credentials, NameOID.SERIAL_NUMBER) == [OIN]
    assert subject(credentials, NameOID.ORGANIZATION_NAME) == ["Voorbeeld Energie"]
    assert subject(credentials, NameOID.COUNTRY_NAME) == ["NL"]
    assert x509.load_pem_x509_certificate(credentials.certificate).serial_number != int(OIN)


def test_names_of_the_operator(ca):
    certificate = x509.load_der_x509_certificate(authority.issue(ca, OIN, "Een", NOW).der)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", f"{OIN}.oin.regie.internal"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.IPv4Address("127.0.0.1")]


def test_validity_starts_thirty_days_ago_and_lasts_two_years(ca):
    certificate = x509.load_der_x509_certificate(authority.issue(ca, OIN, "Een", NOW).der)
    now = dt.datetime.fromtimestamp(NOW // 1000, dt.UTC)
    assert now - certificate.not_valid_before_utc == dt.timedelta(days=30)
    assert certificate.not_valid_after_utc - now == dt.timedelta(days=730)


def test_odd_certificates_can_be_made(ca):
    assert subject(authority.issue(ca, OIN, "Twee", NOW, serial_numbers=[OIN, OIN[::-1]]), NameOID.SERIAL_NUMBER) == [
        OIN,
        OIN[::-1],
    ]
    assert subject(authority.issue(ca, OIN, "Geen", NOW, serial_numbers=[]), NameOID.SERIAL_NUMBER) == []


def test_authority_survives_its_files(ca):
    again = authority.load_authority(ca.pem, ca.key_pem)
    assert authority.issue(again, OIN, "Een", NOW).certificate
    with pytest.raises(ValueError, match="not the P-256 key"):
        authority.load_authority(ca.pem, authority.make_authority(NOW).key_pem)


def handshake(tmp_path, server, client, trusted):
    """Do one mutual TLS handshake and one byte; returns the client's error, or None."""
    for name, credentials in (("server", server), ("client", client)):
        (tmp_path / f"{name}.pem").write_bytes(credentials.certificate + credentials.key)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=trusted.pem.decode())
    serving.verify_mode = ssl.CERT_REQUIRED
    serving.verify_flags |= ssl.VERIFY_X509_STRICT
    serving.load_cert_chain(tmp_path / "server.pem")
    calling = ssl.create_default_context(cadata=trusted.pem.decode())
    calling.verify_flags |= ssl.VERIFY_X509_STRICT
    calling.load_cert_chain(tmp_path / "client.pem")
    left, right = socket.socketpair()

    def serve():
        with left:
            try:
                with serving.wrap_socket(left, server_side=True) as tls:
                    tls.sendall(tls.recv(1))
            except (ssl.SSLError, OSError):
                return

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with right, calling.wrap_socket(right, server_hostname=authority.internal_name(OIN)) as tls:
            tls.sendall(b"x")
            assert tls.recv(1) == b"x"
    except (ssl.SSLError, OSError, AssertionError) as error:
        return error
    finally:
        thread.join()
    return None


def test_two_participants_trust_each_other_strictly(ca, tmp_path):
    one, two = authority.issue(ca, OIN, "Een", NOW), authority.issue(ca, OIN[:-1] + "2", "Twee", NOW)
    assert handshake(tmp_path, one, two, ca) is None


@pytest.mark.parametrize("odd", ["expired", "not yet", "foreign", "other name"])
def test_wrong_server_certificates_fail_the_handshake(ca, tmp_path, odd):
    day = dt.timedelta(days=1)
    server = {
        "expired": lambda: authority.issue(ca, OIN, "Een", NOW, valid_for=-day),
        "not yet": lambda: authority.issue(ca, OIN, "Een", NOW, valid_since=-day),
        "foreign": lambda: authority.issue(authority.make_authority(NOW), OIN, "Een", NOW),
        "other name": lambda: authority.issue(ca, OIN, "Een", NOW, dns_names=["localhost"]),
    }[odd]()
    error = handshake(tmp_path, server, authority.issue(ca, OIN, "Een", NOW), ca)
    assert isinstance(error, ssl.SSLCertVerificationError)


def test_key_of_a_participant_is_signed_by_its_certificate(ca):
    credentials = authority.issue(ca, OIN, "Een", NOW)
    signature = authority.sign_participant_key(credentials.key, OIN, 1, bytes(32))
    authority.verify_participant_key(credentials.der, OIN, 1, bytes(32), signature)
    other = authority.issue(ca, OIN, "Een", NOW)
    for wrong in (
        (credentials.der, OIN[:-1] + "2", 1, bytes(32), signature),
        (credentials.der, OIN, 2, bytes(32), signature),
        (credentials.der, OIN, 1, b"\x01" + bytes(31), signature),
        (other.der, OIN, 1, bytes(32), signature),
        (credentials.der, OIN, 1, bytes(32), signature[:-1]),
    ):
        with pytest.raises(RegieError, match="SIGNATURE_INVALID"):
            authority.verify_participant_key(*wrong)


def test_key_statement_is_the_one_of_the_contract():
    assert authority.key_statement("00000099000000000001", 2, b"abc") == (
        b"regie/s/key/v1" + b"\x00\x00\x00\x14" + b"00000099000000000001" + b"\x02" + b"\x00\x00\x00\x03abc"
    )


def test_an_rsa_certificate_signs_with_pss():
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.SERIAL_NUMBER, OIN)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    signature = key.sign(authority.key_statement(OIN, 1, bytes(32)), pss, hashes.SHA256())
    der = certificate.public_bytes(serialization.Encoding.DER)
    authority.verify_participant_key(der, OIN, 1, bytes(32), signature)
    with pytest.raises(RegieError):
        authority.verify_participant_key(der, OIN, 2, bytes(32), signature)
