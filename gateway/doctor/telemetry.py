"""What roles of this machine say about themselves: health, spans lost, records of processing that wait; the auditor."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import quote

import httpx2
import sqlalchemy as sa
from pysqlite3 import dbapi2

from gateway.auditor.index import standing
from gateway.doctor.finding import Case, Finding, fail, ok, warn

TELEMETRY, PROCESSING, AUDITOR = "telemetry", "processing", "auditor"
SECONDS = 5.0
QUIET_MS = 300_000
"""The index of the auditor asks the ledger every few seconds; so long without an answer, something is between them."""


async def check_telemetry(case: Case) -> list[Finding]:
    """Ask each role of this machine for its health and its metrics."""
    asked = await asyncio.gather(*(_role(case, role, address) for role, address in metrics_here(case).items()))
    findings = [finding for found in asked for finding in found]
    quiet = [finding for finding in findings if finding.area == TELEMETRY]
    if asked and not quiet:
        findings.append(ok(TELEMETRY, f"{len(asked)} roles publish metrics, and lost no span"))
    return findings


def metrics_here(case: Case) -> dict[str, str]:
    """Return the addresses of metrics of the roles that this machine can run: they listen on no other."""
    here = {organisation.oin for organisation in case.organisations}
    roles = {role for role, oin in case.home.operators.items() if oin in here}
    if (case.home.folder / "witness").is_dir():
        return {role: at for role, at in case.home.metrics.items() if role in {*roles, "witness"}}
    return {role: at for role, at in case.home.metrics.items() if role in roles}


async def _role(case: Case, role: str, address: str) -> list[Finding]:
    try:
        async with httpx2.AsyncClient(timeout=SECONDS) as http:
            health = await http.get(f"http://{address}/healthz")
            metrics = await http.get(f"http://{address}/metrics")
        said = health.json().get("status", "")
    except (httpx2.HTTPError, ValueError, AttributeError):
        what = f"the {role} publishes no metrics at {address}"
        return [warn(TELEMETRY, what, f"start it (regie serve {role}), or correct [addresses.metrics] in regie.toml")]
    findings = list(_lost(role, metrics.text))
    if said != "ok":
        findings.append(
            warn(TELEMETRY, f"the {role} says of itself: {said}", "read its log: it says what it waits for")
        )
    pending = _value(metrics.text, "regie_ldv_pending")
    return [*findings, *([] if pending is None else [_processing(case, int(pending))])]


def _lost(role: str, metrics: str) -> Iterator[Finding]:
    if lost := _value(metrics, "regie_spans_dropped_total"):
        how = "see whether its disk or the collector is slow; traces have gaps, the processing log has none"
        yield warn(TELEMETRY, f"the {role} lost {lost:.0f} spans since it started", how)


def _processing(case: Case, pending: int) -> Finding:
    if "endpoint" not in case.home.ldv:
        return ok(PROCESSING, "records of the processing log are kept: no receiver is named (`regie ldv status`)")
    if not pending:
        return ok(PROCESSING, "every record of the processing log was exported")
    how = "`regie ldv status` says what the receiver answers; nothing is lost meanwhile"
    return warn(PROCESSING, f"{pending} entries of the log wait for the receiver of the processing log", how)


def _value(metrics: str, name: str) -> float | None:
    """Return the sum of a metric over its labels; None when it is not published."""
    found = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", metrics, re.MULTILINE)
    return sum(map(float, found)) if found else None


def check_auditor(case: Case) -> Iterator[Finding]:
    """Read how far the auditor's index is, where it is on this machine."""
    oin = case.home.operators.get("auditor")
    path = case.home.folder / "orgs" / (oin or "-") / "data" / "audit.db"
    if not path.is_file():
        return
    uri = f"sqlite:///file:{quote(str(path.absolute()))}?mode=ro&uri=true"
    engine = sa.create_engine(uri, module=dbapi2, hide_parameters=True)
    with closing(engine.connect()) as connection:
        state = standing.state(connection)
    engine.dispose()
    quiet_ms = case.clock() - state.seen_ms if state.seen_ms else 0
    if state.stopped:
        how = "keep everything as it is and call the ledger's operator: the console's pages show both checkpoints"
        yield fail(AUDITOR, f"the auditor's index stopped: the log {state.stopped.replace('_', ' ')}", how)
    elif state.unopenable:
        how = "let the ledger's operator run `regie log fsck`"
        yield fail(AUDITOR, f"{state.unopenable} entries of the log could not be opened by the auditor", how)
    elif quiet_ms > QUIET_MS:
        how = "start it (regie serve auditor); when it runs, see whether it reaches the ledger"
        yield warn(AUDITOR, f"the auditor's index has not heard of the ledger for {quiet_ms // 60_000} minutes", how)
    else:
        yield ok(AUDITOR, f"the auditor's index has read {state.size} of {state.head_size} entries")
