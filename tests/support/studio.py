"""A place to make workflows, people and proposals in, without an agent: tests play the runtime."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from asyncpg import Connection
from asyncpg.connection import LoggedQuery
from sqlalchemy import event, text
from sqlalchemy.pool import ConnectionPoolEntry

from graphql_api.authoring.access import lost_access
from graphql_api.authoring.outcomes import ProposalOutcomes
from graphql_api.context import Engines, Limits
from graphql_api.events.log import EventLog
from graphql_api.events.records import NewEvent
from graphql_api.events.watches import Watches
from graphql_api.identity.models import User, UserRole
from graphql_api.identity.tokens import TokenKeys
from graphql_api.kit import contents
from graphql_api.kit.bounds import Bounds
from graphql_api.kit.columns import now
from graphql_api.kit.database import Database
from graphql_api.kit.files import changed_digests, changes_between, digest_of, entry_of
from graphql_api.kit.rates import Budget, Rate, Rates
from graphql_api.runtimes import executions, snapshots
from graphql_api.runtimes.circuit import Circuit
from graphql_api.runtimes.embedded.adapter import EmbeddedRuntime
from graphql_api.runtimes.executions import WORKER_LOCKS, Claim, Failure, Outcome
from graphql_api.runtimes.protocol import ThreadRef
from graphql_api.runtimes.snapshots import Written
from support.api import Api, key
from support.people import PASSWORD_HASH

DEFINITION = json.dumps(
    {
        "name": "Pair",
        "entry_point": "lead",
        "nodes": [
            {
                "key": "lead",
                "type": "orchestrator",
                "name": "Lead",
                "role": "Leads",
                "system_prompt": "You lead.",
                "tools": ["search"],
                "llm": {"provider": "openai", "model": "gpt-4.1", "temperature": 0.5, "max_tokens": 100},
            },
            {"key": "writer", "type": "specialist"},
        ],
        "edges": [{"key": "e1", "source": "lead", "target": "writer", "type": "delegation"}],
    }
)
"""A definition without a fault."""

FILES = {"definition.json": DEFINITION, "THE_SPEC/plan.md": "one\ntwo\nthree\nfour\nfive\n"}
"""What a workflow starts with unless a test says otherwise."""

_WORKER = 1
_LEASE = timedelta(hours=1)

_FINGERPRINT = {
    "workflows": "id = :w",
    "workflow_members": "workflow_id = :w",
    "drafts": "workflow_id = :w",
    "draft_files": "draft_id IN (SELECT id FROM drafts WHERE workflow_id = :w)",
    "versions": "workflow_id = :w",
    "version_files": "version_id IN (SELECT id FROM versions WHERE workflow_id = :w)",
    "proposals": "workflow_id = :w",
    "executions": "id IN (SELECT id FROM proposals WHERE workflow_id = :w)",
    "execution_files": "execution_id IN (SELECT id FROM proposals WHERE workflow_id = :w)",
    "event_logs": "subject_id = :w OR subject_id IN (SELECT id FROM proposals WHERE workflow_id = :w)",
    "events": "subject_id = :w OR subject_id IN (SELECT id FROM proposals WHERE workflow_id = :w)",
    # A refused access is recorded, and that is all that it changes.
    "audit_entries": "workflow_id = :w AND action <> 'access.refuse'",
    "idempotency_keys": "true",
}

TABLES = tuple(_FINGERPRINT)
"""Where all rows of the product are that mutations write."""


@dataclass(frozen=True)
class Team:
    """A workflow and everybody who could call its API."""

    workflow: str
    owner: Api
    editor: Api
    viewer: Api
    stranger: Api
    admin: Api
    anonymous: Api

    def api(self, who: str) -> Api:
        """Give somebody by their role here."""
        api = getattr(self, who)
        assert isinstance(api, Api)
        return api


class Studio:
    """Makes people, workflows and proposals in a database of its own.

    Args:
        database: The database.
        log: Its log.
    """

    def __init__(self, database: Database, log: EventLog) -> None:
        self.database = database
        self.log = log
        self.engines = Engines(
            database=database,
            log=log,
            runtime=EmbeddedRuntime(),
            circuit=Circuit(database, "embedded"),
            keys=TokenKeys(("a secret of at least thirty-two bytes",)),
            rates=Rates(database),
            watches=Watches(partial(lost_access, database)),
            limits=Limits(
                concurrent_refinements=1000,
                mutations=Rate("mutations", "1000000/minute"),  # its team works for the tests of many files
                refinements=Rate("refinements", "1000000/minute"),
                signed_in=Bounds(cost=10**7),
            ),
            budget=Budget(Rate("cost", "1000000000/minute")),
        )
        self.anonymous = Api(self.engines, None)
        self._outcomes = ProposalOutcomes(log)
        self._claims: dict[UUID, Claim] = {}
        self._cast: dict[str, Api] = {}

    def limited(self, api: Api, *, refinements: int) -> Api:
        """Give the API as somebody may use it who may have only so many refinements at once."""
        return Api(replace(self.engines, limits=Limits(concurrent_refinements=refinements)), api.user)

    async def person(self, *, name: str = "Ada", is_admin: bool = False) -> Api:
        """Make somebody new."""
        user = User(
            email=f"{uuid4().hex}@example.com",
            name=name,
            password_hash=PASSWORD_HASH,
            roles=[UserRole.USER.value, UserRole.ADMIN.value] if is_admin else [UserRole.USER.value],
        )
        async with self.database.transaction() as session:
            session.add(user)
        return Api(self.engines, user)

    async def somebody(self, role: str) -> Api:
        """Give the person who always plays a role: who has it in every team."""
        if role not in self._cast:
            self._cast[role] = await self.person(name=role.capitalize(), is_admin=role == "admin")
        return self._cast[role]

    async def workflow(self, owner: Api, files: Mapping[str, str] | None = None, **given: Any) -> str:  # noqa: ANN401 - any JSON
        """Make a workflow with these files, or with `FILES`; give its global id."""
        content = [{"path": path, "content": text} for path, text in (FILES if files is None else files).items()]
        payload = await owner.do("createWorkflow", **{"name": "Greeter", "files": content, **given})
        return str(payload["workflow"]["id"])

    async def team(self, files: Mapping[str, str] | None = None) -> Team:
        """Make a workflow with members of all roles."""
        people = {role: await self.somebody(role) for role in ("owner", "editor", "viewer", "stranger", "admin")}
        workflow = await self.workflow(people["owner"], files)
        for role in ("editor", "viewer"):
            await self.join(workflow, people["owner"], people[role], role.upper())
        return Team(workflow=workflow, anonymous=self.anonymous, **people)

    async def join(self, workflow: str, owner: Api, somebody: Api, role: str | None) -> None:
        """Give somebody a role in a workflow."""
        await owner.do("setWorkflowMember", workflowId=workflow, email=somebody.user.email, role=role)

    async def edit(self, api: Api, workflow: str, files: Mapping[str, str | None]) -> int:
        """Write files to the open draft, or delete those that are None; give the new revision."""
        payload = await api.do(
            "editDraft",
            workflowId=workflow,
            expectedRevision=await self.revision(workflow),
            write=[{"path": path, "content": text} for path, text in files.items() if text is not None],
            delete=[path for path, text in files.items() if text is None],
        )
        return int(payload["draft"]["revision"])

    async def revision(self, workflow: str) -> int | None:
        """Read the revision of the open draft; None when none is open."""
        rows = await self.rows(
            "SELECT revision FROM drafts WHERE workflow_id = :w AND closed_at IS NULL", w=key(workflow, "Workflow")
        )
        return rows[0][0] if rows else None

    async def publish(self, api: Api, workflow: str, **given: Any) -> int:  # noqa: ANN401 - any JSON
        """Publish the open draft; give the number."""
        return int((await api.do("publishDraft", workflowId=workflow, **given))["version"]["number"])

    async def refine(self, api: Api, workflow: str, prompt: str = "Greet in French.", **given: Any) -> str:  # noqa: ANN401 - any JSON
        """Order a proposal that stays PENDING; give its global id."""
        return str((await api.do("refineWorkflow", workflowId=workflow, prompt=prompt, **given))["proposal"]["id"])

    async def start(self, proposal: str) -> None:
        """Have the runtime accept a proposal: it is PROCESSING."""
        await self.claim()
        await self.restart(proposal)

    async def claim(self) -> list[Claim]:
        """Claim whatever is due, as a worker does; give what is new."""
        async with self.database.transaction() as session:
            claims = await executions.claim(session, self.log, worker=_WORKER, limit=10_000, lease=_LEASE)
        self._claims.update({claim.execution_id: claim for claim in claims})
        return claims

    async def restart(self, proposal: str) -> None:
        """Have the runtime accept a proposal that is claimed already."""
        id_ = key(proposal, "Proposal")
        async with self.database.transaction() as session:
            thread = ThreadRef(f"thread-{id_}")
            await self._outcomes.started(session, self._claims[id_], thread=thread, runtime="played")

    async def change(self, proposal: str, files: Mapping[str, str | None]) -> None:
        """Have the agent write files, or delete those that are None: one `FilesChanged`."""
        claim = self._claims[key(proposal, "Proposal")]
        moment = now()
        written = {path: entry_of(path, content, moment) for path, content in files.items() if content is not None}
        texts = [content for content in files.values() if content is not None]
        async with self.database.transaction() as session:
            before = await snapshots.files_at(session, claim.execution_id)
            after = {path: entry for path, entry in {**before, **written}.items() if files.get(path, "") is not None}
            known = await contents.load(session, changed_digests(before, after))
        changes = changes_between(before, after, known | {digest_of(content): content for content in texts})
        brought = Written(texts)
        brought.add(changes, 1)
        await executions.tell(self.log, claim, [snapshots.files_changed(changes)], frames=0, files=brought)

    async def tell(self, proposal: str, *events: NewEvent) -> None:
        """Have the agent tell something."""
        claim = self._claims[key(proposal, "Proposal")]
        async with self.database.transaction() as session:
            await self.log.append(session, claim.execution_id, events, epoch=claim.epoch)

    async def end(self, proposal: str, failure: Failure | None = None, summary: str | None = None) -> None:
        """Have the execution end: COMPLETED, or FAILED."""
        claim = self._claims[key(proposal, "Proposal")]
        async with self.database.transaction() as session:
            await self._outcomes.ended(session, claim, Outcome(failure, summary))

    async def completed(self, api: Api, workflow: str, files: Mapping[str, str | None], **given: Any) -> str:  # noqa: ANN401 - any JSON
        """Make a COMPLETED proposal that changes files; give its global id."""
        proposal = await self.refine(api, workflow, **given)
        await self.start(proposal)
        if files:
            await self.change(proposal, files)
        await self.end(proposal, summary="All done.")
        return proposal

    async def rows(self, statement: str, **parameters: Any) -> list[Any]:  # noqa: ANN401 - whatever SQL takes
        """Read with plain SQL."""
        async with self.database.transaction() as session:
            return list((await session.execute(text(statement), parameters)).all())

    async def run(self, statement: str, **parameters: Any) -> None:  # noqa: ANN401 - whatever SQL takes
        """Change with plain SQL."""
        async with self.database.transaction() as session:
            await session.execute(text(statement), parameters)

    async def expire_lock(self, workflow: str) -> None:
        """Let a lock's time pass."""
        await self.run(
            "UPDATE workflows SET lock_acquired_at = now() - interval '2 h', lock_expires_at = now() - interval '1 h' "
            "WHERE id = :w",
            w=key(workflow, "Workflow"),
        )

    async def fingerprint(self, workflow: str) -> dict[str, str | None]:
        """Digest all rows of a workflow, by table, but for the record of refusals."""
        return await self._digests(_FINGERPRINT, w=key(workflow, "Workflow"))

    async def whole_fingerprint(self) -> dict[str, str | None]:
        """Digest all rows of all workflows, by table."""
        return await self._digests(dict.fromkeys(_FINGERPRINT, "true"))

    async def _digests(self, wheres: Mapping[str, str], **parameters: Any) -> dict[str, str | None]:  # noqa: ANN401
        parts = [
            f"SELECT '{table}', md5(string_agg(md5(t::text), '' ORDER BY md5(t::text))) FROM {table} t WHERE {where}"
            for table, where in wheres.items()
        ]
        return {row[0]: row[1] for row in await self.rows(" UNION ALL ".join(parts), **parameters)}

    async def events(self, api: Api, workflow: str, after: int = 0) -> list[str]:
        """Name the types of a workflow's events after a sequence."""
        document = "query ($id: ID!) { workflow(id: $id) { events(first: 100) { nodes { __typename sequence } } } }"
        nodes = (await api(document, id=workflow))["workflow"]["events"]["nodes"]
        assert [node["sequence"] for node in nodes] == list(range(1, len(nodes) + 1))
        return [node["__typename"] for node in nodes][after:]

    async def actions(self, workflow: str) -> list[str]:
        """Name what was done to a workflow, oldest first, as its audit entries have it."""
        statement = "SELECT action FROM audit_entries WHERE workflow_id = :w ORDER BY at, id"
        return [row[0] for row in await self.rows(statement, w=key(workflow, "Workflow"))]


