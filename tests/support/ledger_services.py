"""The ledger's services in one process, with a transparent crypto, and the calls that tests make to them."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.hashing import sha256
from consent_ledger.service.consent import ConsentService
from consent_ledger.service.decision import DecisionService
from consent_ledger.service.log import LogService
from consent_ledger.v1 import consents_pb2 as consents
from consent_ledger.v1 import decisions_pb2 as decisions
from tests.support.ledger import (
    ARREARS,
    CITY,
    GATEWAY,
    LEDGER,
    NOW,
    VIEWER,
    Ledger,
    change,
    element,
    grant,
    header,
    key_id,
    pull,
    sign,
)
from tests.support.ledger_crypto import FakeCrypto

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Context:
    def __init__(self, **metadata: str) -> None:
        self.metadata = tuple(metadata.items())

    def invocation_metadata(self):
        return self.metadata


class Services:
    def __init__(self, path) -> None:
        self.ledger = Ledger(path)
        self.crypto = FakeCrypto()
        self.caller = GATEWAY
        self.pool = ThreadPoolExecutor(2)
        parts = (self.ledger.sequencer, self.crypto, self.ledger.clock, self.pool, self.peer)
        self.decisions, self.consents = DecisionService(*parts), ConsentService(*parts)
        self.log = LogService(self.ledger.sequencer, self.pool, self.peer)

    def peer(self, _context):
        return self.ledger.sequencer.registry.participant(self.caller)

    async def decide(self, request, context=None):
        self.caller = GATEWAY
        return await self.decisions.Decide(request, context or Context())

    async def release(self, wanted, signature=None):
        self.caller = GATEWAY
        data = wanted.SerializeToString()
        signature = signature or sign(wanted.recipient, b"regie/s/pull/v1", sha256(data))
        signed = decisions.SignedPull(pull=data, signature=signature)
        return await self.decisions.Release(decisions.ReleaseRequest(pull=signed), Context())

    async def record(self, *changes):
        self.caller = VIEWER
        request = consents.RecordRequest(changes=changes)
        return request, await self.consents.Record(request, Context())

    async def show(self, person="anna", **fields):
        self.caller = VIEWER
        rows = [consents.Rows(purpose=ARREARS, elements=[element(person)])]
        return await self.consents.GetRecord(consents.GetRecordRequest(rows=rows, **fields), Context())


def request_for(people, head=None, **changes) -> decisions.DecideRequest:
    """A batch as a sender makes it: positions 0, 2, 4, ..."""
    head = head or header(count=len(people))
    data = head.SerializeToString()
    hh = FakeCrypto().header_hash(data)
    sealed = hh + b"".join((2 * n).to_bytes(2, "big") for n in range(len(people)))
    root = sha256(b"root")
    fields = {
        "header": data,
        "sealed_ledger": sealed,
        "root": root,
        "signature": sign(head.sender, b"regie/s/l/v1", hh, sha256(sealed), root),
        "evaluated": b"".join(element(person) for person in people),
    }
    return decisions.DecideRequest(**{**fields, **changes})


async def refused(awaitable) -> tuple[str, str]:
    with pytest.raises(RegieError) as caught:
        await awaitable
    return caught.value.reason, caught.value.field


def sign_key() -> bytes:
    return sha256(b"public", LEDGER.encode(), b"sign")


async def delivered(services, people=("anna",)):
    await services.record(*(change(10 + n, person, NOW, grant=grant()) for n, person in enumerate(people)))
    request = request_for(list(people))
    await services.decide(request)
    hh = FakeCrypto().header_hash(request.header)
    return hh, await services.release(pull(hh))


async def acknowledged(services, hh):
    """The recipient says that it has the batch."""
    said = decisions.Acknowledgement(header_hash=hh, time_ms=NOW, recipient=CITY, recipient_key_id=key_id(CITY, "sign"))
    data = said.SerializeToString()
    services.caller = GATEWAY
    request = decisions.AcknowledgeRequest(acknowledgement=data, signature=sign(CITY, b"regie/s/ack/v1", sha256(data)))
    await services.decisions.Acknowledge(request, Context())
    assert services.ledger.events()[-1][1].WhichOneof("body") == "exchange_acknowledged"
