"""Count what callers do, for all processes together.

Revision ID: 2026_11_21_0650
Revises: 2026_11_21_0440
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_0650"
down_revision = "2026_11_21_0440"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "rate_counters",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("hits", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        prefixes=["UNLOGGED"],  # counts may be lost in a crash; without a log they cost little
    )
    op.create_index("ix_rate_counters_expires_at", "rate_counters", ["expires_at"])


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("rate_counters")
