"""Who is calling: peer certificate -> OIN -> participant -> may an organisation of this kind call this method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import grpc
from cryptography import x509
from cryptography.x509.oid import NameOID

from consent_ledger.errors import RegieError
from consent_ledger.registry import Participant, Registry

Context = grpc.aio.ServicerContext[Any, Any]

AGENCIES = frozenset({"energy_supplier", "tax_office", "municipality"})
EVERYBODY = AGENCIES | {"gateway", "pseudonyms", "ledger", "viewer", "auditor"}
_GATEWAY = frozenset({"gateway"})
_VIEWER = frozenset({"viewer"})

EXCHANGE = "/gateway.v1.ExchangeService/"
EVALUATOR = "/gateway.v1.EvaluatorService/"
DECISION = "/consent_ledger.v1.DecisionService/"
CONSENT = "/consent_ledger.v1.ConsentService/"
LOG = "/consent_ledger.v1.LogService/"

SERVED: Mapping[str, Mapping[str, frozenset[str]]] = {
    "gateway": {
        EXCHANGE + "SubmitBatch": AGENCIES,
        EXCHANGE + "Pull": AGENCIES,
        EXCHANGE + "Acknowledge": AGENCIES,
        EXCHANGE + "ReportOutcome": AGENCIES,
        EXCHANGE + "ReportUnresolved": AGENCIES,
        EXCHANGE + "GetCopy": _VIEWER,
        EXCHANGE + "DeclareSupport": AGENCIES,
        EXCHANGE + "ListTasks": AGENCIES,
        EXCHANGE + "ReportTask": AGENCIES,
        EVALUATOR + "EvaluateRows": AGENCIES | _VIEWER,
        "/gateway.v1.DirectoryService/GetDirectory": EVERYBODY,
    },
    "pseudonyms": {EVALUATOR + "EvaluateSignals": _GATEWAY, EVALUATOR + "EvaluateRows": _GATEWAY},
    "ledger": {
        DECISION + "Decide": _GATEWAY,
        DECISION + "Release": _GATEWAY,
        DECISION + "Acknowledge": _GATEWAY,
        DECISION + "ReportOutcome": _GATEWAY,
        DECISION + "DeclareSupport": _GATEWAY,
        DECISION + "ListTasks": _GATEWAY,
        DECISION + "ReportTask": _GATEWAY,
        CONSENT + "Record": _VIEWER,
        CONSENT + "GetRecord": _VIEWER,
        CONSENT + "PreviewErasure": _VIEWER,
        CONSENT + "Erase": _VIEWER,
        CONSENT + "GetEntry": _VIEWER,
        CONSENT + "GetProof": _VIEWER,
        CONSENT + "GetChain": _VIEWER,
        CONSENT + "OpenCopy": _VIEWER,
        CONSENT + "GetSummary": _VIEWER,
        CONSENT + "GetOthers": _VIEWER,
        LOG + "GetCheckpoint": EVERYBODY,
        LOG + "GetEntries": EVERYBODY,
        LOG + "GetInclusionProof": EVERYBODY,
        LOG + "GetConsistencyProof": EVERYBODY,
        LOG + "GetPublicEvents": EVERYBODY,
        LOG + "GetEvents": AGENCIES | {"ledger", "viewer", "auditor"},
        LOG + "RecordAccess": frozenset({"auditor"}),
    },
}
"""Which kinds of organisation may call which method of a role. A method that is not here serves nobody."""

OPEN_SERVICES = ("/grpc.health.v1.Health/", "/grpc.reflection.")
"""Say nothing about anybody; any certificate of the authority may call them."""


def oin_of(certificate: x509.Certificate) -> str:
    """Return the OIN in the certificate's Subject.serialNumber; raises RegieError PEER_UNIDENTIFIED.

    Exactly one such attribute, of 20 ASCII digits. The certificate's own serial number and the common name do not
    count: neither is what the issuer says about the organisation.
    """
    numbers = certificate.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
    if len(numbers) != 1:
        raise RegieError(
            "PEER_UNIDENTIFIED", f"expected one Subject.serialNumber with an OIN in the certificate, got {len(numbers)}"
        )
    value = numbers[0].value
    if not (isinstance(value, str) and len(value) == 20 and value.isascii() and value.isdigit()):
        raise RegieError("PEER_UNIDENTIFIED", "Subject.serialNumber of the certificate is not an OIN of 20 digits")
    return value


@lru_cache(maxsize=1024)
def _oin_of_pem(pem: bytes) -> str:
    try:
        return oin_of(x509.load_pem_x509_certificate(pem))
    except ValueError:
        raise RegieError("PEER_UNIDENTIFIED", "the certificate cannot be read") from None


class Identity:
    """Names the callers of one role's server, as the directory stands now."""

    def __init__(self, role: str, registry: Callable[[], Registry]) -> None:
        self._served = SERVED[role]
        self._registry = registry

    def peer(self, context: Context) -> Participant:
        """Return the calling participant; raises RegieError PEER_UNIDENTIFIED, PEER_UNKNOWN or PEER_SUSPENDED."""
        pems = list(context.auth_context().get("x509_pem_cert", ()))
        if len(pems) != 1:
            raise RegieError("PEER_UNIDENTIFIED", "the connection shows no certificate of an organisation")
        oin = _oin_of_pem(pems[0])
        try:
            participant = self._registry().participant(oin)
        except RegieError as error:
            if error.reason != "PARTY_UNKNOWN":
                raise
            raise RegieError("PEER_UNKNOWN", f"organisation {oin} is not in the directory of participants") from None
        if participant.suspended:
            raise RegieError("PEER_SUSPENDED", f"organisation {oin} is suspended")
        return participant

    def admit(self, method: str, context: Context) -> None:
        """Check that the caller is of a kind this method serves; raises RegieError PEER_KIND_NOT_SERVED and peer's."""
        if method.startswith(OPEN_SERVICES):
            return
        participant = self.peer(context)
        if participant.kind not in self._served.get(method, ()):
            raise RegieError(
                "PEER_KIND_NOT_SERVED",
                f"organisation {participant.oin} is of kind {participant.kind}, which may not call {method}",
            )


def require_same(claimed: str, participant: Participant, field: str) -> None:
    """Check that a message speaks for the organisation that sends it; raises RegieError PEER_MISMATCH."""
    if claimed != participant.oin:
        raise RegieError(
            "PEER_MISMATCH", f"expected {field} to be the caller {participant.oin}, got another organisation", field
        )
