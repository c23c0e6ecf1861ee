"""A permit names the newest report on it, so that a page of a long record finds it without reading all that follows."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column; ``regie ledger rebuild`` fills it for reports that came before."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # the only integers of a STRICT table
    op.add_column("permit", sa.Column("outcome_idx", number))
