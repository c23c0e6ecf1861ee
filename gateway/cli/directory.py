"""`regie directory`: who takes part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.common import ANYBODY, HOME, RECIPIENTS, AsOption, HomeOption, JsonOption, work
from gateway.cli.output import OK, Output

if TYPE_CHECKING:
    from consent_ledger.purpose import Purpose
    from consent_ledger.registry import Participant
    from gateway.sdk.agency import Agency

app = typer.Typer(no_args_is_help=True, help="Who takes part, with which keys, for which purposes.")

_OPERATORS = frozenset({"gateway", "pseudonyms", "ledger", "viewer", "auditor"})


@app.command("list")
def list_(
    keys: Annotated[bool, typer.Option("--keys", help="Show key ids in the table too.")] = False,
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """List participants and purposes, as they stand in the log and verified against its signature.

    `regie directory list --json`
    """
    output = Output(as_json=json)

    async def do(agency: Agency) -> int:
        from gateway.sdk.remote import GrpcRemote

        registry = await agency.registry()
        assert isinstance(agency.remote, GrpcRemote)
        participants = [_participant(participant) for participant in registry.participants]
        purposes = [_purpose(purpose) for purpose in registry.purposes]
        output.table(
            "Participants",
            ("OIN", "kind", "name", *(("keys",) if keys else ())),
            [
                (
                    p["oin"],
                    p["kind"],
                    p["name"] + _marks(p),
                    *((" ".join(k["key_id"] for k in p["keys"]),) if keys else ()),
                )
                for p in participants
            ],
        )
        output.table(
            "Purposes",
            ("id", "from", "to", "data items"),
            [
                (
                    p["id"],
                    "PROHIBITED" if p["prohibited"] else ", ".join(p["sender_kinds"]),
                    "" if p["prohibited"] else ", ".join(p["recipient_kinds"]),
                    ", ".join(p["items"]),
                )
                for p in purposes
            ],
        )
        size = agency.remote.checkpoint_size
        values = {"checkpoint_size": size, "participants": participants, "purposes": purposes}
        output.result(values, [f"verified in a log of {size} entries"])
        return OK

    work(output, home, oin, ANYBODY, do)


@app.command()
def support(
    *,
    channels: Annotated[
        str,
        typer.Option(help="What you can do, with commas: brief, email, telefoon, huisbezoek, ...", show_default=False),
    ] = "",
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Declare through which channels you can approach residents; without `--channels`, show what stands.

    It is published. Residents who accept none of your channels are not reported to you. Who declares nothing is taken
    to have every channel, and then to use the one that the resident asked for.

    `regie directory support --channels brief,email,gesprek_op_kantoor --as 00000099000000007001`
    """
    output = Output(as_json=json)

    async def do(agency: Agency) -> int:
        from gateway.sdk.describe import CHANNELS
        from gateway.sdk.support import declare, supported

        if channels.strip():
            wanted = [name.strip().lower() for name in channels.split(",") if name.strip()]
            index = await declare(agency, wanted)
            stands, said = [name for name in CHANNELS if name in wanted], f"declared as entry {index} of the log"
        else:
            me = await agency.me()
            stands, index = supported(me.channels), me.support_index
            said = f"declared as entry {index} of the log" if me.support_ms else "not declared: taken to be all"
        values = {"oin": agency.oin, "channels": stands, "declared": bool(index), "log_index": index or None}
        output.result(values, [f"{', '.join(stands)} ({said})"])
        return OK

    work(output, home, oin, RECIPIENTS, do)


def _participant(participant: Participant) -> dict[str, Any]:
    from gateway.sdk.support import supported

    return {
        "oin": participant.oin,
        "kind": participant.kind,
        "name": participant.name,
        "private_party": participant.private_party,
        "suspended": participant.suspended,
        "population": participant.population,
        "channels": supported(participant.channels) if participant.kind in RECIPIENTS else None,
        "operator": participant.kind in _OPERATORS,
        "keys": [
            {"key_id": key.key_id.hex(), "usage": key.usage, "public": key.public.hex(), "retired": key.retired}
            for key in participant.keys
        ],
    }


def _purpose(purpose: Purpose) -> dict[str, Any]:
    return {
        "id": purpose.id,
        "version": purpose.version,
        "title": {"nl": purpose.title.nl, "en": purpose.title.en},
        "prohibited": purpose.prohibited,
        "prohibited_because": {"nl": purpose.prohibited_because.nl, "en": purpose.prohibited_because.en},
        "sender_kinds": list(purpose.sender_kinds),
        "recipient_kinds": list(purpose.recipient_kinds),
        "items": [item.name for item in purpose.items],
        "schemes": list(purpose.schemes),
        "retired": purpose.retired,
    }


def _marks(participant: dict[str, Any]) -> str:
    marks = [mark for mark in ("private_party", "suspended") if participant[mark]]
    return f" ({', '.join(marks).replace('_', ' ')})" if marks else ""
