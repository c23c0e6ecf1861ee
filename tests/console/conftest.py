"""One town with a day of 300 exchanges and an auditor, for all tests of the console: they share its event loop."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from consent_ledger.v1 import events_pb2 as pb
from consent_ledger.verify.database import verifiers_of
from consent_ledger.verify.snapshot import open_snapshot
from consent_ledger.verify.walk import Opened, Walk, raising
from tests.support.console import Auditor, Day, auditor_at, play_day
from tests.support.scenario import Town, served_town


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/tests/console/" in item.path.as_posix() and inspect.iscoroutinefunction(getattr(item, "function", None)):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@dataclass
class Audited:
    """The town, what was played there, somebody who is logged in, and the ledger's own table."""

    town: Town
    day: Day
    auditor: Auditor

    @property
    def ledger(self):
        return self.town.home.operator("ledger").data / "ledger.db"

    @property
    def audit_db(self):
        return self.town.home.operator("auditor").data / "audit.db"

    def opened(self) -> list[Opened]:
        """What the ledger's database says, read by the independent verifier."""
        with open_snapshot(self.ledger) as snapshot:
            walk = Walk(snapshot, verifiers_of([*self.town.home.log_verifier_key.split()]), raising)
            return [item for item in walk.items() if isinstance(item, Opened)]

    def decisions(self) -> dict[int, tuple[pb.ExchangeDecided, int]]:
        """Every decision of the ledger with its reason, by index."""
        return {
            one.idx: (one.event.exchange_decided, one.private.reason)
            for one in self.opened()
            if one.event.HasField("exchange_decided")
        }


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def audited(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Audited]:
    """At the end the log verifies with all that the auditor's looking added, and every decision is explained."""
    folder = tmp_path_factory.mktemp("console") / "home"
    async with served_town(folder, visitors=["wim"], more=("auditor",)) as town, auditor_at(town) as auditor:
        day = await play_day(town)
        answer = await auditor.log_in()
        assert answer.headers["location"] == "/nl/audit"
        found = Audited(town, day, auditor)
        await auditor.caught_up(max(one.idx for one in found.opened()))
        yield found
    town.check_everything()
