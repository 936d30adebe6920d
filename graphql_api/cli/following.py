"""`orchestrator watch` and `orchestrator tail`: what happens, as it happens."""

import asyncio
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated

import typer

from graphql_api.cli import documents, signing_in, terminal
from graphql_api.cli.api_client import Answer, ApiClient
from graphql_api.cli.demo_live import LiveView
from graphql_api.cli.demo_view import Journey, LineView, Step, Watcher
from graphql_api.cli.demo_work import Event
from graphql_api.cli.event_lines import EventJson, WorkflowLines
from graphql_api.cli.examples import Runnable, examples
from graphql_api.cli.problems import Problem, one_line, say_error

FAILED = 3
STOPPED = 4
_LISTED = 5
_STOPPED_STATUSES = {"CANCELLED", "REJECTED"}
_GOES_ON = "Interrupted. The agent goes on without a watcher."

After = Annotated[str | None, typer.Option(metavar="CURSOR", help="Begin after this event; from the first otherwise.")]
Json = Annotated[bool, typer.Option("--json", help="One event a line, as the API sends it; losses go to stderr.")]


def watch(
    proposal: Annotated[
        str | None, typer.Argument(help="Id of the proposal; the newest one when not given.", show_default=False)
    ] = None,
    *,
    url: signing_in.Url = signing_in.DEFAULT_ENDPOINT,
    email: signing_in.Email = None,
    after: After = None,
    json: Json = False,
) -> None:
    """Follow what an agent does for a proposal, to its end.

    What happened before is shown first. A lost connection is taken up again where it broke, for as long as it takes.
    Exit code 0 says that the agent completed its work, 3 that it failed, 4 that somebody stopped it.
    """
    account = signing_in.account(url, email)
    with terminal.interruptible(_GOES_ON):
        code = asyncio.run(_watch(account, proposal, after, is_json=json))
    raise typer.Exit(code)


def tail(
    workflow: Annotated[str, typer.Argument(help="Id of the workflow, its name, or a part of it that no other has.")],
    *,
    url: signing_in.Url = signing_in.DEFAULT_ENDPOINT,
    email: signing_in.Email = None,
    after: After = None,
    new: Annotated[bool, typer.Option("--new", help="Leave out what happened before.")] = False,
    json: Json = False,
) -> None:
    """Follow what happens to a workflow, until Ctrl-C.

    What happened before is shown first. A lost connection is taken up again where it broke, for as long as it takes.
    """
    if new and after is not None:
        raise Problem("--new and --after both say where to begin; leave one of them out")
    account = signing_in.account(url, email)
    with terminal.interruptible("Interrupted."):
        asyncio.run(_tail(account, workflow, after, is_new=new, is_json=json))


COMMANDS = {
    "watch": Runnable(
        watch,
        examples(
            "orchestrator watch",
            "orchestrator watch UHJvcG9zYWw6…",
            "orchestrator watch --json | jq .__typename",
            "ORCHESTRATOR_URL=https://api.example.com orchestrator watch --email ada@example.com",
        ),
    ),
    "tail": Runnable(
        tail,
        examples(
            'orchestrator tail "Support desk"',
            "orchestrator tail support --new",
            'orchestrator tail "Support desk" --json | jq -r .cursor',
        ),
    ),
}


async def _watch(account: signing_in.Account, proposal: str | None, after: str | None, *, is_json: bool) -> int:
    async with signing_in.client_of(account) as client:
        await signing_in.sign_in(client, account)
        proposal_id = proposal or await _newest(client)
        wanted = await _watched(client, proposal_id)
        view, drawing = _view(account.url, is_json=is_json)
        with drawing:
            view.end(Step.REFINE, f"{wanted['workflow']['name']}: {' '.join(wanted['prompt'].split())}")
            view.begin(Step.WATCH)
            deltas = "COALESCED" if isinstance(view, LiveView) else "NONE"
            variables = {"proposalId": proposal_id, "after": after, "deltas": deltas}
            last = await _follow(client, documents.WATCH, variables, view)
            ended = await _watched(client, proposal_id)
            code, text = _end(last, ended)
            if code == 0:
                view.end(Step.WATCH, text)
        if code != 0:
            say_error(text)
        elif not is_json and ended["status"] == "COMPLETED":
            typer.echo("It waits for a decision: approve or reject it in GraphiQL, or in your client.")
        return code


