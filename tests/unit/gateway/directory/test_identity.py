from types import SimpleNamespace

import pytest
from cryptography import x509

from consent_ledger.clock import system_clock
from consent_ledger.errors import RegieError
from consent_ledger.registry import Participant
from gateway.directory.authority import issue, make_authority
from gateway.directory.identity import SERVED, Identity, oin_of, require_same

OIN = "00000099000000005001"
CA = make_authority(system_clock())


def certificate(**odd):
    return issue(CA, OIN, "Een", system_clock(), **odd).certificate


class Directory:
    def __init__(self, *participants):
        self.by_oin = {participant.oin: participant for participant in participants}

    def participant(self, oin):
        if oin not in self.by_oin:
            raise RegieError("PARTY_UNKNOWN", "unknown")
        return self.by_oin[oin]


def participant(kind="energy_supplier", **more):
    return Participant(OIN, kind, "Een", private_party=True, certificate=b"", **more)


def call(*pems):
    return SimpleNamespace(auth_context=lambda: {"x509_pem_cert": list(pems), "x509_common_name": [OIN.encode()]})


def reason(function, *arguments):
    with pytest.raises(RegieError) as caught:
        function(*arguments)
    return caught.value.reason


def test_the_oin_is_in_the_subject():
    assert oin_of(x509.load_pem_x509_certificate(certificate())) == OIN


@pytest.mark.parametrize(
    "numbers", [[], [OIN, OIN], ["0" * 19], ["0" * 21], ["0000009900000000500a"], [f" {OIN[:19]}"]]
)
def test_what_is_no_oin(numbers):
    assert reason(oin_of, x509.load_pem_x509_certificate(certificate(serial_numbers=numbers))) == "PEER_UNIDENTIFIED"


def test_digits_of_other_scripts_are_no_digits():
    subject = SimpleNamespace(get_attributes_for_oid=lambda _: [SimpleNamespace(value="٠" * 20)])
    assert reason(oin_of, SimpleNamespace(subject=subject)) == "PEER_UNIDENTIFIED"


def test_a_participant_is_named():
    directory = Directory(participant())
    assert Identity("gateway", lambda: directory).peer(call(certificate())) is directory.participant(OIN)


@pytest.mark.parametrize(
    ("context", "directory", "expected"),
    [
        (call(), Directory(participant()), "PEER_UNIDENTIFIED"),
        (call(b"no certificate"), Directory(participant()), "PEER_UNIDENTIFIED"),
        (call(certificate(serial_numbers=[])), Directory(participant()), "PEER_UNIDENTIFIED"),
        (call(certificate()), Directory(), "PEER_UNKNOWN"),
        (call(certificate()), Directory(participant(suspended=True)), "PEER_SUSPENDED"),
    ],
)
def test_who_is_not_served(context, directory, expected):
    identity = Identity("gateway", lambda: directory)
    assert reason(identity.peer, context) == expected
    assert reason(identity.admit, "/gateway.v1.ExchangeService/Pull", context) == expected


def test_a_suspension_counts_at_once():
    now = [Directory(participant())]
    identity = Identity("gateway", lambda: now[0])
    identity.peer(call(certificate()))
    now[0] = Directory(participant(suspended=True))
    assert reason(identity.peer, call(certificate())) == "PEER_SUSPENDED"


KINDS = ("energy_supplier", "tax_office", "municipality", "gateway", "pseudonyms", "ledger", "viewer", "auditor")


@pytest.mark.parametrize("role", SERVED)
@pytest.mark.parametrize("kind", KINDS)
def test_methods_serve_the_kinds_of_the_table_only(role, kind):
    identity = Identity(role, lambda: Directory(participant(kind)))
    for method, kinds in SERVED[role].items():
        if kind in kinds:
            identity.admit(method, call(certificate()))
        else:
            assert reason(identity.admit, method, call(certificate())) == "PEER_KIND_NOT_SERVED"


def test_the_table_says_what_the_design_says():
    decide, record = "/consent_ledger.v1.DecisionService/Decide", "/consent_ledger.v1.ConsentService/Record"
    assert SERVED["ledger"][decide] == {"gateway"}
    assert SERVED["ledger"][record] == {"viewer"}
    assert SERVED["pseudonyms"]["/gateway.v1.EvaluatorService/EvaluateSignals"] == {"gateway"}
    assert "gateway" not in SERVED["gateway"]["/gateway.v1.ExchangeService/SubmitBatch"]


def test_methods_outside_the_table_serve_nobody_but_health_does():
    identity = Identity("gateway", lambda: Directory(participant()))
    assert reason(identity.admit, "/gateway.v1.EvaluatorService/EvaluateSignals", call(certificate()))
    identity.admit("/grpc.health.v1.Health/Check", call(certificate()))


def test_a_message_speaks_for_its_caller_only():
    require_same(OIN, participant(), "header.sender")
    assert reason(require_same, OIN[::-1], participant(), "header.sender") == "PEER_MISMATCH"
