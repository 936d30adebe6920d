"""What the database itself refuses, whatever the code above it does; and that migrations go up, down and up again."""

import ast
import hashlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import text

from graphql_api.authoring.models import ProposalStatus
from graphql_api.kit import migrations
from graphql_api.kit.database import Database
from graphql_api.kit.files import InvalidFile, checked_path
from graphql_api.kit.migrations import MigrationError, SchemaState

pytestmark = pytest.mark.anyio

FreshDatabase = Callable[..., Awaitable[Database]]

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)

PATHS_OF_FILES = ["a", "a.md", "a/b/c.md", ".hidden", "...", "a/.../b", "..a", "a..", "a b", "é", "文件.md", "a" * 500]
PATHS_OF_NOTHING = [
    "", "/", "/a", "a/", "a//b", ".", "..", "./a", "../a", "a/.", "a/..", "a/./b", "a/../b", "a\\b", "a\nb", "a\x01b",
    "a\x7fb", "a" * 501,
]  # fmt: skip


class Rows:
    """Inserts rows that satisfy every rule, but for what a test gives.

    Args:
        connection: In a transaction, when the rows are to go.
    """

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection

    async def insert(self, table: str, **values: Any) -> None:  # noqa: ANN401 - values of any column
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        await self.connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})", *values.values())

    async def user(self, **values: Any) -> UUID:  # noqa: ANN401
        key = uuid4()
        row = {"email": f"{key}@example.com", "name": "Ada", "password_hash": "-", "roles": ["USER"], "created_at": NOW}
        await self.insert("users", **({"id": key} | row | values))
        return key

    async def log(self, **values: Any) -> UUID:  # noqa: ANN401
        key = uuid4()
        row = {"subject_id": key, "last_sequence": 0, "epoch": 0, "is_closed": False, "created_at": NOW}
        await self.insert("event_logs", **(row | values))
        return key

    async def workflow(self, **values: Any) -> UUID:  # noqa: ANN401
        row = {"id": await self.log(), "name": "W", "is_archived": False, "created_at": NOW, "updated_at": NOW} | values
        await self.insert("workflows", **row)
        return UUID(str(row["id"]))

    async def draft(self, workflow: UUID, **values: Any) -> UUID:  # noqa: ANN401
        row = {"id": uuid4(), "workflow_id": workflow, "name": "D", "status": "IN_PROGRESS", "revision": 1}
        row |= {"created_by_id": await self.user(), "created_at": NOW, "updated_at": NOW} | values
        await self.insert("drafts", **row)
        return UUID(str(row["id"]))

    async def version(self, workflow: UUID, **values: Any) -> UUID:  # noqa: ANN401
        row = {"id": uuid4(), "workflow_id": workflow, "number": 1, "status": "PUBLISHED", "published_at": NOW} | values
        row.setdefault("published_by_id", await self.user())
        if "draft_id" not in row:
            row["draft_id"] = await self.draft(workflow, closed_at=NOW)
        await self.insert("versions", **row)
        return UUID(str(row["id"]))

    async def content(self, content: str = "x") -> str:
        digest = hashlib.sha256(content.encode()).hexdigest()
        await self.connection.execute(
            "INSERT INTO contents VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", digest, content, len(content.encode())
        )
        return digest

    async def file(self, table: str, **values: Any) -> None:  # noqa: ANN401
        row = {"path": "a.md", "type": "MARKDOWN", "digest": await self.content(), "size": 1, "updated_at": NOW}
        await self.insert(table, **(row | values))

    async def execution(self, **values: Any) -> UUID:  # noqa: ANN401
        row = {"id": await self.log(), "state": "QUEUED", "request": "{}", "due_at": NOW, "attempts": 0, "epoch": 0}
        row |= {"handle": "{}", "frames_ingested": 0, "input_tokens": 0, "output_tokens": 0, "created_at": NOW}
        await self.insert("executions", **(row | values))
        return UUID(str(row["id"]))

    async def proposal(self, status: str = "PENDING", **values: Any) -> UUID:  # noqa: ANN401
        workflow = values.get("workflow_id") or await self.workflow()
        row = {
            "id": await self.execution(),
            "workflow_id": workflow,
            "status": status,
            "prompt": "Do.",
            "base_revision": 1,
        }
        row |= {"applied_paths": [], "created_by_id": await self.user(), "created_at": NOW}
        if "draft_id" not in values:
            row["draft_id"] = await self.draft(workflow)
        await self.insert("proposals", **(row | facts_of(status) | values))
        return UUID(str(row["id"]))

    async def refuses(self, rule: str, statement: str, *arguments: object) -> None:
        """Assert that a rule refuses a statement, deferred rules included."""

        async def try_it() -> None:
            await self.connection.execute(statement, *arguments)
            await self.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")

        await self.refused(rule, try_it())

    async def refused(self, rule: str, insertion: Awaitable[object]) -> None:
        """Assert that a rule refuses an insertion."""
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=rule):
            async with self.connection.transaction():
                await insertion


