"""The role that serves the residents' pages: settings, login, sessions, and the way to ledger and gateway."""
