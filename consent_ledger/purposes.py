"""The catalogue of purposes that `regie init` publishes into a new log.

A purpose is data: what the code does with it is in decide.py, what people read of it is here. Texts are for
residents: plain Dutch (B1) and equal English, without words that blame (R39, R40).
"""

from __future__ import annotations

from consent_ledger.purpose import Item, Purpose, Text

__all__ = ["CATALOGUE", "Item", "Purpose", "Text"]

_ARREARS = Item("betalingsachterstand", Text("dat u een rekening nog niet heeft betaald", "that a bill is unpaid"))
_INCOME = Item("inkomen_gedaald", Text("dat uw inkomen is gedaald", "that your income has fallen"))
_LEDGER_DAYS = 2 * 365
"""Two years: the longest yes and the year after a no in which nobody asks again (R6, R9) have passed, and every outcome
is overdue (R22). The ledger keeps what still decides for as long as it does."""
_SENDERS = ("energy_supplier", "tax_office")
_ANYBODY = ("gateway", "pseudonyms", "ledger", "viewer", "energy_supplier", "tax_office", "municipality")

_EARLY_SIGNAL = Purpose(
    id="vroegsignalering-energie",
    version=1,
    title=Text("Hulp bij een energierekening", "Help with an energy bill"),
    description=Text(
        "Uw energiebedrijf laat uw gemeente weten dat u een rekening nog niet heeft betaald. De gemeente biedt hulp.",
        "Your energy company tells your municipality that you have not yet paid a bill. The municipality offers help.",
    ),
    legal_ground=Text(
        "Wet gemeentelijke schuldhulpverlening, artikel 3, lid 1, onder b. Daarbovenop beslist u zelf.",
        "Municipal Debt Assistance Act, article 3(1)(b). On top of that, you decide yourself.",
    ),
    items=(_ARREARS,),
    schemes=("nl.addr-dob",),
    sender_kinds=("energy_supplier",),
    recipient_kinds=("municipality",),
    not_shared=Text(
        "Niet gedeeld: het bedrag, uw verbruik en uw betaalgegevens.",
        "Not shared: the amount, your usage and your payment details.",
    ),
    next_step=Text(
        "Een medewerker van de gemeente neemt contact met u op. U bepaalt of u hulp wilt.",
        "A person from the municipality contacts you. You decide whether you want help.",
    ),
    signal_type="ARREARS",
    longest_validity_months=12,
    most_exchanges_per_30_days=5,
    retention_days=180,
    ledger_retention_days=_LEDGER_DAYS,
)

_INCOME_DROP = Purpose(
    id="regelingen-bij-inkomensdaling",
    version=1,
    title=Text("Hulp als uw inkomen daalt", "Help when your income falls"),
    description=Text(
        "De Belastingdienst laat uw gemeente weten dat uw inkomen is gedaald. De gemeente kijkt of er een regeling is "
        "die misschien bij u past.",
        "The tax office tells your municipality that your income has fallen. The municipality looks whether there is a "
        "scheme that may suit you.",
    ),
    legal_ground=Text(
        "Voorstel van wet proactieve dienstverlening (36 799). Daarbovenop beslist u zelf.",
        "Bill on proactive services (36 799). On top of that, you decide yourself.",
    ),
    items=(_INCOME,),
    schemes=("nl.bsn",),
    sender_kinds=("tax_office",),
    recipient_kinds=("municipality",),
    not_shared=Text("Niet gedeeld: hoe hoog uw inkomen is.", "Not shared: how high your income is."),
    next_step=Text(
        "De gemeente stuurt u informatie over regelingen die misschien bij u passen. U vraagt zelf aan.",
        "The municipality sends you information about schemes that may suit you. You apply yourself.",
    ),
    signal_type="INCOME_DROP",
    longest_validity_months=12,
    most_exchanges_per_30_days=5,
    retention_days=180,
    ledger_retention_days=_LEDGER_DAYS,
)


def _prohibited(identity: str, title: Text, because: Text) -> Purpose:
    """Make a purpose that may never be authorised. It is published so that people can read that, and why (R13)."""
    return Purpose(
        id=identity,
        version=1,
        title=title,
        description=Text("Gegevens delen voor dit doel is verboden.", "Sharing data for this purpose is not allowed."),
        legal_ground=Text("Er is geen grondslag.", "There is no legal ground."),
        items=(_ARREARS, _INCOME),
        schemes=("nl.bsn", "nl.addr-dob"),
        sender_kinds=_SENDERS,
        recipient_kinds=_ANYBODY,
        not_shared=Text("Niet gedeeld: alles.", "Not shared: everything."),
        next_step=Text("Er wordt niets gedeeld. U hoeft niets te doen.", "Nothing is shared. You need do nothing."),
        prohibited=True,
        prohibited_because=because,
        longest_validity_months=0,
        ledger_retention_days=_LEDGER_DAYS,
    )


CATALOGUE: tuple[Purpose, ...] = (
    _EARLY_SIGNAL,
    _INCOME_DROP,
    _prohibited(
        "gerichte-advertentie",
        Text("Reclame die op u gericht is", "Advertising aimed at you"),
        Text(
            "Een signaal is er om te helpen. Niemand mag er iets mee verkopen.",
            "A signal is there to help. Nobody may use it to sell something.",
        ),
    ),
    _prohibited(
        "handhaving",
        Text("Controle en straf", "Enforcement"),
        Text(
            "Een signaal om te helpen mag nooit gebruikt worden om u te controleren of te straffen.",
            "A signal meant to help may never be used to check on you or to punish you.",
        ),
    ),
    _prohibited(
        "fraudeopsporing",
        Text("Zoeken naar fraude", "Fraud detection"),
        Text(
            "Wie hulp nodig heeft, wordt niet verdacht. Een signaal om te helpen is geen bewijs van fraude.",
            "Who needs help is not a suspect. A signal meant to help is no evidence of fraud.",
        ),
    ),
    _prohibited(
        "incasso",
        Text("Geld innen", "Debt collection"),
        Text(
            "Een signaal om te helpen mag nooit gebruikt worden om sneller geld bij u te halen.",
            "A signal meant to help may never be used to collect money from you faster.",
        ),
    ),
    _prohibited(
        "profilering",
        Text("Een profiel van u maken", "Profiling"),
        Text(
            "Niemand mag raden hoe het met u gaat. Wat geraden is of over uw gezondheid gaat, wordt niet gedeeld.",
            "Nobody may guess how you are doing. What is guessed or about your health is not shared.",
        ),
    ),
)
"""The purposes of a new log, all in version 1."""
