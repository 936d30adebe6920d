"""Signs in, creates a workflow, has it refined, and shows what the agent does: every event once, whatever breaks."""

import asyncio
import os
from collections.abc import AsyncIterator

from orchestrator_client import Orchestrator, WatchProposalEventsFilesChanged, WatchProposalEventsProposalEvent
from orchestrator_client.watch import WatchProposalEventsProposalFailed as Failed
from websockets.exceptions import WebSocketException

URL = os.environ.get("ORCHESTRATOR_URL", "http://127.0.0.1:8080/graphql")
Event = WatchProposalEventsFilesChanged | WatchProposalEventsProposalEvent | Failed


def connect(token: str | None = None) -> Orchestrator:
    """Make a client; without a token, of nobody."""
    header = {"Authorization": f"Bearer {token}"} if token else {}
    return Orchestrator(
        URL, headers=header, ws_url=URL.replace("http", "ws", 1), ws_connection_init_payload=dict(header)
    )


async def follow(client: Orchestrator, proposal_id: str) -> AsyncIterator[Event]:
    """Give the events of a proposal, to the terminal one; over as many connections as it takes."""
    after: str | None = None
    has_ended = False
    while not has_ended:
        try:
            async for result in client.watch(proposal_id, after=after):
                event = result.proposal_events
                after = event.cursor
                has_ended = event.typename__ in {"ProposalCompleted", "ProposalFailed", "ProposalCancelled"}
                yield event
        except (OSError, WebSocketException):
            await asyncio.sleep(1)  # the connection: go on from the last cursor; a refusal is a GraphQLClientError


async def main() -> None:
    """Walk from signing in to the end of the work."""
    login = (await connect().sign_in("demo@example.com", "demo-password")).login
    if login.session is None:
        raise SystemExit(login.errors[0].message)
    client = connect(login.session.access_token)
    created = (await client.create_workflow("Support desk", template_slug="multi-agent")).create_workflow
    assert created.workflow is not None, created.errors
    refined = (await client.refine(created.workflow.id, "Add a reviewer agent")).refine_workflow
    assert refined.proposal is not None, refined.errors
    async for event in follow(client, refined.proposal.id):
        print(event.sequence, event.typename__)
    review = (await client.review(refined.proposal.id)).proposal
    assert review is not None
    print(review.status.value)


if __name__ == "__main__":
    asyncio.run(main())
