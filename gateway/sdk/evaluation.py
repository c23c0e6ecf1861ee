"""Blinded rows through both evaluators, with their proofs checked and their public values pinned."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import select
from sqlmodel import Field

from consent_ledger.errors import RegieError
from gateway.crypto import SUITE, rows, signatures
from gateway.crypto.group import Rng
from gateway.crypto.oprf import Domain
from gateway.database import Database, Stored, insert_into, table_of
from gateway.evaluator.messages import from_evaluation
from gateway.sdk.agency import Agency
from gateway.sdk.remote import patiently
from gateway.sdk.sealing import EPOCH
from gateway.v1 import evaluator_pb2

CHUNK = 1000
PATIENCE_SECONDS = 30.0
_ROLES = {"recipient": evaluator_pb2.ROLE_RECIPIENT, "ledger": evaluator_pb2.ROLE_LEDGER}


class PinnedKey(Stored, table=True):
    """The public value of an evaluator in a domain as first seen: another one later is refused."""

    __tablename__ = "pinned_key"
    domain: bytes = Field(primary_key=True)
    evaluator: str = Field(primary_key=True)
    public: bytes


_PINS = table_of(PinnedKey)


@dataclass(frozen=True, slots=True)
class Question:
    """What makes a request the same when it is asked again: its bytes, and where its blinding scalars come from."""

    request: bytes
    rng: Rng


class RowEvaluator:
    """Gets s1*s2*H(id) for rows of this agency's domains; nobody else learns who they are about."""

    def __init__(self, agency: Agency, database: Database, role: Literal["recipient", "ledger"]) -> None:
        """Pin in this database; a recipient asks in its own domains, a portal in the ledger's."""
        self._agency, self._database, self._role = agency, database, role

    async def domain(self, purpose: str) -> Domain:
        """Return the domain of a purpose."""
        agency = self._agency
        target = agency.oin if self._role == "recipient" else (await agency.registry()).operator("ledger").oin
        return Domain(self._role, target, purpose, EPOCH)

    async def request(self, purpose: str) -> bytes:
        """Return a new request for rows of a purpose; who asks it again as the same bytes is not charged again."""
        agency, domain, me = self._agency, await self.domain(purpose), await self._agency.me()
        return evaluator_pb2.RowRequest(
            version=1,
            suite=SUITE,
            request_id=agency.rng(16),
            caller=agency.oin,
            caller_key_id=me.key("sign").key_id,
            role=_ROLES[self._role],
            target=domain.target,
            purpose=purpose,
            epoch=domain.epoch,
            created_ms=agency.clock(),
        ).SerializeToString(deterministic=True)

    async def evaluate(
        self, purpose: str, messages: Sequence[bytes], question: Question | None = None, *, closing_scalar: int = 1
    ) -> list[bytes]:
        """Return the elements of 1..1000 identifier messages, in order: s1*s2*H(id), times ``closing_scalar``.

        Raises RegieError PROOF_INVALID or SIGNATURE_INVALID when an evaluator used another factor than it published, or
        publishes another one than before; QUOTA_EXCEEDED when the agency asks for more rows than it has people.
        """
        agency, domain = self._agency, await self.domain(purpose)
        asked = question or Question(await self.request(purpose), agency.rng)
        blinded = await asyncio.to_thread(rows.blind, messages, asked.rng, agency.workers)
        key = signatures.signing_key(agency.organisation.key("sign"))
        message = evaluator_pb2.EvaluateRowsRequest(
            request=asked.request,
            blinded=blinded.elements,
            signature=rows.sign_request(key, asked.request, blinded.elements),
        )
        answer = await patiently(lambda: agency.remote.evaluate_rows(message), PATIENCE_SECONDS, agency.pause)
        first, second = from_evaluation(answer.first), from_evaluation(answer.second)
        await self._pin(domain, first.key, second.key)
        return await asyncio.to_thread(
            rows.unblind, blinded, first, second, agency.workers, closing_scalar=closing_scalar
        )

    async def _pin(self, domain: Domain, first: rows.DomainKey, second: rows.DomainKey) -> None:
        registry = await self._agency.registry()
        encoded = domain.encode()
        query = select(_PINS).where(_PINS.c.domain == encoded)
        known = await self._database.run(lambda c: {row.evaluator: row.public for row in c.execute(query)})
        pins = []
        for role, key in (("gateway", first), ("pseudonyms", second)):
            signer = registry.operator(role).key("sign").public
            try:
                rows.verify_domain_key(signer, domain, key, known.get(role))
            except RegieError as error:
                raise RegieError(error.reason, f"the factor of role {role}: {error.message}", error.field) from None
            pins.append({"domain": encoded, "evaluator": role, "public": key.public_key})
        if not known:
            await self._database.run(lambda c: c.execute(insert_into(c, _PINS).on_conflict_do_nothing(), pins))
