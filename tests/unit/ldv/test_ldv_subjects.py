"""Who a record is about: encrypted the same way each time, with a key that only its organisation reads."""

from __future__ import annotations

import os

import pytest
from cryptography.exceptions import InvalidTag

from gateway.home import HomeError
from gateway.ldv.subjects import Subjects
from tests.support.ldv import organisation


def test_the_same_person_gives_the_same_text_and_another_kind_of_name_another():
    subjects = Subjects(bytes(64))
    text = subjects.encrypt("kind", b"person")
    assert text == Subjects(bytes(64)).encrypt("kind", b"person")
    assert text != subjects.encrypt("other", b"person")
    assert text != Subjects(b"\1" * 64).encrypt("kind", b"person")
    assert subjects.decrypt("kind", text) == b"person"
    with pytest.raises(InvalidTag):
        subjects.decrypt("other", text)


def test_the_key_is_made_once_for_its_owner_only(tmp_path):
    ours = organisation(tmp_path)
    first = Subjects.of(ours).encrypt("kind", b"person")
    path = ours.folder / "ldv.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in ours.folder.iterdir()] == ["ldv.key"], "no draft is left"
    assert Subjects.of(ours).encrypt("kind", b"person") == first
    path.chmod(0o644)
    with pytest.raises(HomeError, match="may be read by others"):
        Subjects.of(ours)


def test_of_two_that_make_the_key_at_once_the_first_ones_stays(tmp_path, monkeypatch):
    ours, real = organisation(tmp_path), os.link

    def beaten(draft, path):
        path.touch(mode=0o600)
        path.write_text("ab" * 64)
        real(draft, path)

    monkeypatch.setattr(os, "link", beaten)
    assert Subjects.of(ours).encrypt("kind", b"x") == Subjects(b"\xab" * 64).encrypt("kind", b"x")


def test_a_key_of_another_length_is_refused():
    with pytest.raises(ValueError, match="64 bytes, got 32"):
        Subjects(bytes(32))
