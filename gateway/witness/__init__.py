"""The witness's home and role, and the ledger's side of asking witnesses."""
