"""An evaluator's secrets: its master, from which every domain has its own factor, and its signing key."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.crypto import oprf, rows, signatures
from gateway.crypto.oprf import Domain
from gateway.home import Organisation

MOST_DOMAINS = 4096
"""Domains whose factor is kept in memory; more are derived again."""


class EvaluatorKeys:
    """The secrets of T1 or T2. Thread-safe: group work runs in a pool."""

    def __init__(self, oin: str, master: bytes, signing: Ed25519PrivateKey) -> None:
        self.oin = oin
        self._master, self._signing = master, signing
        self._known: OrderedDict[Domain, tuple[int, rows.DomainKey]] = OrderedDict()
        self._lock = Lock()

    @classmethod
    def load(cls, organisation: Organisation) -> EvaluatorKeys:
        """Read them from the organisation's folder; raises HomeError."""
        return cls(organisation.oin, organisation.key("master"), signatures.signing_key(organisation.key("sign")))

    def factor(self, domain: Domain) -> int:
        """Return s_i,d."""
        return oprf.derive_factor(self._master, domain)

    def proven(self, domain: Domain) -> tuple[int, rows.DomainKey]:
        """Return s_i,d with S_i,d, signed by this evaluator."""
        with self._lock:
            known = self._known.get(domain)
        if known is None:
            factor = self.factor(domain)
            known = factor, rows.domain_key(self._signing, domain, factor)
            with self._lock:
                self._known[domain] = known
                if len(self._known) > MOST_DOMAINS:
                    self._known.popitem(last=False)
        return known
