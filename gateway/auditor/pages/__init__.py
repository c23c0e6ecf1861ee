"""Pages of the console: each module with ``routes`` is one, found by being here."""
