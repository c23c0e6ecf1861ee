"""A municipality that approached nobody says why, and the resident reads just that."""

import pytest

from consent_ledger.v1 import events_pb2
from tests.support.portal import ANNA, BY_WEB, MemoryPortal, grant
from tests.support.viewer import log_in, viewer_client


@pytest.mark.parametrize(("language", "told"), [("nl", "nam geen contact met u op"), ("en", "did not contact you")])
async def test_who_was_not_approached_reads_the_reason(language, told):
    portal = MemoryPortal()
    try:
        await portal.change(await portal.rows(ANNA), BY_WEB, grant())
        sent = portal.send(ANNA)
        portal.collect(sent)
        portal.report(sent, "Niet opgepakt: herhaalde melding", events_pb2.CHANNEL_UNSPECIFIED)
        client = viewer_client(portal)
        log_in(client, language=language)
        shown = client.get(f"/{language}/mijn/uitwisselingen/{sent.log_index}")
    finally:
        portal.close()
    assert shown.status_code == 200
    assert told in shown.text
    assert "herhaalde melding" in shown.text
    assert "channel_0" not in shown.text
