"""What verification raises: it never returns a boolean, so a result cannot be forgotten."""


class VerificationError(Exception):
    """Something does not check; the text says what was expected and what was found, without personal data."""


class ProofError(VerificationError):
    """A Merkle proof does not hold, or cannot be made from the tiles given."""


class NoteError(VerificationError):
    """A signed note or a note key is malformed, carries a wrong signature, or no known key signed it."""


class FormatError(VerificationError):
    """A checkpoint body, proof file, tile path or entry bundle is not in its one accepted form."""
