"""The servers in Python that queries are compared with: `query_servers.py strawberry|starlette USER`; prints its port.

Both read the tables of `DATABASE_URL` as the user of that id, whoever the caller is.
"""

import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import strawberry
import uvicorn
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp
from strawberry.asgi import GraphQL
from strawberry.dataloader import DataLoader

from graphql_api.authoring import models
from graphql_api.authoring.models import AccessRole
from graphql_api.identity.models import User
from graphql_api.kit.database import parse_url

ONE_STATEMENT = """
WITH page AS (
    SELECT w.id, w.name, w.updated_at FROM workflows w
    WHERE w.deleted_at IS NULL AND w.id IN (SELECT m.workflow_id FROM workflow_members m WHERE m.user_id = $1)
    ORDER BY w.updated_at DESC, w.id DESC LIMIT 50)
SELECT page.name, owner.name AS owner, latest.number, d.id IS NOT NULL AS has_draft, files.count
FROM page
CROSS JOIN LATERAL (
    SELECT u.name FROM workflow_members m JOIN users u ON u.id = m.user_id
    WHERE m.workflow_id = page.id AND m.role = 'OWNER' ORDER BY m.since, m.user_id LIMIT 1) owner
LEFT JOIN LATERAL (
    SELECT v.number FROM versions v WHERE v.workflow_id = page.id ORDER BY v.number DESC LIMIT 1) latest ON true
LEFT JOIN drafts d ON d.workflow_id = page.id AND d.closed_at IS NULL
LEFT JOIN LATERAL (
    SELECT count(*) FROM draft_files f WHERE f.draft_id = d.id AND f.to_revision IS NULL) files ON true
ORDER BY page.updated_at DESC, page.id DESC
"""

Read = Callable[[AsyncSession, list[UUID]], Awaitable[Mapping[UUID, Any]]]
Info = strawberry.Info["Loaders", None]


class Loaders:
    """What a request of stock Strawberry reads, each kind in one statement."""

    def __init__(self, user_id: UUID, session: Callable[[], AsyncSession]) -> None:
        self.user_id, self.session = user_id, session
        self.owner = self._loader(_owners)
        self.latest_version = self._loader(_latest_versions)
        self.draft = self._loader(_drafts)
        self.file_count = self._loader(_file_counts)

    def _loader(self, read: Read) -> DataLoader[UUID, Any]:
        async def load(keys: list[UUID]) -> Sequence[Any]:
            async with self.session() as session:
                found = await read(session, keys)
            return [found.get(key) for key in keys]

        return DataLoader(load)


async def _owners(session: AsyncSession, workflow_ids: list[UUID]) -> dict[UUID, User]:
    member = models.WorkflowMember
    query = (
        select(member.workflow_id, User)
        .join(User, col(User.id) == member.user_id)
        .where(col(member.workflow_id).in_(workflow_ids), col(member.role) == AccessRole.OWNER)
        .order_by(col(member.since).desc(), col(member.user_id).desc())
    )
    return dict((await session.exec(query)).all())


async def _latest_versions(session: AsyncSession, workflow_ids: list[UUID]) -> dict[UUID, models.Version]:
    query = (
        select(models.Version)
        .where(col(models.Version.workflow_id).in_(workflow_ids))
        .distinct(col(models.Version.workflow_id))
        .order_by(col(models.Version.workflow_id), col(models.Version.number).desc())
    )
    return {version.workflow_id: version for version in await session.exec(query)}


async def _drafts(session: AsyncSession, workflow_ids: list[UUID]) -> dict[UUID, models.Draft]:
    query = select(models.Draft).where(
        col(models.Draft.workflow_id).in_(workflow_ids), col(models.Draft.closed_at).is_(None)
    )
    return {draft.workflow_id: draft for draft in await session.exec(query)}


async def _file_counts(session: AsyncSession, draft_ids: list[UUID]) -> dict[UUID, int]:
    file = models.DraftFile
    query = (
        select(file.draft_id, func.count())
        .where(col(file.draft_id).in_(draft_ids), col(file.to_revision).is_(None))
        .group_by(col(file.draft_id))
    )
    return dict((await session.exec(query)).all())


@strawberry.type
class Owner:
    """Who owns a workflow."""

    name: str


@strawberry.type
class Version:
    """A published version."""

    number: int


