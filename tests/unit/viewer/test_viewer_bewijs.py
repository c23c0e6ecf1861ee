"""The proof page and its files: what they hold verifies without us."""

from __future__ import annotations

import json

import pytest
from starlette.testclient import TestClient

from consent_ledger.log.errors import VerificationError
from consent_ledger.verify.receipt import verify_receipt
from tests.support.ledger import SIGNER
from tests.support.pages import Page
from tests.support.portal import BEN
from tests.support.portal_story import StoryPortal, lively
from tests.support.viewer import ORIGIN


@pytest.fixture
async def portal() -> StoryPortal:
    return await lively()


def _path(number: int, file: str = "") -> str:
    return f"/nl/mijn/uitwisselingen/{number}/bewijs{file}"


@pytest.mark.parametrize("name", ["shared", "no_consent", "asked", "shared_by", "withdrawal", "no"])
def test_every_entry_has_a_proof_that_verifies(client: TestClient, portal: StoryPortal, name: str):
    number = portal.story[name]
    answer = client.get(_path(number, "/tlog-proof"))
    assert answer.headers["content-disposition"] == f'attachment; filename="regie-bewijs-{number}.tlog-proof"'
    assert answer.headers["cache-control"] == "no-store"
    verified = verify_receipt(answer.text, SIGNER.verifier.format())
    assert verified.index == number
    page = Page(client.get(_path(number)).text)
    assert verified.leaf_hash.hex() in page.words
    assert (str(number), "number", str(number)) in page.facts


def test_a_changed_file_does_not_verify(client: TestClient, portal: StoryPortal):
    text = client.get(_path(portal.story["shared"], "/tlog-proof")).text
    changed = text.replace(f"index {portal.story['shared']}", f"index {portal.story['shared'] - 1}")
    with pytest.raises(VerificationError):
        verify_receipt(changed, SIGNER.verifier.format())


def test_the_file_with_names_holds_everything_the_words_rest_on(client: TestClient, portal: StoryPortal):
    found = json.loads(client.get(_path(portal.story["shared"], "/json")).text)
    entries = {int(each["index"]) for each in found["entries"]}
    assert {portal.story["shared"], portal.story["shared_by"], portal.story["shared"] + 1} <= entries
    assert len(found["public"]) == 3, "two organisations and a purpose"


@pytest.mark.parametrize("file", ["/tlog-proof", "/json"])
def test_taking_a_file_along_is_recorded_first(client: TestClient, portal: StoryPortal, file: str):
    client.get("/nl/mijn")
    portal.calls.clear()
    client.get(_path(portal.story["shared"], file))
    assert portal.calls[0] == "view"


def test_the_code_for_paper_holds_number_and_fingerprint_only(client: TestClient, portal: StoryPortal):
    answer = client.get(_path(portal.story["shared"]))
    page = Page(answer.text)
    assert f"{ORIGIN}/nl/controle#{portal.story['shared']}." in page.words
    assert '<svg role="img"' in answer.text
    assert f"<title>QR-code van nummer {portal.story['shared']}</title>" in answer.text
    assert "style=" not in answer.text, "the content policy allows none"


@pytest.mark.parametrize("file", ["", "/tlog-proof", "/json"])
def test_the_proof_of_somebody_elses_entry_is_not_found(client: TestClient, portal: StoryPortal, file: str):
    other = portal.send(BEN).log_index
    assert client.get(_path(other, file)).status_code == 404
    assert client.get(_path(9999, file)).status_code == 404
