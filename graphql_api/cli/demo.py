"""`orchestrator demo`: the whole journey through the public API."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from io import TextIOWrapper
from typing import Annotated
from uuid import uuid4

import typer
from rich.console import Console

from graphql_api.cli import demo_account, passwords
from graphql_api.cli import demo_documents as documents
from graphql_api.cli.banner import DEFAULT_URL
from graphql_api.cli.demo_client import Answer, DemoClient, checked_url
from graphql_api.cli.demo_live import LiveView
from graphql_api.cli.demo_view import JsonView, LineView, Outcome, Step, View
from graphql_api.cli.examples import Runnable, examples
from graphql_api.cli.problems import Problem

_INTERRUPTED = 130
_TEMPLATE = "multi-agent"
_NAME = "Release notes"
_PROMPT = "Add a Release Writer who groups the changes by theme and a Fact Checker who verifies every claim."


def demo(
    *,
    url: Annotated[str, typer.Option(help="The GraphQL endpoint.")] = f"{DEFAULT_URL}/graphql",
    email: Annotated[str, typer.Option(help="Who signs in; the password of others is asked for.")] = demo_account.EMAIL,
    prompt: Annotated[str, typer.Option(help="What the agent is asked for.")] = _PROMPT,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per step and event.")] = False,
) -> None:
    """Walk the whole journey through the public API of a running server.

    Signs in, creates a workflow from a template, asks the agent for a change, shows what it does as it does it,
    approves the proposal, publishes the draft and deploys the version. What it made stays there to look at.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        # A pipe may take no more than ASCII, and that is no reason to stop.
        sys.stdout.reconfigure(errors="replace")
    url = checked_url(url)
    password = (
        demo_account.PASSWORD if email == demo_account.EMAIL else passwords.ask(f"Password of {email}", is_new=False)
    )
    view, drawing = _view(url, is_json=json)
    try:
        with drawing:
            asyncio.run(_walk(view, url, (email, password), prompt))
    except KeyboardInterrupt:
        typer.echo("Interrupted. What the agent was asked for goes on without a watcher.", err=True)
        raise typer.Exit(_INTERRUPTED) from None


COMMANDS = {
    "demo": Runnable(
        demo,
        examples(
            "orchestrator demo",
            'orchestrator demo --prompt "Add a reviewer who checks every answer"',
            "orchestrator demo --json | jq .step",
        ),
    )
}


def _view(url: str, *, is_json: bool) -> tuple[View, AbstractContextManager[object]]:
    if is_json:
        return JsonView(), nullcontext()
    console = Console(highlight=False)
    if not console.is_terminal or os.environ.get("TERM") == "dumb":
        return LineView(), nullcontext()
    live = LiveView(console, url)
    return live, live


@asynccontextmanager
async def _client(url: str) -> AsyncIterator[DemoClient]:
    client = DemoClient(url)
    try:
        yield client
    finally:
        await client.close()


async def _walk(view: View, url: str, account: tuple[str, str], prompt: str) -> None:
    async with _client(url) as client:
        view.begin(Step.SIGN_IN)
        user = await client.sign_in(*account)
        view.end(Step.SIGN_IN, f"{user['name']} <{user['email']}>", user=user)
        workflow = await _create(client, view)
        proposal = await _refine(client, view, workflow, prompt)
        await _watch(client, view, proposal)
        await _approve(client, view, proposal)
        view.finish(await _release(client, view, workflow))


async def _create(client: DemoClient, view: View) -> Answer:
    view.begin(Step.CREATE)
    payload = await client.mutate(
        documents.CREATE_WORKFLOW, name=_NAME, templateSlug=_TEMPLATE, idempotencyKey=str(uuid4())
    )
    workflow: Answer = payload["workflow"]
    count = workflow["draft"]["fileCount"]
    view.end(Step.CREATE, f"{workflow['name']}, {count} files from the template {_TEMPLATE}", workflow=workflow)
    return workflow


async def _refine(client: DemoClient, view: View, workflow: Answer, prompt: str) -> str:
    view.begin(Step.REFINE)
    payload = await client.mutate(
        documents.REFINE, workflowId=workflow["id"], prompt=prompt, idempotencyKey=str(uuid4())
    )
    view.end(Step.REFINE, prompt, proposal=payload["proposal"])
    proposal_id: str = payload["proposal"]["id"]
    return proposal_id


async def _watch(client: DemoClient, view: View, proposal_id: str) -> None:
    """Show the work to its end.

    Raises:
        Problem: When it fails, or somebody stops it.
    """
    view.begin(Step.WATCH)
    last: Answer = {}
    async for event in client.events(proposal_id, view.lost):
        last = event
        view.event(event)
    match last.get("__typename"):
        case "ProposalCompleted":
            view.end(Step.WATCH, f"{last['sequence']} events", events=last["sequence"])
        case "ProposalFailed":
            raise Problem(f"The agent failed: {last['failure']['message']}")
        case "ProposalCancelled":
            raise Problem(f"Somebody stopped the agent: {last['reason'] or 'they did not say why'}")
        case _:
            raise Problem("The subscription ended before the work did")


async def _approve(client: DemoClient, view: View, proposal_id: str) -> None:
    """Approve exactly what the review shows."""
    view.begin(Step.APPROVE)
    review = (await client.ask(documents.REVIEW, proposalId=proposal_id))["proposal"]
    payload = await client.mutate(
        documents.APPROVE,
        proposalId=proposal_id,
        expectedMergeDigest=review["mergePreview"]["digest"],
        comment="Approved by orchestrator demo.",
        idempotencyKey=str(uuid4()),
    )
    paths, draft = payload["proposal"]["decision"]["appliedPaths"], payload["draft"]
    text = f"{len(paths)} files merged into the draft, which is at revision {draft['revision']}"
    view.end(Step.APPROVE, text, paths=paths, draft=draft)


async def _release(client: DemoClient, view: View, workflow: Answer) -> Outcome:
    """Publish and deploy."""
    view.begin(Step.PUBLISH)
    payload = await client.mutate(
        documents.PUBLISH,
        workflowId=workflow["id"],
        notes="Published by orchestrator demo.",
        idempotencyKey=str(uuid4()),
    )
    version = payload["version"]
    view.end(Step.PUBLISH, f"version {version['number']} with {len(version['files'])} files", version=version)
    view.begin(Step.DEPLOY)
    payload = await client.mutate(documents.DEPLOY, workflowId=workflow["id"], number=version["number"])
    production = payload["workflow"]["productionVersion"]["number"]
    view.end(Step.DEPLOY, f"production runs version {production}", production=production)
    return Outcome(workflow["name"], version["number"], production, version["files"], client.url)
