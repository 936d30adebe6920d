"""Let people sign in elsewhere: outside identities, and users without a password.

Revision ID: 2026_11_21_0700
Revises: 2026_11_21_0655
"""

from alembic import op

revision = "2026_11_21_0700"
down_revision = "2026_11_21_0655"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE users ALTER COLUMN password_hash DROP NOT NULL")
    op.execute(
        """
        CREATE TABLE outside_identities (
            issuer text NOT NULL CHECK (char_length(issuer) BETWEEN 1 AND 2000),
            subject text NOT NULL CHECK (char_length(subject) BETWEEN 1 AND 255),
            user_id uuid NOT NULL REFERENCES users (id),
            created_at timestamptz NOT NULL,
            PRIMARY KEY (issuer, subject),
            UNIQUE (user_id, issuer)
        )
        """
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE outside_identities")
    # No password matches this; whose account it is signs in again once the schema is upgraded.
    op.execute("UPDATE users SET password_hash = '-' WHERE password_hash IS NULL")
    op.execute("ALTER TABLE users ALTER COLUMN password_hash SET NOT NULL")
