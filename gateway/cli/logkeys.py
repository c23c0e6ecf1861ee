"""`regie log keys`, `rotate-key`, `retire-key`: the keys that sign the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.common import ANYBODY, HOME, AsOption, HomeOption, JsonOption, reporting, run, work
from gateway.cli.output import OK, Output

if TYPE_CHECKING:
    from consent_ledger.registry import Registry
    from gateway.home import Home
    from gateway.sdk.agency import Agency


def keys(
    *,
    update: Annotated[
        bool, typer.Option("--update", help="Verify with the log's keys as they stand from now on (regie.toml).")
    ] = False,
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Show the keys that sign the log, as the log itself says, and which of them this home verifies with.

    `regie log keys`, `regie log keys --update`
    """
    output = Output(as_json=json)

    async def do(agency: Agency) -> int:
        from gateway.logkeys import take_over

        registry = await agency.registry(fresh=True)
        trusted = agency.home.log_verifier_key.split("\n")
        if update:
            trusted = list(take_over(agency.home, registry.log_keys, gone=registry.retired_log_keys))
        _show(output, registry, trusted)
        return OK

    work(output, home, oin, ANYBODY, do)


def rotate_key(home: HomeOption = HOME, json: JsonOption = False) -> None:
    """Make new keys for the log. The old ones go on signing beside them until they are retired.

    Start the ledger again afterwards: it announces the new keys in the log and signs with all of them.

    `regie log rotate-key`
    """
    output = Output(as_json=json)
    with reporting(output):
        import os

        from gateway.home import Home
        from gateway.logkeys import add_keys

        fresh = add_keys(Home.open(home), os.urandom)
        lines = [
            *(f"new key {_shown(key)}" for key in fresh),
            "Next: start the ledger (and its witnesses) again; let everybody who verifies the log run `regie log keys",
            "--update`; then `regie log retire-key ID` for the old ones.",
        ]
        output.result({"added": list(fresh)}, lines)


def retire_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, 8 digits, of `regie log keys`.")],
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Let a key of the log sign no more, and delete its private part. The ledger must be running, and says so to all.

    Start the ledger again afterwards: it announces that the key is retired. Who verifies with no other key is told that
    no known key signed.

    `regie log retire-key 33d7b496`
    """
    output = Output(as_json=json)
    with reporting(output):
        from gateway.home import Home
        from gateway.logkeys import retire_key as retire

        opened = Home.open(home)
        gone = retire(opened, key_id, run(_directory(opened)))
        lines = [f"retired {_shown(gone)}", "Next: start the ledger (and its witnesses) again."]
        output.result({"retired": gone}, lines)


async def _directory(home: Home) -> Registry:
    from gateway.directory.client import DirectoryClient

    client = DirectoryClient(home, home.operator("ledger"), "ledger")
    try:
        return await client.fetch()
    finally:
        await client.close()


def _show(output: Output, registry: Registry, trusted: list[str]) -> None:
    from consent_ledger.log.keys import kind_of, parse_verifier

    found = [(key, "active") for key in registry.log_keys] + [(key, "retired") for key in registry.retired_log_keys]
    values = [
        {
            "key_id": key.split("+", 2)[1],
            "kind": kind_of(parse_verifier(key)),
            "state": state,
            "trusted": key in trusted,
            "verifier_key": key,
        }
        for key, state in found
    ]
    rows = [
        (one["key_id"], one["kind"], one["state"], "verifies with it" if one["trusted"] else "does not know it")
        for one in values
    ]
    output.table("Keys of the log", ("id", "kind", "state", "this home"), rows)
    output.result({"keys": values}, [])


def _shown(key: str) -> str:
    """A key in one line: those of ML-DSA-44 have 1,800 characters."""
    name, key_id, _ = key.split("+", 2)
    return f"{name}+{key_id}"


def add_to(app: typer.Typer) -> None:
    """Add the commands to `regie log`."""
    app.command()(keys)
    app.command("rotate-key")(rotate_key)
    app.command("retire-key")(retire_key)
