"""`regie consent`: record and show residents' choices, as the portal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gateway.cli.common import HOME, PORTALS, AsOption, HomeOption, JsonOption, work
from gateway.cli.output import FAILED, OK, Output

if TYPE_CHECKING:
    from consent_ledger.registry import Registry
    from gateway.sdk.agency import Agency
    from gateway.sdk.choices import Wish
    from gateway.sdk.rows import Resident

app = typer.Typer(no_args_is_help=True, help="Record and show residents' choices, as the portal.")

ResidentOption = Annotated[
    Path,
    typer.Option(
        "--resident",
        metavar="FILE",
        show_default=False,
        help="CSV with one resident: bsn,birth_date,postcode,house_number,house_letter,house_addition; - is standard "
        "input. A file, because other users of this machine can read command lines.",
    ),
]
SenderOption = Annotated[str, typer.Option(metavar="OIN", help="Who sends.", show_default=False)]
RecipientOption = Annotated[str, typer.Option(metavar="OIN", help="Who receives.", show_default=False)]
PurposeOption = Annotated[str, typer.Option(help="For what.", show_default=False)]
ViaOption = Annotated[
    Literal["web", "desk", "paper", "phone", "representative"], typer.Option(help="How the resident told it.")
]
LanguageOption = Annotated[Literal["nl", "en"], typer.Option(help="Language of the words the resident saw.")]
Make = Callable[["Resident", "Registry"], "Wish"]


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="Choices file (CSV).", show_default=False)],
    *,
    again: Annotated[bool, typer.Option("--again", help="Record also what equals the last choice recorded.")] = False,
    via: ViaOption = "web",
    language: LanguageOption = "nl",
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Record a file of choices; a choice counts as recorded only on the ledger's signed receipt.

    Bad rows are named in FILE.rejected.csv and the good ones go through. What equals the last choice recorded here is
    skipped.

    `regie consent import choices.csv`
    """
    output = Output(as_json=json)

    async def do(agency: Agency) -> int:
        from gateway.sdk.choices import CAPTURES
        from gateway.sdk.importfile import import_file

        begun = monotonic()
        with output.progress("recording") as progress:
            result = await import_file(
                agency, file, via=CAPTURES[via], language=language, again=again, progress=progress
            )
        values = {
            "rows": result.rows,
            "rejected_rows": result.rejected_rows,
            "recorded": result.recorded.recorded,
            "unchanged": result.recorded.unchanged,
            "seconds": round(monotonic() - begun, 3),
            "rejected_file": str(result.rejected_file) if result.rejected_file else None,
        }
        text = f"{values['recorded']} choices recorded, {values['unchanged']} unchanged ({values['seconds']} s)"
        output.result(values, [text])
        if result.rejected_file:
            output.note(f"{result.rejected_rows} rows rejected: see {result.rejected_file}")
        return FAILED if result.rejected_rows else OK

    work(output, home, oin, PORTALS, do)