def facts_of(status: str) -> dict[str, Any]:
    """Give what a proposal of a status must have."""
    facts: dict[str, Any] = {}
    if status not in {"PENDING", "PROCESSING"}:
        facts["completed_at"] = NOW
    if status in {"APPROVED", "REJECTED", "SUPERSEDED", "EXPIRED", "CANCELLED"}:
        facts["decided_at"] = NOW
    if status == "FAILED":
        facts |= {"failure_code": "RUNTIME_FAILED", "failure_message": "It broke.", "failure_is_retryable": True}
    if status == "APPROVED":
        facts["decision_draft_revision"] = 2
    return facts


@pytest.fixture
async def rows(database: Database) -> AsyncIterator[Rows]:
    """Rows that go at the end of the test."""
    connection = await database.connect()
    transaction = connection.transaction()
    await transaction.start()
    yield Rows(connection)
    await transaction.rollback()
    await connection.close()


class TestUsers:
    @pytest.mark.parametrize(
        "values",
        [
            {"email": "Ada@example.com"},
            {"email": "nobody"},
            {"email": "@example.com"},
            {"email": "ada@"},
            {"email": "a" * 310 + "@example.com"},
            {"name": ""},
            {"name": "a" * 201},
            {"roles": []},
            {"roles": ["ROOT"]},
        ],
        ids=str,
    )
    async def test_a_rule_of_a_column_is_kept(self, rows: Rows, values: dict[str, object]) -> None:
        await rows.refused(f"users_{next(iter(values))}_check", rows.user(**values))

    async def test_an_address_is_taken_once(self, rows: Rows) -> None:
        await rows.user(email="taken@example.com")
        await rows.refused("users_email_key", rows.user(email="taken@example.com"))

    async def test_a_refresh_token_is_a_whole_digest_and_expires_after_it_was_made(self, rows: Rows) -> None:
        token = {"id": uuid4(), "family_id": uuid4(), "user_id": await rows.user(), "token_hash": b"x" * 32}
        token |= {"created_at": NOW, "expires_at": LATER}
        await rows.insert("refresh_tokens", **token)
        for rule, change in (
            ("refresh_tokens_token_hash_check", {"token_hash": b"x" * 31}),
            ("refresh_tokens_token_hash_key", {}),
            ("refresh_tokens_check", {"token_hash": b"y" * 32, "expires_at": NOW}),
            ("refresh_tokens_user_id_fkey", {"token_hash": b"y" * 32, "user_id": uuid4()}),
        ):
            await rows.refused(rule, rows.insert("refresh_tokens", **(token | {"id": uuid4()} | change)))


class TestContents:
    async def test_a_content_stands_under_a_digest_with_its_size_in_bytes(self, rows: Rows) -> None:
        await rows.insert("contents", digest="a" * 64, content="é", size=2)
        for digest, content, size in (("A" * 64, "x", 1), ("a" * 63, "x", 1), ("b" * 64, "é", 1)):
            await rows.refused("contents_", rows.insert("contents", digest=digest, content=content, size=size))
        large = "x" * (1024 * 1024 + 1)
        await rows.refused("contents_", rows.insert("contents", digest="c" * 64, content=large, size=len(large)))

    async def test_a_content_never_changes(self, rows: Rows) -> None:
        digest = await rows.content()
        await rows.refuses("its rows never change", "UPDATE contents SET content = 'y' WHERE digest = $1", digest)


