"""The processing log: Logboek Dataverwerkingen 1.0.0 (docs/ldv.md, ADR 12)."""
