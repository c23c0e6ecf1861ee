"""Where the ledger keeps its log and the tables beside it."""
