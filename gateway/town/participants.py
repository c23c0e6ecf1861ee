"""The organisations of the synthetic town. Names are invented; OINs have the prefix 00000099, which is for tests."""

from __future__ import annotations

from gateway.directory.participants import NewParticipant


def _oin(number: int) -> str:
    return f"00000099{number:012d}"


GATEWAY = NewParticipant(_oin(1000), "gateway", "Stichting Doorgeefluik")
PSEUDONYMS = NewParticipant(_oin(2000), "pseudonyms", "Stichting Tweede Sleutel")
LEDGER = NewParticipant(_oin(3000), "ledger", "Stichting Keuzeregister")
VIEWER = NewParticipant(_oin(4000), "viewer", "Stichting Mijn Regie")
AUDITOR = NewParticipant(_oin(4500), "auditor", "Toezicht op Delen")
THE_OPERATORS = (GATEWAY, PSEUDONYMS, LEDGER, VIEWER, AUDITOR)

LAMPJE = NewParticipant(_oin(5001), "energy_supplier", "Lampje Energie B.V.")
STROOMTUIN = NewParticipant(_oin(5002), "energy_supplier", "Stroomtuin B.V.")
WARMBRON = NewParticipant(_oin(5003), "energy_supplier", "Warmbron Gas en Licht B.V.")
SUPPLIERS = (LAMPJE, STROOMTUIN, WARMBRON)

TAX_OFFICE = NewParticipant(_oin(6001), "tax_office", "Belastingkantoor Voorbeeldland")

ZONNEVEEN = NewParticipant(_oin(7001), "municipality", "Gemeente Zonneveen", 120_000)
LINDEWAARD = NewParticipant(_oin(7002), "municipality", "Gemeente Lindewaard", 120_000)
MUNICIPALITIES = (ZONNEVEEN, LINDEWAARD)

TOWN = (*THE_OPERATORS, *SUPPLIERS, TAX_OFFICE, *MUNICIPALITIES)
"""Everybody in a home made by `regie init --demo`."""

SMALL = (*THE_OPERATORS, LAMPJE, TAX_OFFICE, ZONNEVEEN)
"""Everybody in a home made by `regie init` without a list of participants."""
