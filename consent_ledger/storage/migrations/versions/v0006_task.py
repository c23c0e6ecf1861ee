"""What organisations are asked to do: questions of residents to answer, stop-use notices to acknowledge."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the table; a log of an older version asks nobody anything."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # the only integers of a STRICT table
    op.create_table(
        "task",
        sa.Column("idx", number, primary_key=True, autoincrement=False),
        sa.Column("organisation", sa.LargeBinary, nullable=False),
        sa.Column("due_ms", number, nullable=False),
        sa.Column("done_idx", number, nullable=True),
        sqlite_strict=True,
    )
    op.create_index("ix_task_organisation", "task", ["organisation", "idx"])