async def _tail(account: signing_in.Account, workflow: str, after: str | None, *, is_new: bool, is_json: bool) -> None:
    async with signing_in.client_of(account) as client:
        await signing_in.sign_in(client, account)
        found = await _workflow(client, workflow)
        view: Watcher = EventJson() if is_json else WorkflowLines(terminal.console())
        variables = {"workflowId": found["id"], "after": found["eventHead"] if is_new else after}
        await _follow(client, documents.TAIL, variables, view)
    raise Problem(f"The events of {found['name']} came to an end; it may be deleted")


def _view(url: str, *, is_json: bool) -> tuple[Journey, AbstractContextManager[object]]:
    if is_json:
        return EventJson(), nullcontext()
    if not terminal.can_draw():
        return LineView(), nullcontext()
    live = LiveView(terminal.console(), url, command="watch", steps=(Step.REFINE, Step.WATCH))
    return live, live


async def _newest(client: ApiClient) -> str:
    nodes = (await client.ask(documents.NEWEST))["proposals"]["nodes"]
    if not nodes:
        raise Problem("There is no proposal that you may see yet; make one with: orchestrator demo")
    newest: str = nodes[0]["id"]
    return newest


async def _watched(client: ApiClient, proposal_id: str) -> Answer:
    found: Answer | None = (await client.ask(documents.WATCHED, id=proposal_id))["proposal"]
    if found is None:
        raise Problem(
            f"There is no proposal {proposal_id} that you may see; orchestrator tail WORKFLOW shows those of a workflow"
        )
    return found


async def _workflow(client: ApiClient, words: str) -> Answer:
    """Find a workflow by its id, its name, or a part of its name.

    Raises:
        Problem: When there is none, or several that could be meant.
    """
    answer = await client.ask(documents.FIND_WORKFLOW, id=words, name=words)
    found: Answer | None = answer["workflow"]
    if found is not None:
        return found
    nodes: list[Answer] = answer["workflows"]["nodes"]
    named = [node for node in nodes if words.casefold() in node["name"].casefold()]
    meant = [node for node in named if node["name"].casefold() == words.casefold()] or named
    if not meant:
        raise Problem(f"There is no workflow {words!r} that you may see; the query workflows lists them")
    if len(meant) > 1:
        which = ", ".join(f"{node['name']} ({node['id']})" for node in meant[:_LISTED])
        raise Problem(f"{len(meant)} workflows could be {words!r}, give the id of one: {which}")
    return meant[0]


async def _follow(client: ApiClient, document: str, variables: Answer, view: Watcher) -> Event:
    """Show events to the last one, and give it; an empty one when there was none."""
    last: Event = {}
    async for event in client.events(document, variables, view.lost, is_patient=True):
        last = event
        view.event(event)
    return last


def _end(last: Event, proposal: Answer) -> tuple[int, str]:
    """Say how the work ended: as the last event tells, or where none came after the cursor, as the proposal does."""
    kind = last.get("__typename")
    if kind == "ProposalCompleted":
        return 0, f"completed, {last['sequence']} events"
    if kind == "ProposalFailed" or proposal["failure"] is not None:
        failure = last.get("failure") or proposal["failure"]
        return FAILED, f"The agent failed: {one_line(Problem(failure['message']))}; ask again with retryProposal"
    if kind == "ProposalCancelled" or proposal["status"] in _STOPPED_STATUSES:
        return STOPPED, f"Somebody stopped the agent: {last.get('reason') or 'they did not say why'}"
    return 0, "completed before"
