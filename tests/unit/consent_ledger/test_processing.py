"""The register of processing activities: complete, in both languages, and what was published stays."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest

from consent_ledger.processing import PATH, REGISTER, find, published

PUBLISHED = {
    "uitwisseling-beoordelen/1": "74ec768d6ca7c9dd",
    "signaal-vrijgeven/1": "ab5a470ad318b31b",
    "signaal-tegenhouden/1": "afb775350011f077",
    "ontvangst-vastleggen/1": "1e0e1d0a314676d7",
    "uitkomst-vastleggen/1": "e68fdb76fee7daed",
    "signaal-aanbieden/1": "cc5a63b88a7f3b00",
    "signaal-ontvangen/1": "6049a74050df68a5",
    "uitkomst-melden/1": "6cea8b12bd2437de",
}
"""SHA-256 of every version's document. A line is added for a new version, and no line ever changes."""
TEXTS = ("title", "purpose", "ground", "data", "subjects", "recipients", "retention")


def test_a_published_activity_never_changes() -> None:
    found = {
        f"{one.id}/{one.version}": sha256(json.dumps(one.document(), sort_keys=True).encode()).hexdigest()[:16]
        for one in REGISTER
    }
    assert found == PUBLISHED


@pytest.mark.parametrize("activity", REGISTER, ids=lambda one: one.id)
def test_an_activity_says_everything_in_both_languages(activity) -> None:
    for name in TEXTS:
        text = getattr(activity, name)
        assert text.nl.strip()
        assert text.en.strip()
        assert text.nl != text.en
    assert find(activity.id, str(activity.version)) is activity
    assert published(activity.path) == activity.document()


def test_versions_of_an_activity_are_numbered_from_one_on() -> None:
    for identity in {one.id for one in REGISTER}:
        versions = [one.version for one in REGISTER if one.id == identity]
        assert versions == list(range(1, len(versions) + 1))


def test_only_what_is_in_the_register_is_published() -> None:
    assert [one["id"] for one in published(PATH)["activities"]] == [one.id for one in REGISTER]
    for path in (f"{PATH}/", f"{PATH}/signaal-vrijgeven", f"{PATH}/signaal-vrijgeven/01", f"{PATH}x", "/", ""):
        assert published(path) is None
