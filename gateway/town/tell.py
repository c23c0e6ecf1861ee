"""How the story looks in a terminal: first Dutch, then English, and after each scene what was checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from gateway.directory.participants import NewParticipant
from gateway.town.count import Count, coarse
from gateway.town.story import Scene, Words

WHAT_ROLES_SEE = {
    "gateway": ("wie naar wie stuurt, wanneer, hoeveel", "who sends to whom, when, how many"),
    "pseudonyms": ("zender, ontvanger, doel, aantallen", "sender, recipient, purpose, counts"),
    "ledger": ("keuzes onder een pseudoniem, geen inhoud", "choices under a pseudonym, no content"),
    "viewer": ("legt keuzes vast, leest geen signalen", "records choices, reads no signals"),
    "auditor": ("elk besluit, onder nummers van een zaak", "each decision, under numbers of a case"),
    "energy_supplier": ("de eigen klanten", "its own clients"),
    "tax_office": ("de eigen klanten", "its own clients"),
    "municipality": ("wat is vrijgegeven, en niets anders", "what was released, and nothing else"),
}

WIDE = 120
"""Columns of a terminal in which two languages fit beside each other."""


@dataclass(frozen=True, slots=True)
class Teller:
    """Prints the story on a console; a quiet console prints nothing."""

    console: Console

    def opening(self, participants: Sequence[NewParticipant], residents: int) -> None:
        """Say where we are, and who sees what."""
        self.console.print(
            Panel(
                "Een verzonnen gemeente. Elke inwoner beslist zelf wat organisaties over hem of haar delen.\n"
                "[dim]A made-up town. Each resident decides what organisations share about them.[/dim]",
                title=f"Regie - demo - {residents} inwoners / residents",
                border_style="cyan",
            )
        )
        table = Table("organisatie", "rol / role", "ziet / sees", box=None, header_style="bold")
        for participant in participants:
            nl, en = WHAT_ROLES_SEE[participant.kind]
            table.add_row(participant.name, participant.kind, self._both(Words(nl, en)))
        self.console.print(table)
        self.console.print(
            "\n[yellow]Demo: alle rollen draaien op deze ene machine. Dat is handig, maar zo is er geen scheiding.\n"
            "[dim]Demo: every role runs on this one machine. Convenient, and no separation of trust.[/dim][/yellow]\n"
        )

    def chapter(self, words: Words) -> None:
        """Begin a part of the story."""
        self.console.print()
        self.console.rule(f"[bold]{words.nl}[/bold]  [dim]{words.en}[/dim]", align="left", style="cyan")

    def line(self, words: Words) -> None:
        """Say one sentence in both languages."""
        self.console.print(self._both(words))

    def _both(self, words: Words, style: str = "") -> Text:
        """Put the languages beside each other where there is room, else below each other."""
        between = "  " if self.console.width >= WIDE else "\n"
        return Text.assemble((words.nl, style), between, (words.en, "dim"))

    def scene(self, scene: Scene) -> None:
        """Tell one scene."""
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="bold cyan", no_wrap=True, width=5)
        grid.add_column(no_wrap=True, width=15)
        grid.add_column()
        grid.add_row(scene.code, "", self._both(scene.title, "bold"))
        for words in scene.happened:
            grid.add_row("", "", self._both(words))
        if scene.agency:
            grid.add_row("", Text("zender / sender", style="dim"), Text(scene.agency.upper()))
        if scene.resident:
            grid.add_row("", Text("inwoner leest", style="dim"), Text(scene.resident.nl))
            grid.add_row("", Text("resident reads", style="dim"), Text(scene.resident.en, style="dim"))
        for check in scene.checks:
            if not check.holds:
                wrong = f"{check.what}: verwacht/expected {check.expected}, kreeg/got {check.got}"
                grid.add_row("", Text("klopt niet", style="bold red"), Text(wrong, style="red"))
        if scene.holds:
            grid.add_row("", Text("klopt", style="green"), Text(_proved(scene), style="green"))
        self.console.print(grid)
        self.console.print()

    @contextmanager
    def progress(self, words: Words, total: int) -> Iterator[Callable[[int], None]]:
        """Show a bar while something takes long; yields what is called with how much more is done."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console, disable=self.console.quiet) as bar:
            task = bar.add_task(f"{words.nl} [dim]/ {words.en}[/dim]", total=total)
            yield lambda more: bar.advance(task, more)

    def closing(self, count: Count, home: Path, *, serving: bool) -> None:
        """Show what was shared, refused and why, what was verified, and how to go on while the town is served."""
        self.chapter(Words("Wat is gedeeld, wat niet, en waarom", "What was shared, what not, and why"))
        self.console.print(_reasons(count))
        self.chapter(Words("Nagekeken door een los programma", "Checked by an independent program"))
        for good, words in count.verifications():
            mark = Text("klopt      ", style="green") if good else Text("klopt niet ", style="bold red")
            self.console.print(Text.assemble(mark, words.nl, "  ", (words.en, "dim")), soft_wrap=True)
        self.console.print(f"\n{count.seconds:.1f} s\n", highlight=False)
        if serving:
            self.console.print("Probeer in een ander venster; stop met Ctrl-C.  [dim]In another terminal:[/dim]\n")
            self.console.print(how_to_go_on(home), soft_wrap=True, highlight=False, markup=False)
        else:
            self.console.print("Verder: zonder --exit blijft de stad bereikbaar; met --home DIR blijft zij bewaard.")
            self.console.print("[dim]Next: without --exit the town stays up; with --home DIR it is kept.[/dim]")

    def pages(self, origin: str, names: Sequence[str]) -> None:
        """Show where residents see all of this, and as whom one can log in."""
        self.console.print("\nKijk als inwoner in een browser:  [dim]In a browser, as a resident:[/dim]\n")
        self.console.print(f"{origin}    ({', '.join(names)})", soft_wrap=True, highlight=False, markup=False)

    def desk(self, origin: str, names: Sequence[str]) -> None:
        """Show where staff helps a resident, and as whom one can log in."""
        self.console.print("\nKijk als medewerker aan de balie:  [dim]At the desk, as its staff:[/dim]\n")
        self.console.print(f"{origin}    ({', '.join(names)})", soft_wrap=True, highlight=False, markup=False)
        self.console.print("De code van de inwoner staat in de map data/post van de viewer.")
        self.console.print("[dim]The resident's code is in the viewer's folder data/post.[/dim]")

    def console_of(self, origin: str, names: Sequence[str]) -> None:
        """Show where an auditor follows all of this, and how one logs in there."""
        self.console.print("\nKijk als toezichthouder:  [dim]As an auditor:[/dim]\n")
        self.console.print(f"{origin}    ({', '.join(names)})", soft_wrap=True, highlight=False, markup=False)
        self.console.print("Vul een zaak in, zoals 2026-001. Elke blik staat daarna in het logboek.")
        self.console.print("[dim]Name a case, such as 2026-001. Every look is in the log afterwards.[/dim]")


