"""The consent ledger: events, decisions, and the transparency log that proves them."""
