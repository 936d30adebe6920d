"""What `orchestrator dev` puts into a new database, so that each screen of a client has something to show."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from graphql_api.cli import demo_account, documents, signing_in
from graphql_api.cli.api_client import Answer, ApiClient
from graphql_api.cli.problems import Problem, one_line
from graphql_api.identity import users
from graphql_api.kit.database import Database
from graphql_api.kit.errors import AlreadyExists

EDITOR = ("editor@example.com", "Erin Editor")
VIEWER = ("viewer@example.com", "Vic Viewer")
"""Colleagues of the demo account, with its password."""

_FLAG = "demo-data-unfinished"

_log = structlog.get_logger()


def begin(home: Path) -> None:
    """Remember in a home that the data is wanted, until it is there.

    Raises:
        Problem: When the home can't be written.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        (home / _FLAG).touch()
    except OSError as error:
        raise Problem(f"{home} can't be written: {one_line(error)}; set ORCHESTRATOR_HOME") from error


def is_wanted(home: Path) -> bool:
    """Tell whether the data was begun and not finished, in this process or in one that ended before."""
    return (home / _FLAG).exists()


async def make(database: Database, home: Path, url: str, listens: asyncio.Event) -> None:
    """Make the data through the API; what an earlier call made is found again, not made twice.

    It is nothing that serving depends on: what goes wrong is logged, and tried again at the next start.

    Args:
        database: For the colleagues' accounts.
        home: Where `begin` remembered that it is wanted.
        url: Of the server.
        listens: Set once the server takes connections.
    """
    await listens.wait()
    try:
        for email, name in (EDITOR, VIEWER):
            with suppress(AlreadyExists):
                await users.create(database, email=email, name=name, password=demo_account.PASSWORD)
        with _quiet():
            await _make_all(f"{url}/graphql")
    except Problem as problem:
        _log.warning("demo_data_unfinished", reason=one_line(problem), advice="it goes on at the next start")
        return
    (home / _FLAG).unlink(missing_ok=True)
    _log.info("demo_data_made")


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave our own requests out of the log, which would push where everything is off the terminal."""
    ours = logging.getLogger("graphql_api")
    before = ours.level
    ours.setLevel(max(before, logging.WARNING))
    try:
        yield
    finally:
        ours.setLevel(before)


async def _make_all(url: str) -> None:
    owner, editor = (
        signing_in.Account(url, email, demo_account.PASSWORD, None) for email in (demo_account.EMAIL, EDITOR[0])
    )
    async with signing_in.client_of(owner) as client, signing_in.client_of(editor) as other:
        await signing_in.sign_in(client, owner)
        await signing_in.sign_in(other, editor)
        await _read_only(_Author(other))
        author = _Author(client)
        await _released(author)
        await _failed(author)
        await _conflicting(author)
        await _waiting(author)
        await _running(author)


class _Author:
    """Somebody who makes workflows; each call has a key of its own, so that a second one is the first again.

    Args:
        client: Signed in.
    """

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def workflow(self, name: str, description: str, template: str = "multi-agent") -> str:
        """Make a workflow from a template; give its id."""
        fields = {"name": name, "description": description, "templateSlug": template}
        payload = await self._client.mutate(documents.CREATE_WORKFLOW, **fields, idempotencyKey=_key("create", name))
        workflow_id: str = payload["workflow"]["id"]
        return workflow_id

    async def member(self, workflow_id: str, person: tuple[str, str], role: str) -> None:
        """Give somebody a role."""
        await self._client.mutate(documents.SET_MEMBER, workflowId=workflow_id, email=person[0], role=role)

    async def proposal(self, workflow_id: str, prompt: str) -> str:
        """Ask the agent for something; give the proposal's id."""
        key = _key("refine", workflow_id, prompt)
        payload = await self._client.mutate(documents.REFINE, workflowId=workflow_id, prompt=prompt, idempotencyKey=key)
        proposal_id: str = payload["proposal"]["id"]
        return proposal_id

    async def ended(self, *proposal_ids: str) -> None:
        """Wait for the ends of proposals."""
        for proposal_id in proposal_ids:
            async for _ in self._client.events(documents.WATCH, {"proposalId": proposal_id}, lambda _: None):
                pass

    async def approve(self, proposal_id: str, comment: str) -> None:
        """Merge a proposal into the draft."""
        await self._client.mutate(
            documents.APPROVE, proposalId=proposal_id, comment=comment, idempotencyKey=_key("approve", proposal_id)
        )

    async def release(self, workflow_id: str, notes: str) -> None:
        """Publish the draft, and deploy the version."""
        version: Answer = (
            await self._client.mutate(
                documents.PUBLISH,
                workflowId=workflow_id,
                notes=notes,
                idempotencyKey=_key("publish", workflow_id, notes),
            )
        )["version"]
        await self._client.mutate(documents.DEPLOY, workflowId=workflow_id, number=version["number"])


async def _read_only(author: _Author) -> None:
    """Make a workflow of a colleague's that the demo account may only look at."""
    workflow = await author.workflow("Security handbook", "Answers questions about our security rules.", "single-agent")
    await author.member(workflow, (demo_account.EMAIL, demo_account.NAME), "VIEWER")
    await author.release(workflow, "First edition.")


async def _released(author: _Author) -> None:
    """Make a workflow with two versions, both of which were deployed, and with members of each role."""
    workflow = await author.workflow("Support desk", "Answers customers, and hands on what it can't answer.")
    await author.member(workflow, EDITOR, "EDITOR")
    await author.member(workflow, VIEWER, "VIEWER")
    await author.release(workflow, "As it comes from the template.")
    proposal = await author.proposal(workflow, "Add a Tone Reviewer who checks every answer before it is sent")
    await author.ended(proposal)
    await author.approve(proposal, "Just what we need.")
    await author.release(workflow, "With a reviewer of tone.")


async def _failed(author: _Author) -> None:
    """Make a proposal that failed."""
    workflow = await author.workflow("Invoice checks", "Compares invoices with orders and deliveries.")
    await author.ended(await author.proposal(workflow, "Add a Fraud Analyst [fail]"))


async def _conflicting(author: _Author) -> None:
    """Make two proposals for one revision, and approve the first: the second conflicts with it."""
    workflow = await author.workflow("Research team", "Finds sources, weighs them and writes a summary.")
    await author.member(workflow, EDITOR, "OWNER")
    first = await author.proposal(workflow, "Add a Fact Checker who verifies every claim")
    second = await author.proposal(workflow, "Add a Source Researcher who keeps a list of all sources")
    await author.ended(first, second)
    await author.approve(first, "Accuracy first.")


async def _waiting(author: _Author) -> None:
    """Make a proposal that waits for a decision, and merges cleanly."""
    workflow = await author.workflow("Product changelog", "Writes the changelog from what was merged.")
    await author.ended(await author.proposal(workflow, "Add a Translator who writes it in German and French"))


async def _running(author: _Author) -> None:
    """Begin a proposal whose agent takes its time."""
    workflow = await author.workflow("Travel planner", "Plans journeys within a budget.")
    await author.proposal(workflow, "Add a Budget Analyst who adds up the costs of each journey [slow]")


def _key(*words: str) -> str:
    return " ".join(("demo data:", *words))
