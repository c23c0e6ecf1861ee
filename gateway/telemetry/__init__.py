"""Logs and traces that cannot carry personal data: both let only known keys through."""
