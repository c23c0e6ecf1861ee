"""The independent verifier: it imports nothing from the writer, and raises on whatever does not check."""

from consent_ledger.log.errors import FormatError, NoteError, ProofError, VerificationError
from consent_ledger.verify.database import DatabaseReport, verify_database
from consent_ledger.verify.log import LogReport, verify_log
from consent_ledger.verify.receipt import VerifiedReceipt, verify_event, verify_receipt
from consent_ledger.verify.snapshot import RowError

__all__ = [
    "DatabaseReport",
    "FormatError",
    "LogReport",
    "NoteError",
    "ProofError",
    "RowError",
    "VerificationError",
    "VerifiedReceipt",
    "verify_database",
    "verify_event",
    "verify_log",
    "verify_receipt",
]