class TestPaths:
    async def holder(self, rows: Rows, table: str) -> dict[str, object]:
        if table == "execution_files":
            return {"execution_id": await rows.execution(), "from_sequence": 0}
        workflow = await rows.workflow()
        if table == "draft_files":
            return {"draft_id": await rows.draft(workflow), "from_revision": 1}
        return {"version_id": await rows.version(workflow)}

    @pytest.mark.parametrize("table", ["draft_files", "version_files", "execution_files"])
    async def test_a_file_has_a_path_that_the_code_allows_and_no_other(self, rows: Rows, table: str) -> None:
        holder = await self.holder(rows, table)
        for path in PATHS_OF_FILES:
            assert checked_path(path) == path
            await rows.file(table, path=path, **holder)
        for path in PATHS_OF_NOTHING:
            with pytest.raises(InvalidFile):
                checked_path(path)
            await rows.refused(f"{table}_path_check", rows.file(table, path=path, **holder))

    @pytest.mark.parametrize("table", ["draft_files", "version_files", "execution_files"])
    async def test_a_file_has_a_known_type_a_content_and_a_size(self, rows: Rows, table: str) -> None:
        holder = await self.holder(rows, table)
        await rows.refused("type_check", rows.file(table, type="BINARY", **holder))
        await rows.refused("digest_fkey", rows.file(table, digest="0" * 64, **holder))
        await rows.refused("size_check", rows.file(table, size=-1, **holder))
        await rows.refused("size_check", rows.file(table, size=1024 * 1024 + 1, **holder))

    @pytest.mark.parametrize(("table", "end"), [("draft_files", "revision"), ("execution_files", "sequence")])
    async def test_a_path_has_one_current_content(self, rows: Rows, table: str, end: str) -> None:
        holder = await self.holder(rows, table)
        start = holder.pop(f"from_{end}")
        ranges = {f"from_{end}": start, f"to_{end}": 5}
        await rows.file(table, **holder, **ranges)
        await rows.file(table, **holder, **{f"from_{end}": 5})
        await rows.refused(f"{table}_current", rows.file(table, **holder, **{f"from_{end}": 6}))
        await rows.refused(f"{table}_check", rows.file(table, **holder, **{f"from_{end}": 7, f"to_{end}": 7}))


class TestLogs:
    async def test_heads_and_sequences_do_not_go_below_their_start(self, rows: Rows) -> None:
        await rows.refused("event_logs_last_sequence_check", rows.log(last_sequence=-1))
        await rows.refused("event_logs_epoch_check", rows.log(epoch=-1))
        event = {"subject_id": await rows.log(), "type": "T", "payload": "{}", "is_terminal": False, "occurred_at": NOW}
        await rows.refused("events_sequence_check", rows.insert("events", sequence=0, **event))
        await rows.refused(
            "events_subject_id_fkey", rows.insert("events", sequence=1, **(event | {"subject_id": uuid4()}))
        )

    @pytest.mark.parametrize(
        ("statement", "refusal"),
        [("UPDATE events SET payload = '[]'", "its rows never change"), ("DELETE FROM events", "no chunk has it")],
    )
    async def test_events_never_change(self, rows: Rows, statement: str, refusal: str) -> None:
        event = {"subject_id": await rows.log(), "type": "T", "payload": "{}", "is_terminal": False, "occurred_at": NOW}
        await rows.insert("events", sequence=1, **event)
        await rows.refuses(refusal, f"{statement} WHERE subject_id = $1", event["subject_id"])


class TestExecutions:
    async def test_a_lease_has_an_owner_and_an_end(self, rows: Rows) -> None:
        await rows.execution(lease_owner=1, lease_expires_at=NOW)
        await rows.refused("executions_check", rows.execution(lease_owner=1))
        await rows.refused("executions_check", rows.execution(lease_expires_at=NOW))

    @pytest.mark.parametrize("column", ["attempts", "epoch", "frames_ingested", "input_tokens", "output_tokens"])
    async def test_what_is_counted_is_not_negative(self, rows: Rows, column: str) -> None:
        await rows.refused(f"executions_{column}_check", rows.execution(**{column: -1}))

    async def test_it_has_a_known_state_and_a_log(self, rows: Rows) -> None:
        await rows.refused("executions_state_check", rows.execution(state="LOST"))
        await rows.refused("executions_id_fkey", rows.execution(id=uuid4()))