def how_to_go_on(home: Path) -> str:
    """Return the commands that work on this town, while `regie serve all` (or this demo) serves it."""
    town = home / "town"
    return "\n".join(
        (
            f"export REGIE_HOME={home}",
            "regie directory list",
            f"regie send {town}/arrears-lampje.csv --purpose vroegsignalering-energie --to 00000099000000007001 \\",
            "      --as 00000099000000005001          # twice creates no second exchange",
            "regie receive --as 00000099000000007001 --json",
            f"regie log verify {home}/orgs/00000099000000003000/data/ledger.db",
        )
    )


def _proved(scene: Scene) -> str:
    return ", ".join(f"{check.what}: {_plain(check.got)}" for check in scene.checks)


def _plain(value: object) -> str:
    if isinstance(value, (list, tuple, set)):
        return " ".join(str(one) for one in (sorted(value) if isinstance(value, set) else value)) or "-"
    return str(value)


def _reasons(count: Count) -> Table:
    table = Table("uitkomst / outcome", box=None)
    table.add_column("reden / reason", no_wrap=True)
    table.add_column("zender hoort / sender hears", no_wrap=True)
    table.add_column("aantal", justify="right")
    table.add_row("[green]gedeeld / shared[/green]", "ALLOWED", "ACCEPTED", str(count.delivered))
    for reason, number in sorted(count.withheld.items()):
        table.add_row("gestopt bij afleveren / stopped at delivery", reason, "ACCEPTED", str(number))
    for reason, number in sorted(count.refused.items(), key=lambda pair: (-pair[1], pair[0])):
        table.add_row("tegengehouden / blocked", reason, coarse(reason).upper(), str(number))
    table.add_section()
    table.add_row("[bold]verstuurd / sent[/bold]", "", "", f"[bold]{count.sent}[/bold]")
    return table
