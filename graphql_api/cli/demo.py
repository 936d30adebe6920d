"""`orchestrator demo`: the whole journey through the public API."""

import asyncio
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated
from uuid import uuid4

import typer

from graphql_api.cli import documents, signing_in, terminal
from graphql_api.cli.api_client import Answer, ApiClient
from graphql_api.cli.demo_live import LiveView
from graphql_api.cli.demo_view import JsonView, LineView, Outcome, Step, View
from graphql_api.cli.examples import Runnable, examples
from graphql_api.cli.problems import Problem

_TEMPLATE = "multi-agent"
_NAME = "Release notes"
_PROMPT = "Add a Release Writer who groups the changes by theme and a Fact Checker who verifies every claim."


def demo(
    *,
    url: signing_in.Url = signing_in.DEFAULT_ENDPOINT,
    email: signing_in.Email = None,
    prompt: Annotated[str, typer.Option(help="What the agent is asked for.")] = _PROMPT,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per step and event.")] = False,
) -> None:
    """Walk the whole journey through the public API of a running server.

    Signs in, creates a workflow from a template, asks the agent for a change, shows what it does as it does it,
    approves the proposal, publishes the draft and deploys the version. What it made stays there to look at.
    """
    account = signing_in.account(url, email)
    view, drawing = _view(account.url, is_json=json)
    with terminal.interruptible("Interrupted. What the agent was asked for goes on without a watcher."), drawing:
        asyncio.run(_walk(view, account, prompt))


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
    if not terminal.can_draw():
        return LineView(), nullcontext()
    live = LiveView(terminal.console(), url)
    return live, live


async def _walk(view: View, account: signing_in.Account, prompt: str) -> None:
    async with signing_in.client_of(account) as client:
        view.begin(Step.SIGN_IN)
        user = await signing_in.sign_in(client, account)
        view.end(Step.SIGN_IN, f"{user['name']} <{user['email']}>", user=user)
        workflow = await _create(client, view)
        proposal = await _refine(client, view, workflow, prompt)
        await _watch(client, view, proposal)
        await _approve(client, view, proposal)
        view.finish(await _release(client, view, workflow))


async def _create(client: ApiClient, view: View) -> Answer:
    view.begin(Step.CREATE)
    payload = await client.mutate(
        documents.CREATE_WORKFLOW, name=_NAME, templateSlug=_TEMPLATE, idempotencyKey=str(uuid4())
    )
    workflow: Answer = payload["workflow"]
    count = workflow["draft"]["fileCount"]
    view.end(Step.CREATE, f"{workflow['name']}, {count} files from the template {_TEMPLATE}", workflow=workflow)
    return workflow


async def _refine(client: ApiClient, view: View, workflow: Answer, prompt: str) -> str:
    view.begin(Step.REFINE)
    payload = await client.mutate(
        documents.REFINE, workflowId=workflow["id"], prompt=prompt, idempotencyKey=str(uuid4())
    )
    view.end(Step.REFINE, prompt, proposal=payload["proposal"])
    proposal_id: str = payload["proposal"]["id"]
    return proposal_id


async def _watch(client: ApiClient, view: View, proposal_id: str) -> None:
    """Show the work to its end.

    Raises:
        Problem: When it fails, or somebody stops it.
    """
    view.begin(Step.WATCH)
    last: Answer = {}
    async for event in client.events(documents.WATCH, {"proposalId": proposal_id}, view.lost):
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


async def _approve(client: ApiClient, view: View, proposal_id: str) -> None:
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


async def _release(client: ApiClient, view: View, workflow: Answer) -> Outcome:
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
