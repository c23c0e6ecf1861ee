"""What residents take along: everything as JSON, consent receipts of ISO/IEC TS 27560, and proofs of log entries."""
