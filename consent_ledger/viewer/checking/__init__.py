"""Checking in the browser: the program that does it, and the proofs that it is given (residents.md, R24)."""
