"""Share what replicas know of a runtime's failures.

Revision ID: 2026_11_21_0440
Revises: 2026_11_21_0400
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_0440"
down_revision = "2026_11_21_0400"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "runtime_circuits",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("failure_count", sa.Integer, nullable=False),
        sa.Column("opened_at", sa.Float),
        sa.CheckConstraint("state IN ('closed', 'opened', 'half-opened')"),
        sa.CheckConstraint("failure_count >= 0"),
        sa.CheckConstraint("state <> 'opened' OR opened_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("runtime_circuits")
