"""The auditor's console: follows the log, shows it, recomputes it. It holds no identifier, name, salt or payload."""