@strawberry.type
class Draft:
    """What is being edited."""

    id: strawberry.Private[UUID]

    @strawberry.field
    async def file_count(self, info: Info) -> int:
        """Count its files."""
        return await info.context.file_count.load(self.id) or 0


@strawberry.type
class Workflow:
    """A workflow."""

    id: strawberry.Private[UUID]
    name: str

    @strawberry.field
    async def owner(self, info: Info) -> Owner:
        """Find who has owned it longest."""
        return Owner(name=(await info.context.owner.load(self.id)).name)

    @strawberry.field
    async def latest_version(self, info: Info) -> Version | None:
        """Find the newest version."""
        found = await info.context.latest_version.load(self.id)
        return None if found is None else Version(number=found.number)

    @strawberry.field
    async def draft(self, info: Info) -> Draft | None:
        """Find the open draft."""
        found = await info.context.draft.load(self.id)
        return None if found is None else Draft(id=found.id)


@strawberry.type
class Workflows:
    """A page of workflows."""

    nodes: list[Workflow]


@strawberry.type
class Query:
    """What is asked for."""

    @strawberry.field
    async def workflows(self, info: Info, first: int) -> Workflows:
        """List those of the user."""
        member, workflow = models.WorkflowMember, models.Workflow
        own = select(member.workflow_id).where(member.user_id == info.context.user_id)
        query = (
            select(workflow)
            .where(col(workflow.deleted_at).is_(None), col(workflow.id).in_(own))
            .order_by(col(workflow.updated_at).desc(), col(workflow.id).desc())
            .limit(first)
        )
        async with info.context.session() as session:
            found = (await session.exec(query)).all()
        return Workflows(nodes=[Workflow(id=row.id, name=row.name) for row in found])


def stock(url: str, user_id: UUID) -> ASGIApp:
    """Make Strawberry's own endpoint, with SQLModel and DataLoaders, as its documentation has it."""
    engine = create_async_engine(parse_url(url), pool_size=10, max_overflow=10)

    class Endpoint(GraphQL[Loaders, None]):
        async def get_context(self, request: Request, response: Response) -> Loaders:  # noqa: ARG002 - the signature is Strawberry's
            return Loaders(user_id, lambda: AsyncSession(engine, expire_on_commit=False))

    return Starlette(routes=[Route("/graphql", Endpoint(strawberry.Schema(Query)))])


class Bare:
    """Endpoints without GraphQL: nothing of the request is read."""

    def __init__(self, url: str, user_id: UUID) -> None:
        self._url, self._user_id = url, user_id

    @asynccontextmanager
    async def connected(self, _app: Starlette) -> AsyncIterator[None]:
        """Have a pool of connections, as long as the server runs."""
        async with asyncpg.create_pool(self._url, min_size=10, max_size=20) as self._pool:
            yield

    async def typename(self, _request: Request) -> Response:
        """Give what never changes."""
        return _json({"__typename": "Query"})

    async def workflows(self, _request: Request) -> Response:
        """Read everything in one statement."""
        nodes = [
            {
                "name": name,
                "owner": {"name": owner},
                "latestVersion": None if number is None else {"number": number},
                "draft": {"fileCount": count} if has_draft else None,
            }
            for name, owner, number, has_draft, count in await self._pool.fetch(ONE_STATEMENT, self._user_id)
        ]
        return _json({"workflows": {"nodes": nodes}})


def _json(data: object) -> Response:
    return Response(orjson.dumps({"data": data}), media_type="application/json")


def bare(url: str, user_id: UUID) -> ASGIApp:
    """Make the endpoints without GraphQL."""
    endpoints = Bare(url, user_id)
    return Starlette(
        routes=[
            Route("/typename", endpoints.typename, methods=["POST"]),
            Route("/workflows", endpoints.workflows, methods=["POST"]),
        ],
        lifespan=endpoints.connected,
    )


_SERVERS: dict[str, Callable[[str, UUID], ASGIApp]] = {"strawberry": stock, "starlette": bare}


def serve(application: ASGIApp) -> None:
    """Print a port, and answer there until the process is ended."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(listening.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(application, log_level="critical", access_log=False)).run(sockets=[listening])


if __name__ == "__main__":
    serve(_SERVERS[sys.argv[1]](os.environ["DATABASE_URL"], UUID(sys.argv[2])))
