"""Compact the logs of what ended long ago, and let what has had its time be deleted.

Revision ID: 2026_11_21_0655
Revises: 2026_11_21_0650
"""

import zlib

from alembic import op
from sqlalchemy import text

revision = "2026_11_21_0655"
down_revision = "2026_11_21_0650"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE event_chunks (
    subject_id uuid NOT NULL REFERENCES event_logs (subject_id),
    first_sequence bigint NOT NULL CHECK (first_sequence >= 1),
    last_sequence bigint NOT NULL CHECK (last_sequence >= first_sequence),
    events bytea NOT NULL,
    PRIMARY KEY (subject_id, first_sequence)
);
ALTER TABLE event_chunks ALTER COLUMN events SET STORAGE EXTERNAL; -- it is compressed already
CREATE TRIGGER event_chunks_are_immutable BEFORE UPDATE OR DELETE ON event_chunks
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE INDEX events_ended ON events (occurred_at) WHERE is_terminal;
CREATE FUNCTION keep_unless_compacted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM event_chunks
        WHERE subject_id = OLD.subject_id AND OLD.sequence BETWEEN first_sequence AND last_sequence
    ) THEN
        RAISE EXCEPTION 'event % of % is refused to go: no chunk has it', OLD.sequence, OLD.subject_id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN OLD;
END $$;
DROP TRIGGER events_are_immutable ON events;
CREATE TRIGGER events_are_immutable BEFORE UPDATE ON events
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER events_are_kept BEFORE DELETE ON events
    FOR EACH ROW EXECUTE FUNCTION keep_unless_compacted();

CREATE INDEX audit_entries_at ON audit_entries (at);
CREATE FUNCTION keep_unless_outlived() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    lifetime interval := nullif(current_setting('orchestrator.audit_lifetime', true), '')::interval;
BEGIN
    IF lifetime IS NULL OR OLD.at >= now() - greatest(lifetime, interval '30 days') THEN
        RAISE EXCEPTION 'DELETE on audit_entries is refused: entry % is within its lifetime', OLD.id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN OLD;
END $$;
DROP TRIGGER audit_entries_are_immutable ON audit_entries;
CREATE TRIGGER audit_entries_are_immutable BEFORE UPDATE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_entries_are_kept BEFORE DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION keep_unless_outlived();

CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);
"""

DOWN = """
DROP INDEX refresh_tokens_expiry, audit_entries_at, events_ended;
DROP TRIGGER audit_entries_are_kept ON audit_entries;
DROP TRIGGER audit_entries_are_immutable ON audit_entries;
CREATE TRIGGER audit_entries_are_immutable BEFORE UPDATE OR DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
DROP TRIGGER events_are_kept ON events;
DROP TRIGGER events_are_immutable ON events;
CREATE TRIGGER events_are_immutable BEFORE UPDATE OR DELETE ON events
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
DROP TABLE event_chunks;
DROP FUNCTION keep_unless_compacted, keep_unless_outlived;
"""

RESTORE = text("""
    INSERT INTO events (subject_id, sequence, type, payload, occurred_at, is_terminal)
    SELECT :subject, (event->>0)::bigint, event->>1, event->2, (event->>3)::timestamptz, (event->>4)::boolean
    FROM jsonb_array_elements(CAST(:events AS jsonb)) AS event
""")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _run(UP)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    bind = op.get_bind()
    for subject, events in bind.execute(text("SELECT subject_id, events FROM event_chunks")).all():
        bind.execute(RESTORE, {"subject": subject, "events": zlib.decompress(events).decode()})
    _run(DOWN)


def _run(statements: str) -> None:
    """Send several statements at once, which the driver's own `execute` takes and a prepared statement does not."""
    op.get_bind().connection.dbapi_connection.run_async(lambda connection: connection.execute(statements))