class TestWorkflows:
    async def test_names_and_descriptions_have_a_length(self, rows: Rows) -> None:
        for values in ({"name": ""}, {"name": "a" * 201}, {"description": "a" * 10_001}):
            await rows.refused(f"workflows_{next(iter(values))}_check", rows.workflow(**values))

    async def test_it_has_a_log(self, rows: Rows) -> None:
        await rows.refused("workflows_id_fkey", rows.workflow(id=uuid4()))

    async def test_a_lock_has_a_holder_a_beginning_and_a_later_end(self, rows: Rows) -> None:
        lock = {"lock_holder_id": await rows.user(), "lock_acquired_at": NOW, "lock_expires_at": LATER}
        await rows.workflow(**lock)
        for column in lock:
            await rows.refused("workflows_check", rows.workflow(**(lock | {column: None})))
        await rows.refused("workflows_check", rows.workflow(**(lock | {"lock_expires_at": NOW})))

    async def test_the_production_version_is_one_of_its_own(self, rows: Rows) -> None:
        mine, other = await rows.workflow(), await rows.workflow()
        await rows.version(mine, number=1)
        await rows.version(other, number=2)
        deploy = "UPDATE workflows SET production_version_number = $2 WHERE id = $1"
        await rows.connection.execute(deploy, mine, 1)
        await rows.refuses("workflows_production_version", deploy, mine, 2)


class TestMembers:
    async def test_the_last_owner_stays(self, rows: Rows) -> None:
        workflow, ada, bob = await rows.workflow(), await rows.user(), await rows.user()
        for user, role in ((ada, "OWNER"), (bob, "EDITOR")):
            await rows.insert("workflow_members", workflow_id=workflow, user_id=user, role=role, since=NOW)
        mine = "WHERE workflow_id = $1 AND user_id = $2"
        await rows.refuses("no owner", f"DELETE FROM workflow_members {mine}", workflow, ada)
        await rows.refuses("no owner", f"UPDATE workflow_members SET role = 'EDITOR' {mine}", workflow, ada)
        await rows.refuses(
            "no owner", f"UPDATE workflow_members SET workflow_id = $3 {mine}", workflow, ada, await rows.workflow()
        )

    async def test_an_owner_hands_over_within_one_transaction_in_any_order(self, rows: Rows) -> None:
        workflow, ada, bob = await rows.workflow(), await rows.user(), await rows.user()
        for user, role in ((ada, "OWNER"), (bob, "EDITOR")):
            await rows.insert("workflow_members", workflow_id=workflow, user_id=user, role=role, since=NOW)
        change = "UPDATE workflow_members SET role = $3 WHERE workflow_id = $1 AND user_id = $2"
        await rows.connection.execute(change, workflow, ada, "VIEWER")
        await rows.connection.execute(change, workflow, bob, "OWNER")
        await rows.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")

    async def test_a_member_has_one_known_role(self, rows: Rows) -> None:
        member = {"workflow_id": await rows.workflow(), "user_id": await rows.user(), "role": "OWNER", "since": NOW}
        await rows.insert("workflow_members", **member)
        await rows.refused("workflow_members_pkey", rows.insert("workflow_members", **(member | {"role": "VIEWER"})))
        stranger = member | {"user_id": await rows.user(), "role": "GUEST"}
        await rows.refused("workflow_members_role_check", rows.insert("workflow_members", **stranger))


