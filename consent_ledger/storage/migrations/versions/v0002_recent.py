"""Subjects keep their newest log indices themselves: one random page less to write for each signal."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column; what stands in ``subject_entry`` stays there, and is read after the newest ones."""
    nothing = sa.text("''::bytea" if op.get_context().dialect.name == "postgresql" else "x''")
    op.add_column("subject", sa.Column("recent", sa.LargeBinary, nullable=False, server_default=nothing))
