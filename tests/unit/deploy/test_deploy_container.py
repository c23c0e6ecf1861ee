"""The image's file: two stages, locked hashes, nobody's root, and nothing in it that was not asked for."""

from __future__ import annotations

import re

from tests.support.deploying import FOLDER, METRICS, registry_hosts

TEXT = (FOLDER / "container" / "Containerfile").read_text("utf-8")
STEPS = [line for line in TEXT.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
FINAL = STEPS[max(number for number, step in enumerate(STEPS) if step.startswith("FROM ")) :]


def test_base_images_have_short_names_and_pinned_versions():
    assert re.search(r"^ARG PYTHON=\d+\.\d+\.\d+-[a-z-]+$", TEXT, re.MULTILINE)
    assert [step for step in STEPS if step.startswith("FROM ")] == ["FROM python:${PYTHON} AS build", FINAL[0]]
    assert FINAL[0] == "FROM python:${PYTHON}"
    assert registry_hosts(TEXT) == []


def test_what_is_installed_is_locked_and_nothing_is_compiled():
    (install,) = [step for step in STEPS if "requirements.txt" in step and step.startswith("RUN")]
    assert "--require-hashes" in install
    assert "--only-binary :all:" in install
    assert not re.search(r"\b(apt-get|apk|gcc|build-essential|curl|wget)\b", "\n".join(STEPS))
    assert not any("pip install" in step for step in FINAL)


def test_it_runs_as_nobody_in_particular_and_says_whether_it_is_well():
    final = "\n".join(FINAL)
    (user,) = [step.split()[1] for step in FINAL if step.startswith("USER ")]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)
    assert FINAL[-2:] == ['ENTRYPOINT ["regie"]', 'CMD ["--help"]']
    assert f"127.0.0.1:{METRICS}/healthz" in final
    assert "REGIE_HOME=/regie" in final


def test_the_builder_gets_what_is_copied_and_no_keys():
    copied = {
        name for step in STEPS if step.startswith("COPY ") and "--from" not in step for name in step.split()[1:-1]
    }
    ignored = (FOLDER / "container" / "Containerfile.dockerignore").read_text("utf-8").splitlines()
    assert next(line for line in ignored if not line.startswith("#")) == "*"
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    assert all((FOLDER.parent / name).exists() for name in copied)


def test_no_file_here_names_a_host_that_images_come_from():
    assert registry_hosts("image: registry.example.com/regie:1\nFROM docker.io/library/python") == [
        "registry.example.com/",
        "docker.io/",
    ]
    for path in FOLDER.rglob("*"):
        if path.is_file() and path.suffix in {"", ".yaml", ".sh", ".service", ".conf", ".dockerignore"}:
            images = re.findall(r"^\s*(?:- )?(?:image|newName|FROM):? (\S+)", path.read_text("utf-8"), re.MULTILINE)
            assert registry_hosts("\n".join(images)) == [], path