class TestDrafts:
    async def test_one_is_open_at_a_time(self, rows: Rows) -> None:
        workflow = await rows.workflow()
        await rows.draft(workflow, closed_at=NOW)
        await rows.draft(workflow)
        await rows.refused("drafts_one_open", rows.draft(workflow))
        await rows.draft(await rows.workflow())

    async def test_an_abandoned_one_is_closed(self, rows: Rows) -> None:
        workflow = await rows.workflow()
        await rows.refused("drafts_check", rows.draft(workflow, status="ABANDONED"))
        await rows.draft(workflow, status="ABANDONED", closed_at=NOW)

    async def test_it_has_a_known_status_and_a_revision(self, rows: Rows) -> None:
        workflow = await rows.workflow()
        await rows.refused("drafts_status_check", rows.draft(workflow, status="PUBLISHED"))
        await rows.refused("drafts_revision_check", rows.draft(workflow, revision=0))

    async def test_it_is_based_on_a_version_of_its_own_workflow(self, rows: Rows) -> None:
        mine, other = await rows.workflow(), await rows.workflow()
        await rows.version(mine, number=1)
        await rows.version(other, number=2)
        await rows.refused("drafts_based_on_version", rows.draft(mine, based_on_version_number=2))
        await rows.draft(mine, based_on_version_number=1)


class TestVersions:
    async def test_a_number_is_given_once_and_starts_with_one(self, rows: Rows) -> None:
        workflow = await rows.workflow()
        await rows.version(workflow, number=1)
        await rows.refused("versions_number", rows.version(workflow, number=1))
        await rows.refused("versions_number_check", rows.version(workflow, number=0))
        await rows.version(await rows.workflow(), number=1)

    async def test_a_draft_of_the_same_workflow_is_published_once(self, rows: Rows) -> None:
        mine, other = await rows.workflow(), await rows.workflow()
        draft = await rows.draft(mine, closed_at=NOW)
        await rows.refused("versions_draft_of_workflow", rows.version(other, draft_id=draft))
        await rows.version(mine, draft_id=draft)
        await rows.refused("versions_draft_id_key", rows.version(mine, number=2, draft_id=draft))

    @pytest.mark.parametrize(
        "change", ["number = 7", "notes = 'new'", "published_at = now()", "workflow_id = id", "id = workflow_id"]
    )
    async def test_nothing_but_the_status_changes(self, rows: Rows, change: str) -> None:
        version = await rows.version(await rows.workflow())
        await rows.refuses("only its status changes", f"UPDATE versions SET {change} WHERE id = $1", version)
        await rows.refuses("only its status changes", "DELETE FROM versions WHERE id = $1", version)

    async def test_the_production_version_is_not_deprecated(self, rows: Rows) -> None:
        workflow = await rows.workflow()
        version = await rows.version(workflow, number=1)
        deploy = "UPDATE workflows SET production_version_number = $2 WHERE id = $1"
        deprecate = "UPDATE versions SET status = 'DEPRECATED' WHERE id = $1"
        await rows.connection.execute(deploy, workflow, 1)
        await rows.refuses("is in production", deprecate, version)
        await rows.connection.execute(deploy, workflow, None)
        await rows.connection.execute(deprecate, version)

    async def test_files_never_change(self, rows: Rows) -> None:
        version = await rows.version(await rows.workflow())
        await rows.file("version_files", version_id=version)
        for statement in ("UPDATE version_files SET type = 'TEXT'", "DELETE FROM version_files"):
            await rows.refuses("its rows never change", f"{statement} WHERE version_id = $1", version)

    async def test_files_come_with_the_version_and_not_later(self, database: Database) -> None:
        connection = await database.connect()
        rows = Rows(connection)
        async with connection.transaction():
            version = await rows.version(await rows.workflow())
            await rows.file("version_files", version_id=version, path="first.md")
        late = {"version_id": version, "path": "late.md"}
        await rows.refused("takes no more files", rows.file("version_files", **late))

        async def change_it_first() -> None:
            await connection.execute("UPDATE versions SET status = 'DEPRECATED' WHERE id = $1", version)
            await rows.file("version_files", **late)

        await rows.refused("takes no more files", change_it_first())
        paths = await connection.fetch("SELECT path FROM version_files WHERE version_id = $1", version)
        assert [path for (path,) in paths] == ["first.md"]
        await connection.close()


MOVES = {
    "PENDING": {"PROCESSING", "FAILED", "CANCELLED", "REJECTED"},
    "PROCESSING": {"COMPLETED", "FAILED", "CANCELLED", "REJECTED"},
    "COMPLETED": {"APPROVED", "REJECTED", "SUPERSEDED", "EXPIRED"},
    "FAILED": {"REJECTED", "EXPIRED"},
}


