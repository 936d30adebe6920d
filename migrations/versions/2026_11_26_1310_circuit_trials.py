"""Count the trials of a circuit that is half open, and the states that it was in.

Revision ID: 2026_11_26_1310
Revises: 2026_11_21_0725
"""

from alembic import op

revision = "2026_11_26_1310"
down_revision = "2026_11_21_0725"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("""
        ALTER TABLE runtime_circuits
            ADD COLUMN epoch bigint NOT NULL DEFAULT 0,
            ADD COLUMN trials integer NOT NULL DEFAULT 0 CHECK (trials >= 0)
    """)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE runtime_circuits DROP COLUMN epoch, DROP COLUMN trials")
