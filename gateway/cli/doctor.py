"""`regie doctor`: what is wrong, and how to mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.common import HOME, HomeOption, JsonOption, reporting, run
from gateway.cli.output import Output

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.doctor.finding import Finding

OfflineOption = Annotated[
    bool, typer.Option("--offline", help="Before a start: look at files only, and whether the addresses are free.")
]
MARK = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}


def doctor(home: HomeOption = HOME, offline: OfflineOption = False, json: JsonOption = False) -> None:
    """Check a home and the roles it names; each finding says in one line what is, and in one how to mend it.

    Looks at settings, keys, certificates, databases and disk, then asks every role over mutual TLS, compares clocks,
    and verifies directory and published log. Changes nothing and prints no secret. Exit code 1 when something is wrong,
    3 when all that is wrong is that somebody does not answer.

    `regie doctor`, `regie doctor --offline`
    """
    from gateway.doctor.finding import exit_code

    output = Output(as_json=json)
    with reporting(output):
        findings = run(_examine(home, output, offline=offline))
    count = {level: sum(finding.level == level for finding in findings) for level in MARK}
    summary = f"{count['ok']} well, {count['warn']} to look at, {count['fail']} wrong"
    values = {"findings": [finding.as_json() for finding in findings], **count}
    output.result(values, ["", summary])
    if code := exit_code(findings):
        raise typer.Exit(code)


async def _examine(home: Path, output: Output, *, offline: bool) -> list[Finding]:
    from gateway.doctor.examine import examine

    findings = []
    async for finding in examine(home, offline=offline):
        findings.append(finding)
        if not output.as_json:
            print(f"{MARK[finding.level]}  {finding.area:13} {finding.what}")
            if finding.how:
                print(f"{'':21}{finding.how}", flush=True)
    return findings
