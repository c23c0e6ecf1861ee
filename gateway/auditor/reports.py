"""What a check of the ledger found, as JSON that its auditor signs: the report stands without the console (A8).

A file is ``{"format", "report", "signature"}``. Signed is the SHA-256 of the report in canonical form: JSON with sorted
keys, no white space, and no character escaped that need not be (UTF-8). So whoever reads it may print it as they like.
"""

from __future__ import annotations

import json
from typing import Any

from consent_ledger.errors import RegieError
from consent_ledger.hashing import sha256
from consent_ledger.registry import Key, Registry
from consent_ledger.verify.fsck import FsckReport
from consent_ledger.verify.replay import Finding, ReplayReport
from consent_ledger.verify.verdicts import Verdict
from gateway.auditor.ruletrace import name_of, rule_trace
from gateway.crypto.signatures import USAGE_SIGN, key_id, public_bytes, sign, signing_key, verify

FORMAT = "regie-audit-report/v1"
MOST_BYTES = 8 * 1024 * 1024
_LABEL = b"regie/s/auditreport/v1"


def replay_values(report: ReplayReport, seconds: float) -> dict[str, Any]:
    """Return what a replay found as JSON has it (`regie audit replay --json`)."""
    assert report.log is not None
    return {
        "kind": "replay",
        "verified": report.broken == 0,
        "origin": report.log.origin,
        "size": report.log.size,
        "root": report.log.root.hex(),
        "witnessed_size": report.witnessed,
        "from": report.within.start if report.within else 0,
        "to": min(report.within.stop, report.log.size) if report.within else report.log.size,
        **{verdict.value: report.count(verdict) for verdict in Verdict},
        "beside_erased": report.beside,
        "chains": report.chains,
        "chains_with_gap": report.gaps,
        "by_kind": report.counts,
        "findings": [_finding(one) for one in report.findings],
        "findings_left_out": report.left_out,
        "seconds": round(seconds, 3),
        "entries_per_second": round(report.log.size / seconds) if seconds else None,
    }


def fsck_values(report: FsckReport, seconds: float) -> dict[str, Any]:
    """Return what a check of every table found as JSON has it (`regie log fsck --json`)."""
    rows = [
        {"table": row.table, "key": str(row.key), "column": row.column, "expected": row.expected, "got": row.got}
        for row in report.problems
    ]
    found = report.log
    return {
        "sound": report.count == 0,
        "size": report.size,
        "root": found.log.root.hex() if found else None,
        "opened": found.opened if found else None,
        "erased": found.erased if found else None,
        "rows": report.rows,
        "problems": rows,
        "problem_count": report.count,
        "not_checked": list(report.unchecked),
        "seconds": seconds,
    }


def sign_report(report: dict[str, Any], oin: str, seed: bytes) -> str:
    """Return the file of a report, signed with the Ed25519 key (32-byte seed) of an organisation."""
    key = signing_key(seed)
    signature = sign(key, _LABEL, sha256(_canonical(report)))
    by = {"oin": oin, "key_id": key_id(USAGE_SIGN, public_bytes(key)).hex(), "ed25519": signature.hex()}
    return json.dumps({"format": FORMAT, "report": report, "signature": by}, ensure_ascii=False, indent=2) + "\n"


def open_report(text: str, registry: Registry) -> tuple[dict[str, Any], str, Key]:
    """Return a report, the OIN of whom signed it, and the key; the key may be retired since.

    Raises RegieError: FIELD_INVALID when it is no report, PARTY_UNKNOWN or KEY_UNKNOWN when the directory does not know
    who or what signed it, and SIGNATURE_INVALID when it was changed.
    """
    report, canonical, by = _parse(text)
    signer = registry.participant(by["oin"])
    found = [key for key in signer.keys if key.key_id.hex() == by["key_id"]]
    if not found:
        raise RegieError("KEY_UNKNOWN", f"participant {signer.oin} never had a key {by['key_id'][:16]}")
    verify(found[0].public, _LABEL, _hex(by["ed25519"]), sha256(canonical))
    return report, signer.oin, found[0]


def _parse(text: str) -> tuple[dict[str, Any], bytes, dict[str, str]]:
    """Return a report, what of it is signed, and by whom it says it is."""
    if len(text) > MOST_BYTES:
        raise RegieError("FIELD_INVALID", f"a report has at most {MOST_BYTES} characters")
    try:
        file = json.loads(text)
        report, by = file["report"], file["signature"]
        fields = {name: by[name] for name in ("oin", "key_id", "ed25519")}
        canonical = _canonical(report)
        known = file["format"] == FORMAT and isinstance(report, dict)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RegieError("FIELD_INVALID", f"this is no report of the form {FORMAT}") from None
    if not known or not all(isinstance(value, str) for value in fields.values()):
        raise RegieError("FIELD_INVALID", f"this is no report of the form {FORMAT}")
    return report, canonical, fields


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""  # is no signature of anything


def _canonical(report: dict[str, Any]) -> bytes:
    return json.dumps(report, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _finding(one: Finding) -> dict[str, Any]:
    """Return a finding; both rule traces where it is the decision itself that differs."""
    found: dict[str, Any] = {
        "index": one.index,
        "kind": one.kind,
        "verdict": one.verdict.value,
        "why": one.why,
        "erased_by": one.erased_by,
    }
    if one.said is not None and one.expected is not None:
        found["recorded"] = _judgement(one.said.reason, one.said.decided_by)
        found["expected"] = _judgement(one.expected.reason, one.expected.decided_by)
    return found


def _judgement(reason: int, decided_by: tuple[int, ...]) -> dict[str, Any]:
    rules = [{"rule": asked.rule, "result": asked.result.value} for asked in rule_trace(reason)]
    return {"reason": name_of(reason), "decided_by": list(decided_by), "rules": rules}
