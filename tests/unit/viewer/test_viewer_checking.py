"""checking/: what the server itself says of a bundle and of a chain; the browser's half is in tests/browser."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from consent_ledger.errors import RegieError
from consent_ledger.events import parse_leaf
from consent_ledger.log.errors import FormatError, NoteError, VerificationError
from consent_ledger.v1.consents_pb2 import Refuse, Withdraw
from consent_ledger.viewer.checking.bundle import Bundle, ProvenEntry, read_any
from consent_ledger.viewer.checking.chain import ChainWalk, anchors
from consent_ledger.viewer.checking.chains import chain_page
from consent_ledger.viewer.checking.proving import bundle_for
from consent_ledger.viewer.checking.trust import NOBODY, Trust
from tests.support.checking import HERE, TRUST, WITNESSES, LedgerProofs
from tests.support.ledger import ARREARS, CITY, SIGNER, SUPPLIER, Ledger, grant, scope, subject
from tests.support.portal import ANNA, BY_WEB, MemoryPortal


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    made = Ledger(tmp_path_factory.mktemp("checking") / "ledger.db")
    made.record("Anna", grant=grant())
    made.record("Ben", refuse=Refuse(scope=scope()))
    made.decide(["Anna"], 1)
    made.record("Anna", withdraw=Withdraw(scope=scope()))
    made.decide(["Anna"], 2)
    yield made
    made.close()


@pytest.fixture(scope="module")
def decided(ledger):
    return [index for index, event, _ in ledger.events() if event.WhichOneof("body") == "exchange_decided"]


async def test_a_bundle_has_what_decided_and_the_names(ledger, decided):
    bundle = await bundle_for(LedgerProofs(ledger), [], [decided[0]])
    kinds = [entry.event.WhichOneof("body") for entry in bundle.entries]
    assert kinds == ["exchange_decided", "consent_granted"]
    said = [parse_leaf(each.entry).public for each in bundle.public]
    assert {each.participant_registered.oin for each in said} - {""} == {SUPPLIER, CITY}
    assert {each.purpose_published.purpose.id for each in said} - {""} == {ARREARS}
    assert bundle.verdict(TRUST) == "ok"


async def test_every_number_of_witnesses(ledger, decided):
    for witnesses, expected in ((0, "later"), (1, "later"), (2, "ok"), (3, "ok")):
        bundle = await bundle_for(LedgerProofs(ledger, witnesses), [], decided)
        assert bundle.verdict(TRUST) == expected
        assert bundle.verdict(HERE) == "ok"
        assert bundle.verdict(NOBODY) == "wrong"


async def test_what_is_changed_is_wrong(ledger, decided):
    bundle = await bundle_for(LedgerProofs(ledger), [], decided)
    entry, public = bundle.entries[0], bundle.public[0]
    changed = bytes([entry.receipt.extra[0] ^ 1]) + entry.receipt.extra[1:]
    for other in (
        Bundle([replace(entry, receipt=replace(entry.receipt, extra=changed))], bundle.public),
        Bundle([replace(entry, receipt=replace(entry.receipt, index=entry.receipt.index + 1))], bundle.public),
        Bundle([replace(entry, private=entry.private + b"\x18\x01")], bundle.public),
        Bundle(bundle.entries, [replace(public, entry=public.entry + b"x")]),
        Bundle(bundle.entries, [replace(public, path=public.path[1:])]),
        Bundle([], bundle.public),
        replace(bundle, broken=True),
    ):
        assert other.verdict(TRUST) == "wrong"


async def test_a_proof_that_does_not_check_breaks_the_bundle_and_other_failures_go_through():
    class Failing:
        def __init__(self, reason):
            self.reason = reason

        async def proof(self, _rows, _index):
            raise RegieError(self.reason, "as the test wants it")

    for reason in ("PROOF_INVALID", "SIGNATURE_INVALID"):
        broken = await bundle_for(Failing(reason), [], [1])
        assert broken.verdict(TRUST) == "wrong"
        assert json.loads(broken.to_json())["entries"] == []
    for reason in ("LEDGER_UNAVAILABLE", "ENTRY_UNKNOWN"):
        with pytest.raises(RegieError, match="as the test"):
            await bundle_for(Failing(reason), [], [1])


async def test_files_are_read_as_they_were_written(ledger, decided):
    bundle = await bundle_for(LedgerProofs(ledger), [], decided)
    again = read_any(bundle.to_json())
    assert (again.entries, again.public) == (bundle.entries, bundle.public)
    proof = bundle.entries[0].receipt
    assert read_any(proof.format()).entries == [ProvenEntry(proof, b"")]
    assert "</script" not in bundle.to_json().replace("\\u003c", "")
    assert "<" not in bundle.to_json()
    values = json.loads(bundle.to_json())
    for wrong in (
        *("", "x", "{}", "{", "[]", "null", '{"format":"regie/bewijs@v1"}'),
        json.dumps({**values, "format": "regie/bewijs@v2"}),
        json.dumps({**values, "checkpoints": []}),
        json.dumps({**values, "entries": [{}]}),
        json.dumps({**values, "entries": {"a": 1}}),
        json.dumps({**values, "public": [{**values["public"][0], "index": "01"}]}),
        json.dumps({**values, "public": [{**values["public"][0], "entry": 7}]}),
    ):
        with pytest.raises(FormatError):
            read_any(wrong)


def walked(chain, proven=None) -> ChainWalk:
    walk = ChainWalk(chain.subject, chain.newest_seq)
    walk.follow(chain.links, anchors(chain.links, chain.subject) if proven is None else proven)
    walk.finish()
    return walk


def test_a_chain(ledger):
    proofs = LedgerProofs(ledger)
    chain = proofs.chain(subject("Anna"))
    newest = chain.links[0].log_index
    assert anchors(chain.links, chain.subject) == [newest]
    assert walked(chain).count == len(chain.links) >= 4
    with pytest.raises(VerificationError, match=f"expected a proof of entry {newest}"):
        walked(chain, [])


def test_every_hidden_entry_shows(ledger):
    proofs = LedgerProofs(ledger)
    for link in proofs.chain(subject("Anna")).links[1:]:
        proofs.hidden = {link.log_index}
        with pytest.raises(VerificationError, match="1 entries are missing"):
            walked(proofs.chain(subject("Anna")))


def test_links_of_others_out_of_order_or_changed(ledger):
    proofs = LedgerProofs(ledger)
    other = proofs.chain(subject("Ben"))
    for change, why in (
        (lambda chain: chain.links.sort(key=lambda link: link.log_index), "missing"),
        (lambda chain: chain.links[1].CopyFrom(other.links[0]), "is not of this chain"),
        (lambda chain: setattr(chain.links[1], "salt", bytes(32)), "is not the one that the next names"),
        (lambda chain: setattr(chain.links[1], "private_part", b"x"), "entry"),
        (lambda chain: setattr(chain, "newest_seq", chain.newest_seq - 1), "of the chain, got"),
    ):
        chain = proofs.chain(subject("Anna"))
        change(chain)
        with pytest.raises(VerificationError, match=why):
            walked(chain)


async def test_an_erasure_explains_the_gap_below_it():
    """And only below it: what comes after an erasure may not be missing."""
    portal = MemoryPortal()
    rows = await portal.rows(ANNA)
    for months in (3, 6):
        await portal.change(rows, BY_WEB, grant(months=months))
    await portal.erase(rows, BY_WEB)
    row = next(each for each in rows if each.purpose == ARREARS)
    part = await chain_page(portal, row)
    assert part.checks(HERE)
    walk = walked(part.chain)
    assert (walk.count, walk.erasure) == (1, True)
    await portal.change(rows, BY_WEB, grant(months=12))
    part = await chain_page(portal, row)
    assert part.checks(HERE)
    assert part.bundle.verdict(TRUST) == "later"
    del part.chain.links[0]
    with pytest.raises(VerificationError, match="missing"):
        walked(part.chain)
    portal.close()


def test_trust_is_checked_before_any_page_is_shown():
    assert Trust.of(f"{SIGNER.verifier.format()}\n", 1, [[WITNESSES[0].verifier.format()]]).needed == 1
    for wrong in (
        lambda: Trust(("x",)),
        lambda: Trust((SIGNER.verifier.format(),), 1),
        lambda: Trust((SIGNER.verifier.format(),), 1, ((SIGNER.verifier.format(),),)),
    ):
        with pytest.raises(NoteError):
            wrong()
