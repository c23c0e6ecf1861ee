"""Certificates of the organisations on this machine: whose they are, who issued them, and until when."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from gateway.directory.channels import own_certificate
from gateway.doctor.finding import Case, Finding, fail, ok, warn
from gateway.home import HomeError, Organisation

AREA = "certificates"
SOON = timedelta(days=30)
_RENEW = "request a new certificate from your issuer and put it in place of tls.pem; then start the role again"


def check_certificates(case: Case) -> Iterator[Finding]:
    """Look at the authority's certificate and at every organisation's."""
    now = datetime.fromtimestamp(case.clock() / 1000, UTC)
    try:
        authority = x509.load_pem_x509_certificate(case.home.authority)
    except (HomeError, ValueError):
        path = case.home.folder / "ca" / "ca.pem"
        yield fail(AREA, f"{path} is not there or is no certificate", "put the issuer's certificate there (PEM)")
        return
    if now > authority.not_valid_after_utc:
        what = f"the authority's certificate expired on {authority.not_valid_after_utc.date()}: nobody is trusted"
        yield fail(AREA, what, "put the issuer's new certificate in ca/ca.pem, at every participant")
    for organisation in case.organisations:
        yield _examine(case, organisation, now)


def _examine(case: Case, organisation: Organisation, now: datetime) -> Finding:
    oin = organisation.oin
    try:
        wrong = own_certificate(case.home, organisation, case.clock())
        certificate = x509.load_pem_x509_certificate(organisation.certificate)
    except HomeError as error:
        return fail(AREA, str(error), _RENEW)
    except ValueError:
        return fail(AREA, f"{organisation.folder / 'tls.pem'} is no certificate (PEM)", _RENEW)
    if wrong is not None:
        return fail(AREA, wrong.message, _RENEW)
    if not _is_pair(organisation, certificate):
        how = "put the key that the certificate was requested with in tls.key"
        return fail(AREA, f"the key of organisation {oin} is not the one of its certificate", how)
    until = certificate.not_valid_after_utc
    if until - now < SOON:
        return warn(AREA, f"the certificate of organisation {oin} expires on {until.date()}", _RENEW)
    return ok(AREA, f"the certificate of {oin} names it, is the authority's, and is valid until {until.date()}")


def _is_pair(organisation: Organisation, certificate: x509.Certificate) -> bool:
    try:
        key = serialization.load_pem_private_key(organisation.tls_key, None)
    except HomeError:
        return True  # its mode or absence is a finding about keys
    except (ValueError, TypeError):
        return False
    return key.public_key() == certificate.public_key()
