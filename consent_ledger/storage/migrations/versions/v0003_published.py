"""The newest checkpoint that witnesses cosigned: a restarted replica serves it at once."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the table."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # the only integers of a STRICT table
    op.create_table(
        "published",
        sa.Column("id", number, primary_key=True, autoincrement=False),
        sa.Column("size", number, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("cosigned_ms", number, nullable=False),
        sqlite_strict=True,
    )
