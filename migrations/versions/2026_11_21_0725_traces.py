"""Remember what trace an execution was ordered in.

Revision ID: 2026_11_21_0725
Revises: 2026_11_21_0700
"""

from alembic import op

revision = "2026_11_21_0725"
down_revision = "2026_11_21_0700"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE executions ADD COLUMN traceparent text")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE executions DROP COLUMN traceparent")
