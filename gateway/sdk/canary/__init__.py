"""Canaries: signals about nobody that show a wrong factor (pseudonyms.md rule 9; docs/adr/0006-canaries.md)."""