@app.command()
def grant(
    *,
    resident: ResidentOption,
    sender: SenderOption,
    recipient: RecipientOption,
    purpose: PurposeOption,
    months: Annotated[
        int, typer.Option(help="How long: 3, 6 or 12 months; nothing is preselected.", show_default=False)
    ],
    answer: Annotated[
        Literal["JA", "VRAAG_MIJ_EERST", "EERST_ZELF"], typer.Option(help="Yes; ask me each time; let me try first.")
    ] = "JA",
    items: Annotated[str, typer.Option(help="Data items, with commas between; default: all of the purpose.")] = "",
    threshold: Annotated[
        int, typer.Option(help="Only signals of at least this severity, 1 to 4; 0: every signal.", min=0, max=4)
    ] = 0,
    life_event: Annotated[
        bool, typer.Option("--life-event", help="A change in the resident's life led to it: for 3 months.")
    ] = False,
    via: ViaOption = "web",
    language: LanguageOption = "nl",
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Record that a resident allows one sender to share with one recipient for one purpose.

    `regie consent grant --resident me.csv --sender OIN --recipient OIN --purpose vroegsignalering-energie --months 12`
    """
    chosen = tuple(item.strip() for item in items.split(",") if item.strip())
    make = _choice(
        sender,
        recipient,
        purpose,
        said=answer,
        months=months,
        items=chosen,
        threshold=threshold,
        life_event=life_event,
    )
    _change(Output(as_json=json), home, oin, resident, make, via=via, language=language)


@app.command()
def refuse(
    *,
    resident: ResidentOption,
    sender: SenderOption,
    recipient: RecipientOption,
    purpose: PurposeOption,
    via: ViaOption = "web",
    language: LanguageOption = "nl",
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Record that a resident says no to one sender, recipient and purpose.

    `regie consent refuse --resident me.csv --sender OIN --recipient OIN --purpose vroegsignalering-energie`
    """
    make = _choice(sender, recipient, purpose, said="NEE")
    _change(Output(as_json=json), home, oin, resident, make, via=via, language=language)


@app.command()
def withdraw(
    *,
    resident: ResidentOption,
    sender: SenderOption,
    recipient: RecipientOption,
    purpose: PurposeOption,
    via: ViaOption = "web",
    language: LanguageOption = "nl",
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Stop what a resident allowed; it counts for everything that is delivered after this.

    `regie consent withdraw --resident me.csv --sender OIN --recipient OIN --purpose vroegsignalering-energie`
    """

    def make(who: Resident, registry: Registry) -> Wish:
        from gateway.sdk.choices import make_scope, withdrawal

        return withdrawal(who, make_scope(sender, recipient, registry.purpose(purpose)))

    _change(Output(as_json=json), home, oin, resident, make, via=via, language=language)


@app.command()
def answer(
    said: Annotated[Literal["yes", "no"], typer.Argument(help="The answer.", show_default=False)],
    *,
    resident: ResidentOption,
    sender: SenderOption,
    recipient: RecipientOption,
    purpose: PurposeOption,
    via: ViaOption = "web",
    language: LanguageOption = "nl",
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Record a resident's answer to a question (VRAAG_MIJ_EERST); a yes holds for one exchange.

    `regie consent answer yes --resident me.csv --sender OIN --recipient OIN --purpose vroegsignalering-energie`
    """

    def make(who: Resident, registry: Registry) -> Wish:
        from gateway.sdk import choices

        return choices.answer(who, choices.make_scope(sender, recipient, registry.purpose(purpose)), yes=said == "yes")

    _change(Output(as_json=json), home, oin, resident, make, via=via, language=language)


@app.command()
def pause(
    *,
    resident: ResidentOption,
    days: Annotated[int, typer.Option(help="End by itself after so many days; 0: until resumed.", min=0)] = 0,
    via: ViaOption = "web",
    language: LanguageOption = "nl",
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Pause all sharing about a resident; it beats every permission.

    `regie consent pause --resident me.csv`
    """

    def make(who: Resident, registry: Registry) -> Wish:
        from consent_ledger.clock import DAY_MS, system_clock
        from gateway.sdk import choices

        return choices.pause(who, choices.choosable(registry), system_clock() + days * DAY_MS if days else 0)

    _change(Output(as_json=json), home, oin, resident, make, via=via, language=language)


@app.command()
def resume(
    *,
    resident: ResidentOption,
    via: ViaOption = "web",
    language: LanguageOption = "nl",
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """End a pause; what was allowed before counts again.

    `regie consent resume --resident me.csv`
    """

    def make(who: Resident, registry: Registry) -> Wish:
        from gateway.sdk import choices

        return choices.resumption(who, choices.choosable(registry))

    _change(Output(as_json=json), home, oin, resident, make, via=via, language=language)


@app.command()
def prefer(
    *,
    resident: ResidentOption,
    channels: Annotated[
        str, typer.Option(help="Ranked, with commas: brief, email, telefoon, whatsapp, sms, chat, ...")
    ] = "",
    never: Annotated[str, typer.Option(help="Channels never to use, with commas.")] = "",
    speak: Annotated[Literal["nl", "en"], typer.Option(help="Language to be approached in.")] = "nl",
    same_person: Annotated[bool, typer.Option("--same-person", help="The same person every time.")] = False,
    general_only: Annotated[
        bool, typer.Option("--general-only", help="General information only: nothing is shared.")
    ] = False,
    most: Annotated[
        int, typer.Option(help="At most so many exchanges per purpose in 30 days; 0: the purpose's own.", min=0)
    ] = 0,
    address: Annotated[Literal["u", "je"], typer.Option(help="Form of address.")] = "u",
    answer_days: Annotated[int, typer.Option(help="Days asked for to answer; 0: no wish.", min=0, max=56)] = 0,
    quiet: Annotated[str, typer.Option(help="When not, with commas: ochtend, middag, avond, weekend.")] = "",
    companion: Annotated[bool, typer.Option("--companion", help="Somebody comes along.")] = False,
    detail: Annotated[Literal["short", "full"] | None, typer.Option(help="How much to tell at once.")] = None,
    neutral_envelope: Annotated[
        bool, typer.Option("--neutral-envelope", help="An envelope that does not tell what it is about.")
    ] = False,
    one_offer: Annotated[bool, typer.Option("--one-offer", help="One offer per message.")] = False,
    via: ViaOption = "web",
    language: LanguageOption = "nl",
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Record how a resident wants to be approached; it travels, sealed, with every delivered signal.

    `regie consent prefer --resident me.csv --channels brief,email --never telefoon`
    """

    def make(who: Resident, registry: Registry) -> Wish:
        from consent_ledger.v1 import events_pb2
        from gateway.sdk import choices

        wanted = events_pb2.Preferences(
            channels=choices.channel_list(channels.split(","), "channels"),
            never=choices.channel_list(never.split(","), "never"),
            language=speak,
            same_person=same_person,
            general_only=general_only,
            most_per_30_days=most,
            form_of_address=address,
            answer_days=answer_days,
            quiet=choices.quiet_list(quiet.split(",")),
            companion=companion,
            detail=choices.DETAILS[detail or ""],
            neutral_envelope=neutral_envelope,
            one_offer=one_offer,
        )
        return choices.preference(who, choices.choosable(registry), wanted)

    _change(Output(as_json=json), home, oin, resident, make, via=via, language=language)


@app.command("list")
def list_(
    *,
    resident: ResidentOption,
    limit: Annotated[int, typer.Option(help="At most so many exchanges, newest first.", min=1, max=1000)] = 100,
    oin: AsOption = None,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> None:
    """Show a resident's choices and every exchange, also the refused ones, each with its reason.

    `regie consent list --resident me.csv`
    """
    output = Output(as_json=json)

    async def do(agency: Agency) -> int:
        from gateway.cli.record import show
        from gateway.sdk.importfile import read_resident

        who = read_resident(resident, agency.clock())
        show(output, await agency.portal().look_up(who, limit=limit), await agency.registry())
        return OK

    work(output, home, oin, PORTALS, do)


def _choice(sender: str, recipient: str, purpose: str, *, said: str, months: int | None = None, **more: Any) -> Make:
    def make(who: Resident, registry: Registry) -> Wish:
        from consent_ledger.errors import RegieError
        from gateway.sdk.choices import check_choice, choice
        from gateway.sdk.rows import MONTHS, ChoiceRow

        if months is not None and months not in MONTHS:
            raise RegieError("FIELD_INVALID", "expected 3, 6 or 12", "months")
        items: tuple[str, ...] = more.get("items", ())
        rest = {name: value for name, value in more.items() if name != "items"}
        row = ChoiceRow(who, sender, recipient, purpose, items, said, months, **rest)
        for error in check_choice(row, registry):
            raise RegieError("FIELD_INVALID", error.reason, error.field)
        return choice(row, registry.purpose(purpose))

    return make


def _change(
    output: Output, home: Path, oin: str | None, resident: Path, make: Make, *, via: str, language: str
) -> None:
    """Record one wish of one resident."""

    async def do(agency: Agency) -> int:
        from consent_ledger.errors import RegieError
        from gateway.sdk.choices import CAPTURES
        from gateway.sdk.importfile import read_resident

        who = read_resident(resident, agency.clock())
        wish = make(who, await agency.registry())
        done = await agency.portal().record([wish], via=CAPTURES[via], language=language, again=True)
        result = done.results[0]
        if isinstance(result, RegieError):
            return max(FAILED, output.refusal(result))
        values: dict[str, Any] = {"log_index": result, "checkpoint": done.checkpoint}
        output.result(values, [f"done: entry {result} of the log, signed by the ledger"])
        return OK

    work(output, home, oin, PORTALS, do)
