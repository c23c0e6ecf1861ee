"""The balancer before two replicas of each role: ports and health checks are those of the roles."""

import re

import pytest

from tests.support.deploying import FOLDER, METRICS, PORTS

TEXT = (FOLDER / "replicas" / "haproxy.cfg").read_text("utf-8")
SECTIONS = {text.split()[0]: text.split("\n#")[0] for text in TEXT.split("\nlisten ")[1:]}
OF_THE_LEDGER = {"ledger", "log"}


def test_every_role_that_can_have_replicas_is_behind_it():
    assert set(SECTIONS) == OF_THE_LEDGER | {"pseudonyms", "gateway", "viewer"}


@pytest.mark.parametrize("service", sorted(SECTIONS))
def test_a_service_is_reached_at_its_port_and_asked_for_its_health(service):
    section, port = SECTIONS[service], PORTS[service]
    role = "ledger" if service in OF_THE_LEDGER else service
    assert re.findall(r"bind :(\d+)", section) == [str(port)]
    found = re.findall(r"server (\S+) (\S+):(\d+) port (\d+)", section)
    assert found == [(f"{role}-{n}", f"{role}-{n}", str(port), str(METRICS)) for n in (1, 2)]
    assert "option httpchk GET /healthz" in section
    assert "http-check expect status 200" in section


@pytest.mark.parametrize("service", sorted(set(SECTIONS) - {"log", "viewer"}))
def test_what_agencies_sign_in_with_is_not_opened(service):
    """The role has to see the caller's own certificate."""
    assert "mode tcp" in SECTIONS[service]
    assert "ssl" not in SECTIONS[service]
