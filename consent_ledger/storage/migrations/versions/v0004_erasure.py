"""Erased entries wait here to be announced together; answers to changes name their entry, and go with it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add them; answers given before name no entry, and are erased with none."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # the only integers of a STRICT table
    op.add_column("change", sa.Column("idx", number, nullable=False, server_default=sa.text("-1")))
    op.create_index("ix_change_idx", "change", ["idx"])
    op.create_table(
        "erasure",
        sa.Column("idx", number, primary_key=True, autoincrement=False),
        sa.Column("ground", sa.Text, nullable=False),
        sa.Column("first", number, nullable=False),
        sa.Column("erased_ms", number, nullable=False),
        sqlite_strict=True,
    )