class TestProposals:
    @pytest.mark.parametrize("status", [status.value for status in ProposalStatus])
    async def test_it_moves_forward_only(self, rows: Rows, status: str) -> None:
        allowed = MOVES.get(status, set())
        for target in (member.value for member in ProposalStatus if member.value != status):
            proposal = await rows.proposal(status)
            changes = {"status": target} | facts_of(status) | facts_of(target)
            changes["decision_draft_revision"] = 2 if target == "APPROVED" else None
            sets = ", ".join(f"{column} = ${number}" for number, column in enumerate(changes, start=2))
            statement = f"UPDATE proposals SET {sets} WHERE id = $1"
            if target in allowed:
                await rows.connection.execute(statement, proposal, *changes.values())
            else:
                await rows.refuses(f"from {status} to {target}", statement, proposal, *changes.values())

    @pytest.mark.parametrize(
        ("status", "missing"),
        [
            ("COMPLETED", ["completed_at"]),
            ("FAILED", ["completed_at"]),
            ("FAILED", ["failure_code"]),
            ("FAILED", ["failure_message"]),
            ("FAILED", ["failure_is_retryable"]),
            ("FAILED", ["failure_code", "failure_message", "failure_is_retryable"]),
            ("CANCELLED", ["decided_at"]),
            ("REJECTED", ["decided_at"]),
            ("SUPERSEDED", ["decided_at"]),
            ("EXPIRED", ["decided_at"]),
            ("APPROVED", ["decision_draft_revision"]),
        ],
    )
    async def test_a_status_comes_with_its_facts(self, rows: Rows, status: str, missing: list[str]) -> None:
        await rows.refused("proposals_check", rows.proposal(status, **dict.fromkeys(missing)))

    async def test_only_an_approved_one_has_a_revision_of_the_draft(self, rows: Rows) -> None:
        await rows.refused("proposals_check", rows.proposal("REJECTED", decision_draft_revision=2))

    async def test_its_draft_is_one_of_its_workflow(self, rows: Rows) -> None:
        draft = await rows.draft(await rows.workflow())
        await rows.refused(
            "proposals_draft_of_workflow", rows.proposal(workflow_id=await rows.workflow(), draft_id=draft)
        )

    async def test_prompts_revisions_and_retries_make_sense(self, rows: Rows) -> None:
        for prompt in ("", "a" * 100_001):
            await rows.refused("proposals_prompt_check", rows.proposal(prompt=prompt))
        await rows.refused("proposals_base_revision_check", rows.proposal(base_revision=0))
        await rows.refused("proposals_status_check", rows.proposal("DONE"))
        proposal = await rows.proposal()
        await rows.refuses("proposals_", "UPDATE proposals SET retry_of_id = id WHERE id = $1", proposal)
        await rows.proposal(retry_of_id=proposal)


class TestAudit:
    @pytest.mark.parametrize(
        ("statement", "refusal"),
        [
            ("UPDATE audit_entries SET action = 'other'", "its rows never change"),
            ("DELETE FROM audit_entries", "is within its lifetime"),
        ],
    )
    async def test_entries_never_change(self, rows: Rows, statement: str, refusal: str) -> None:
        entry = {"id": uuid4(), "workflow_id": await rows.workflow(), "at": NOW, "action": "made", "subject": "s"}
        await rows.insert("audit_entries", **entry, details=json.dumps({}))
        await rows.refuses(refusal, f"{statement} WHERE id = $1", entry["id"])


class TestIdempotencyKeys:
    async def test_a_key_is_used_once_by_a_user(self, rows: Rows) -> None:
        key = {"user_id": await rows.user(), "key": "k", "input_digest": "-", "result_id": uuid4(), "created_at": NOW}
        await rows.insert("idempotency_keys", **key)
        await rows.refused("idempotency_keys_pkey", rows.insert("idempotency_keys", **key))
        await rows.insert("idempotency_keys", **(key | {"user_id": await rows.user()}))
        for length in (0, 256):
            await rows.refused("key_check", rows.insert("idempotency_keys", **(key | {"key": "k" * length})))


