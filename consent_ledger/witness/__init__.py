"""Witnesses of logs (c2sp.org/tlog-witness): ours, and the client of anybody's."""
