"""Create the authoring domain: users, logs, executions, workflows, drafts, versions, proposals.

Revision ID: 2026_11_21_0400
Revises:
"""

from alembic import op

revision = "2026_11_21_0400"
down_revision = None
branch_labels = None
depends_on = None

FILE_COLUMNS = """
    type text NOT NULL CHECK (type IN ('MARKDOWN', 'JSON', 'YAML', 'TEXT')),
    digest text NOT NULL REFERENCES contents (digest),
    size integer NOT NULL CHECK (size BETWEEN 0 AND 1048576),
    updated_at timestamptz NOT NULL
"""

PATH_CHECK = """
    CHECK (
        char_length(path) BETWEEN 1 AND 500
        AND path !~ '^/' AND path !~ '[[:cntrl:]]' AND strpos(path, chr(92)) = 0
        AND path !~ '(^|/)(\\.{0,2})(/|$)'
    )
"""

TABLES = f"""
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: its rows never change', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TABLE contents (
    digest text PRIMARY KEY CHECK (digest ~ '^[0-9a-f]{{64}}$'),
    content text NOT NULL,
    size integer NOT NULL CHECK (size = octet_length(content) AND size <= 1048576)
);
CREATE TRIGGER contents_are_immutable BEFORE UPDATE ON contents
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE users (
    id uuid PRIMARY KEY,
    email text NOT NULL UNIQUE CHECK (email = lower(email) AND email LIKE '%_@_%' AND char_length(email) <= 320),
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    password_hash text NOT NULL,
    roles text[] NOT NULL CHECK (roles <@ ARRAY['USER', 'ADMIN'] AND cardinality(roles) > 0),
    created_at timestamptz NOT NULL,
    disabled_at timestamptz
);

CREATE TABLE refresh_tokens (
    id uuid PRIMARY KEY,
    family_id uuid NOT NULL,
    user_id uuid NOT NULL REFERENCES users (id),
    token_hash bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > created_at),
    used_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX refresh_tokens_family ON refresh_tokens (family_id);
CREATE INDEX refresh_tokens_user ON refresh_tokens (user_id);

CREATE TABLE event_logs (
    subject_id uuid PRIMARY KEY,
    last_sequence bigint NOT NULL CHECK (last_sequence >= 0),
    epoch bigint NOT NULL CHECK (epoch >= 0),
    is_closed boolean NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE events (
    subject_id uuid NOT NULL REFERENCES event_logs (subject_id),
    sequence bigint NOT NULL CHECK (sequence >= 1),
    type text NOT NULL,
    payload jsonb NOT NULL,
    is_terminal boolean NOT NULL,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (subject_id, sequence)
);
CREATE UNIQUE INDEX events_one_terminal ON events (subject_id) WHERE is_terminal;
CREATE TRIGGER events_are_immutable BEFORE UPDATE OR DELETE ON events
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE executions (
    id uuid PRIMARY KEY REFERENCES event_logs (subject_id),
    state text NOT NULL CHECK (state IN ('QUEUED', 'RUNNING', 'ENDED', 'TO_FORGET', 'FORGOTTEN')),
    request jsonb NOT NULL,
    due_at timestamptz NOT NULL,
    attempts integer NOT NULL CHECK (attempts >= 0),
    epoch bigint NOT NULL CHECK (epoch >= 0),
    lease_owner integer,
    lease_expires_at timestamptz,
    runtime text,
    thread_id text,
    handle jsonb NOT NULL,
    frames_ingested bigint NOT NULL CHECK (frames_ingested >= 0),
    input_tokens bigint NOT NULL CHECK (input_tokens >= 0),
    output_tokens bigint NOT NULL CHECK (output_tokens >= 0),
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    ended_at timestamptz,
    CHECK ((lease_owner IS NULL) = (lease_expires_at IS NULL))
);
CREATE INDEX executions_due ON executions (due_at) WHERE state IN ('QUEUED', 'RUNNING', 'TO_FORGET');

CREATE TABLE execution_files (
    execution_id uuid NOT NULL REFERENCES executions (id),
    path text NOT NULL {PATH_CHECK},
    from_sequence bigint NOT NULL CHECK (from_sequence >= 0),
    to_sequence bigint CHECK (to_sequence > from_sequence),
    {FILE_COLUMNS},
    PRIMARY KEY (execution_id, path, from_sequence)
);
CREATE UNIQUE INDEX execution_files_current ON execution_files (execution_id, path) WHERE to_sequence IS NULL;

CREATE TABLE workflows (
    id uuid PRIMARY KEY REFERENCES event_logs (subject_id),
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    description text CHECK (char_length(description) <= 10000),
    is_archived boolean NOT NULL,
    production_version_number integer,
    lock_holder_id uuid REFERENCES users (id),
    lock_acquired_at timestamptz,
    lock_expires_at timestamptz CHECK (lock_expires_at > lock_acquired_at),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    CHECK (
        (lock_holder_id IS NULL) = (lock_acquired_at IS NULL)
        AND (lock_holder_id IS NULL) = (lock_expires_at IS NULL)
    )
);
CREATE INDEX workflows_updated ON workflows (updated_at, id) WHERE deleted_at IS NULL;

CREATE TABLE workflow_members (
    workflow_id uuid NOT NULL REFERENCES workflows (id),
    user_id uuid NOT NULL REFERENCES users (id),
    role text NOT NULL CHECK (role IN ('VIEWER', 'EDITOR', 'OWNER')),
    since timestamptz NOT NULL,
    PRIMARY KEY (workflow_id, user_id)
);
CREATE INDEX workflow_members_user ON workflow_members (user_id, workflow_id);

CREATE FUNCTION require_an_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM workflow_members WHERE workflow_id = OLD.workflow_id AND role = 'OWNER') THEN
        RAISE EXCEPTION 'workflow % would have no owner', OLD.workflow_id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER workflow_members_keep_an_owner AFTER UPDATE OR DELETE ON workflow_members
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_an_owner();

CREATE TABLE drafts (
    id uuid PRIMARY KEY,
    workflow_id uuid NOT NULL REFERENCES workflows (id),
    name text NOT NULL,
    description text,
    status text NOT NULL CHECK (status IN ('IN_PROGRESS', 'READY_TO_PUBLISH', 'ABANDONED')),
    revision integer NOT NULL CHECK (revision >= 1),
    based_on_version_number integer,
    created_by_id uuid NOT NULL REFERENCES users (id),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    closed_at timestamptz,
    CONSTRAINT drafts_workflow_id UNIQUE (workflow_id, id),
    CHECK (status <> 'ABANDONED' OR closed_at IS NOT NULL)
);
CREATE UNIQUE INDEX drafts_one_open ON drafts (workflow_id) WHERE closed_at IS NULL;

CREATE TABLE draft_files (
    draft_id uuid NOT NULL REFERENCES drafts (id),
    path text NOT NULL {PATH_CHECK},
    from_revision integer NOT NULL CHECK (from_revision >= 1),
    to_revision integer CHECK (to_revision > from_revision),
    {FILE_COLUMNS},
    PRIMARY KEY (draft_id, path, from_revision)
);
CREATE UNIQUE INDEX draft_files_current ON draft_files (draft_id, path) WHERE to_revision IS NULL;

CREATE TABLE versions (
    id uuid PRIMARY KEY,
    workflow_id uuid NOT NULL REFERENCES workflows (id),
    number integer NOT NULL CHECK (number >= 1),
    draft_id uuid NOT NULL UNIQUE,
    status text NOT NULL CHECK (status IN ('PUBLISHED', 'DEPRECATED')),
    notes text,
    published_by_id uuid NOT NULL REFERENCES users (id),
    published_at timestamptz NOT NULL,
    CONSTRAINT versions_number UNIQUE (workflow_id, number),
    CONSTRAINT versions_draft_of_workflow FOREIGN KEY (workflow_id, draft_id) REFERENCES drafts (workflow_id, id)
);
ALTER TABLE workflows ADD CONSTRAINT workflows_production_version
    FOREIGN KEY (id, production_version_number) REFERENCES versions (workflow_id, number);
ALTER TABLE drafts ADD CONSTRAINT drafts_based_on_version
    FOREIGN KEY (workflow_id, based_on_version_number) REFERENCES versions (workflow_id, number);

CREATE FUNCTION keep_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR (to_jsonb(NEW) - 'status') IS DISTINCT FROM (to_jsonb(OLD) - 'status') THEN
        RAISE EXCEPTION 'version % is published: only its status changes', OLD.id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NEW.status = 'DEPRECATED' AND EXISTS (
        SELECT FROM workflows WHERE id = NEW.workflow_id AND production_version_number = NEW.number
    ) THEN
        RAISE EXCEPTION 'version % is in production: it can not be deprecated', OLD.id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER versions_are_kept BEFORE UPDATE OR DELETE ON versions
    FOR EACH ROW EXECUTE FUNCTION keep_version();

CREATE TABLE version_files (
    version_id uuid NOT NULL REFERENCES versions (id),
    path text NOT NULL {PATH_CHECK},
    {FILE_COLUMNS},
    PRIMARY KEY (version_id, path)
);
CREATE TRIGGER version_files_are_immutable BEFORE UPDATE OR DELETE ON version_files
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE FUNCTION refuse_late_file() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM versions
        WHERE id = NEW.version_id AND (status <> 'PUBLISHED' OR xmin::text <> pg_current_xact_id()::xid::text)
    ) THEN
        RAISE EXCEPTION 'version % is published: it takes no more files', NEW.version_id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER version_files_come_with_their_version BEFORE INSERT ON version_files
    FOR EACH ROW EXECUTE FUNCTION refuse_late_file();

CREATE TABLE proposals (
    id uuid PRIMARY KEY REFERENCES executions (id),
    workflow_id uuid NOT NULL REFERENCES workflows (id),
    draft_id uuid NOT NULL,
    status text NOT NULL CHECK (status IN (
        'PENDING', 'PROCESSING', 'COMPLETED', 'FAILED', 'CANCELLED', 'APPROVED', 'REJECTED', 'SUPERSEDED', 'EXPIRED'
    )),
    prompt text NOT NULL CHECK (char_length(prompt) BETWEEN 1 AND 100000),
    context_file_path text,
    context_selection text,
    base_revision integer NOT NULL CHECK (base_revision >= 1),
    impact_analysis text,
    failure_code text,
    failure_message text,
    failure_is_retryable boolean,
    retry_of_id uuid REFERENCES proposals (id) CHECK (retry_of_id <> id),
    decided_by_id uuid REFERENCES users (id),
    decided_at timestamptz,
    decision_comment text,
    decision_draft_revision integer,
    applied_paths text[] NOT NULL,
    created_by_id uuid NOT NULL REFERENCES users (id),
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    completed_at timestamptz,
    CONSTRAINT proposals_draft_of_workflow FOREIGN KEY (workflow_id, draft_id) REFERENCES drafts (workflow_id, id),
    CHECK ((failure_code IS NULL) = (failure_message IS NULL)),
    CHECK ((failure_code IS NULL) = (failure_is_retryable IS NULL)),
    CHECK (status <> 'FAILED' OR failure_code IS NOT NULL),
    CHECK (status IN ('PENDING', 'PROCESSING') OR completed_at IS NOT NULL),
    CHECK (status NOT IN ('APPROVED', 'REJECTED', 'SUPERSEDED', 'EXPIRED', 'CANCELLED') OR decided_at IS NOT NULL),
    CHECK ((status = 'APPROVED') = (decision_draft_revision IS NOT NULL))
);
CREATE INDEX proposals_workflow ON proposals (workflow_id, created_at DESC, id DESC);
CREATE INDEX proposals_created ON proposals (created_at DESC, id DESC);
CREATE INDEX proposals_draft ON proposals (draft_id);
CREATE INDEX proposals_running ON proposals (created_by_id) WHERE status IN ('PENDING', 'PROCESSING');
CREATE INDEX proposals_undecided ON proposals (completed_at) WHERE status IN ('COMPLETED', 'FAILED');

CREATE FUNCTION keep_final_proposal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status <> NEW.status AND NOT (CASE OLD.status
        WHEN 'PENDING' THEN NEW.status IN ('PROCESSING', 'FAILED', 'CANCELLED', 'REJECTED')
        WHEN 'PROCESSING' THEN NEW.status IN ('COMPLETED', 'FAILED', 'CANCELLED', 'REJECTED')
        WHEN 'COMPLETED' THEN NEW.status IN ('APPROVED', 'REJECTED', 'SUPERSEDED', 'EXPIRED')
        WHEN 'FAILED' THEN NEW.status IN ('REJECTED', 'EXPIRED')
        ELSE false
    END) THEN
        RAISE EXCEPTION 'proposal % can not go from % to %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER proposals_move_forward BEFORE UPDATE ON proposals
    FOR EACH ROW EXECUTE FUNCTION keep_final_proposal();

CREATE TABLE audit_entries (
    id uuid PRIMARY KEY,
    workflow_id uuid NOT NULL REFERENCES workflows (id),
    at timestamptz NOT NULL,
    actor_id uuid REFERENCES users (id),
    action text NOT NULL,
    subject text NOT NULL,
    details jsonb NOT NULL,
    request_id text
);
CREATE INDEX audit_entries_workflow ON audit_entries (workflow_id, at DESC, id DESC);
CREATE TRIGGER audit_entries_are_immutable BEFORE UPDATE OR DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE idempotency_keys (
    user_id uuid NOT NULL REFERENCES users (id),
    key text NOT NULL CHECK (char_length(key) BETWEEN 1 AND 255),
    input_digest text NOT NULL,
    result_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, key)
);
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);
"""

DROP = """
ALTER TABLE workflows DROP CONSTRAINT workflows_production_version;
ALTER TABLE drafts DROP CONSTRAINT drafts_based_on_version;
DROP TABLE idempotency_keys, audit_entries, proposals, version_files, versions, draft_files, drafts,
    workflow_members, workflows, execution_files, executions, events, event_logs, refresh_tokens, users, contents;
DROP FUNCTION refuse_change, refuse_late_file, require_an_owner, keep_version, keep_final_proposal;
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _run(TABLES)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _run(DROP)


def _run(statements: str) -> None:
    """Send several statements at once, which the driver's own `execute` takes and a prepared statement does not."""
    op.get_bind().connection.dbapi_connection.run_async(lambda connection: connection.execute(statements))