class TestState:
    async def test_a_new_database_is_empty_and_then_current(self, fresh_database: FreshDatabase) -> None:
        database = await fresh_database(is_migrated=False)
        assert await migrations.state(database) is SchemaState.EMPTY
        await migrations.upgrade(database)
        assert await migrations.state(database) is SchemaState.CURRENT

    async def test_what_later_code_made_is_newer_and_is_left_alone(self, fresh_database: FreshDatabase) -> None:
        database = await fresh_database()
        async with database.transaction() as session:
            await session.execute(text("UPDATE alembic_version SET version_num = '2999_01_01_0000'"))
        assert await migrations.state(database) is SchemaState.NEWER
        with pytest.raises(MigrationError, match="2999_01_01_0000"):
            await migrations.upgrade(database)
        assert await migrations.state(database) is SchemaState.NEWER

    async def test_what_earlier_code_made_is_older(
        self, fresh_database: FreshDatabase, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        database = await fresh_database()
        scripts = tmp_path_factory.mktemp("scripts")
        (scripts / "versions").mkdir()
        for source in migrations.scripts().glob("**/*.py"):
            (scripts / source.relative_to(migrations.scripts())).write_text(source.read_text())
        (scripts / "versions" / "next.py").write_text(
            f"revision = 'next'\ndown_revision = {await newest(database)!r}\n\ndef upgrade():\n    pass\n"
        )
        monkeypatch.setattr(migrations, "scripts", lambda: scripts)
        assert await migrations.state(database) is SchemaState.OLDER
        await migrations.upgrade(database)
        assert await migrations.state(database) is SchemaState.CURRENT


class TestLocks:
    @pytest.mark.parametrize("path", sorted(migrations.scripts().glob("versions/*.py")), ids=lambda path: path.stem)
    def test_a_migration_waits_for_a_lock_for_a_moment_only(self, path: Path) -> None:
        functions = {
            node.name: ast.unparse(node.body[0])
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.FunctionDef)
        }
        for name in ("upgrade", "downgrade"):
            assert re.fullmatch(r"op\.execute\(\"SET LOCAL lock_timeout = .\d+s.\"\)", functions[name])


class TestUpgrade:
    async def test_up_and_down_and_up_again_is_up(self, fresh_database: FreshDatabase) -> None:
        database = await fresh_database(is_migrated=False)
        await migrations.upgrade(database)
        first = await objects(database)
        await migrations.downgrade(database, "base")
        assert await objects(database) == {"alembic_version", "alembic_version_pkc"}
        assert await migrations.state(database) is SchemaState.EMPTY
        await migrations.upgrade(database)
        assert await objects(database) == first
        await migrations.check(database)

    async def test_twice_is_once(self, fresh_database: FreshDatabase) -> None:
        database = await fresh_database(is_migrated=False)
        for _ in range(2):
            await migrations.upgrade(database)
        assert await migrations.state(database) is SchemaState.CURRENT


class TestDowngrade:
    async def test_a_revision_that_is_not_there_is_refused(self, database: Database) -> None:
        with pytest.raises(MigrationError, match="nowhere"):
            await migrations.downgrade(database, "nowhere")
        assert await migrations.state(database) is SchemaState.CURRENT


class TestCheck:
    async def test_models_and_migrations_agree(self, database: Database) -> None:
        await migrations.check(database)

    async def test_a_difference_is_named(self, fresh_database: FreshDatabase) -> None:
        database = await fresh_database()
        async with database.transaction() as session:
            await session.execute(text("ALTER TABLE users DROP COLUMN disabled_at"))
        with pytest.raises(MigrationError, match="disabled_at"):
            await migrations.check(database)


async def newest(database: Database) -> str:
    async with database.transaction() as session:
        return str((await session.execute(text("SELECT version_num FROM alembic_version"))).scalar_one())


async def objects(database: Database) -> set[str]:
    """Name everything that is in the schema."""
    query = text("""
        SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
        UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        UNION ALL SELECT tgname FROM pg_trigger WHERE NOT tgisinternal
    """)
    async with database.transaction() as session:
        return {name for (name,) in await session.execute(query)}
