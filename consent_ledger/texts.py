"""What residents are told about each exchange (residents.md, "Reason codes"), and the sentence a recipient gets.

Plain Dutch (B1) and equal English; no word that blames (R40). A block is shown as protection, never as an error (R19).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from consent_ledger.dates import day_en, day_nl
from consent_ledger.purpose import Purpose, Text
from consent_ledger.v1 import events_pb2 as pb

EXPLANATION_BYTES = 700
"""Longest explanation in one language, so that a released signal fits its slot (writing/release.py)."""

_Sentence = Callable[[int, str], Text]


def _fixed(nl: str, en: str) -> _Sentence:
    return lambda _date_ms, _asker: Text(nl, en)


def _dated(nl: str, en: str) -> _Sentence:
    """Make a sentence with the date the reason speaks of."""
    return lambda date_ms, _asker: Text(nl.format(day_nl(date_ms)), en.format(day_en(date_ms)))


def _asked(nl: str, en: str) -> _Sentence:
    """Make a sentence with the name of who asked."""
    return lambda _date_ms, asker: Text(nl.format(asker), en.format(asker))


def _paused(until_ms: int, _asker: str) -> Text:
    if not until_ms:
        return Text("Tegengehouden. U heeft alles op pauze gezet.", "Blocked. You paused everything.")
    return Text(
        f"Tegengehouden. U heeft alles op pauze gezet, tot {day_nl(until_ms)}.",
        f"Blocked. You paused everything, until {day_en(until_ms)}.",
    )


_SENTENCES: dict[int, _Sentence] = {
    pb.REASON_ALLOWED: _dated("Gedeeld. U gaf hiervoor toestemming op {}.", "Shared. You agreed to this on {}."),
    pb.REASON_PURPOSE_PROHIBITED: _fixed(
        "Tegengehouden. Gegevens delen voor dit doel is verboden. U hoeft niets te doen.",
        "Blocked. Sharing data for this purpose is not allowed. You need do nothing.",
    ),
    pb.REASON_PURPOSE_UNKNOWN: _fixed(
        "Tegengehouden. Dit doel bestaat niet. U hoeft niets te doen.",
        "Blocked. This purpose does not exist. You need do nothing.",
    ),
    pb.REASON_PARTY_UNKNOWN: _fixed(
        "Tegengehouden. Deze organisaties mogen hiervoor niets delen. U hoeft niets te doen.",
        "Blocked. These organisations may share nothing for this. You need do nothing.",
    ),
    pb.REASON_PAUSED: _paused,
    pb.REASON_NO_CONSENT: _fixed(
        "Tegengehouden. U heeft hierover nog niets gekozen.", "Blocked. You have not made a choice about this."
    ),
    pb.REASON_REFUSED: _dated("Tegengehouden. U koos 'nee' op {}.", "Blocked. You said no on {}."),
    pb.REASON_WITHDRAWN: _dated("Tegengehouden. U stopte dit op {}.", "Blocked. You stopped this on {}."),
    pb.REASON_EXPIRED: _dated("Tegengehouden. Uw toestemming liep tot {}.", "Blocked. Your consent ended on {}."),
    pb.REASON_NOT_YET_VALID: _dated(
        "Tegengehouden. Uw toestemming gaat in op {}.", "Blocked. Your consent starts on {}."
    ),
    pb.REASON_SCOPE_EXCEEDED: _asked(
        "Tegengehouden. {} vroeg meer gegevens dan u toestaat.", "Blocked. {} asked for more data than you allow."
    ),
    pb.REASON_BELOW_THRESHOLD: _fixed(
        "Tegengehouden. U deelt dit pas als het ernstiger is.", "Blocked. You share this only when it is more serious."
    ),
    pb.REASON_GENERAL_ONLY: _fixed(
        "Tegengehouden. U wilt alleen algemene informatie.", "Blocked. You want only general information."
    ),
    pb.REASON_RATE_CAP: _fixed(
        "Tegengehouden. Dit is vaker dan u wilt of dan het doel toestaat.",
        "Blocked. This is more often than you want or than the purpose allows.",
    ),
    pb.REASON_SELF_FIRST_WINDOW: _dated(
        "Nog niet gedeeld. U wilde het eerst zelf proberen, tot {}.",
        "Not shared yet. You wanted to try it yourself first, until {}.",
    ),
    pb.REASON_AWAITING_RESIDENT: _dated(
        "Nog niet gedeeld. U beslist, tot {}. Geen reactie is nee.",
        "Not shared yet. You decide, until {}. No answer means no.",
    ),
    pb.REASON_RECEIVER_CANNOT_HONOUR: _fixed(
        "Tegengehouden. De ontvanger kan u niet bereiken op een manier die u wilt.",
        "Blocked. The recipient cannot reach you in a way that you want.",
    ),
    pb.REASON_LEDGER_UNAVAILABLE: _fixed(
        "Niet gedeeld. Wij konden uw keuze niet controleren.", "Not shared. We could not check your choice."
    ),
}


_SILENT = _dated(
    "Tegengehouden. Er kwam geen antwoord van u, tot {}. Geen reactie is nee.",
    "Blocked. You did not answer, until {}. No answer means no.",
)


def sentence(reason: int, date_ms: int, asker: str, *, silent: bool = False) -> Text:
    """Tell a resident what happened; ``date_ms`` as in Decision, ``asker`` is the organisation that wanted to share.

    ``silent``: refused because a question was not answered in time. Who said nothing did not say no.
    """
    if silent and reason == pb.REASON_REFUSED:
        return _SILENT(date_ms, asker)
    return _SENTENCES[reason](date_ms, asker)


SOLVED_ALONE = Text("U loste het zelf op. Er is niets gedeeld.", "You solved it yourself. Nothing was shared.")
"""To a resident who wanted to try it alone first: the sender did not report it again (AS4d)."""


def waiting(agreed_ms: int) -> Text:
    """Tell a resident of something permitted that the recipient has not collected yet."""
    return Text(
        f"Nog niet opgehaald. U gaf hiervoor toestemming op {day_nl(agreed_ms)}.",
        f"Not collected yet. You agreed to this on {day_en(agreed_ms)}.",
    )


def not_collected(agreed_ms: int) -> Text:
    """Tell a resident of something permitted that the recipient did not collect in time, so that nobody can open it."""
    return Text(
        f"Niet gedeeld. De ontvanger haalde het niet op tijd op. U gaf hiervoor toestemming op {day_nl(agreed_ms)}.",
        f"Not shared. The recipient did not collect it in time. You agreed to this on {day_en(agreed_ms)}.",
    )


def withheld(reason: int, date_ms: int, asker: str) -> Text:
    """Tell a resident why something that was permitted was stopped at delivery."""
    why = sentence(reason, date_ms, asker)
    return Text(
        f"Alsnog tegengehouden, voordat het werd afgeleverd. {why.nl.removeprefix('Tegengehouden. ')}",
        f"Stopped after all, before it was delivered. {why.en.removeprefix('Blocked. ')}",
    )


def explanation(purpose: Purpose, sender: str, recipient: str, items: Iterable[str], agreed_ms: int) -> Text:
    """Return the ready sentence that travels with a delivery (R34): who shared what, why, since when, how to stop."""
    labels = [purpose.label(item) for item in items]
    nl = (
        f"U gaf op {day_nl(agreed_ms)} toestemming: {sender} mag {recipient} laten weten "
        f"{' en '.join(label.nl for label in labels)}. Doel: {purpose.title.nl}. {purpose.not_shared.nl} "
        "U kunt dit altijd stoppen."
    )
    en = (
        f"On {day_en(agreed_ms)} you agreed: {sender} may tell {recipient} "
        f"{' and '.join(label.en for label in labels)}. Purpose: {purpose.title.en}. {purpose.not_shared.en} "
        "You can stop this at any time."
    )
    return Text(_fit(nl), _fit(en))


def _fit(text: str) -> str:
    data = text.encode()
    if len(data) <= EXPLANATION_BYTES:
        return text
    return data[: EXPLANATION_BYTES - 3].decode(errors="ignore") + "…"