@asynccontextmanager
async def open_studio(database: Database, log: EventLog) -> AsyncIterator[Studio]:
    """Open a studio whose claims nobody takes over: its connection holds the lock of a worker that lives."""
    connection: Connection = await database.connect()
    try:
        await connection.execute("SELECT pg_advisory_lock($1, $2)", WORKER_LOCKS, _WORKER)
        yield Studio(database, log)
    finally:
        await connection.close()


_OF_THE_DRIVER = re.compile(
    r"\s*(BEGIN|COMMIT|ROLLBACK|SELECT\s+current_setting\('jit'\)|WITH RECURSIVE typeinfo_tree)"
)
"""Transaction control, and what asyncpg asks of the first value of a type on a connection."""


class Statements(list[str]):
    """SQL statements that were executed, transaction control aside."""


@asynccontextmanager
async def counted(database: Database) -> AsyncIterator[Statements]:
    """Collect the statements that are executed while the context lasts."""
    statements = Statements()

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    def note_plain(query: LoggedQuery) -> None:
        if not _OF_THE_DRIVER.match(query.query):
            statements.append(query.query)

    def listen(_connection: object, entry: ConnectionPoolEntry, _fairy: object) -> None:
        entry.driver_connection.add_query_logger(note_plain)

    def leave(_connection: object, entry: ConnectionPoolEntry) -> None:
        if entry.driver_connection is not None:
            entry.driver_connection.remove_query_logger(note_plain)

    engine = database.engine.sync_engine
    listeners = {"before_cursor_execute": note, "checkout": listen, "checkin": leave}
    for name, listener in listeners.items():
        event.listen(engine, name, listener)
    try:
        yield statements
        await asyncio.sleep(0)  # the driver tells of its statements one turn later
    finally:
        for name, listener in listeners.items():
            event.remove(engine, name, listener)
