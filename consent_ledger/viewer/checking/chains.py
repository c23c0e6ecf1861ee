"""Parts of a resident's chains with the proofs that hold them, for the page and its program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from consent_ledger.log.errors import VerificationError
from consent_ledger.v1 import consents_pb2 as pb
from consent_ledger.viewer.checking.bundle import Bundle
from consent_ledger.viewer.checking.chain import ChainWalk, anchors
from consent_ledger.viewer.checking.proving import Proofs, collect
from consent_ledger.viewer.checking.trust import Trust

PART = 200
"""Links in one answer: some 200 kilobytes."""


class Chains(Proofs, Protocol):
    """What of ``viewer.port.Portal`` is needed."""

    async def chain(
        self, rows: Sequence[pb.Rows], purpose: str, *, limit: int = 100, before_index: int = 0
    ) -> pb.GetChainResponse:
        """Return the chains of events of one purpose, newest first."""
        ...


@dataclass(frozen=True, slots=True)
class ChainPart:
    """Some links of one chain, and the proofs of those that no other link vouches for."""

    chain: pb.Chain
    bundle: Bundle

    def checks(self, trust: Trust) -> bool:
        """Tell whether this part is as it should be, from its newest link down."""
        if self.bundle.verdict(trust) == "wrong":
            return False
        walk = ChainWalk(self.chain.subject, self.chain.newest_seq)
        try:
            walk.follow(self.chain.links, [each.receipt.index for each in self.bundle.entries])
            if not self.chain.next_before_index:
                walk.finish()
        except VerificationError:
            return False
        return True


async def chain_page(portal: Chains, row: pb.Rows, before_index: int = 0) -> ChainPart:
    """Return one part of the chain of a row with a single element; raises RegieError as ``Portal.chain``."""
    answer = await portal.chain([row], row.purpose, limit=PART, before_index=before_index)
    chain = answer.chains[0] if answer.chains else pb.Chain()
    bundle = Bundle(chains=[chain])
    await collect(bundle, portal, [row], anchors(chain.links, chain.subject), deciding=False)
    return ChainPart(chain, bundle)


def chain_of(rows: Sequence[pb.Rows], number: str) -> pb.Rows | None:
    """Return the row with this number, written in decimal; None when there is none."""
    if not (number.isascii() and number.isdigit() and len(number) < 4 and int(number) < len(rows)):
        return None
    return rows[int(number)]
