"""What metrics tell of operations, measured from outside."""

from typing import Any

import pytest
from support.scraping import growing, scraped
from support.server import Person, Site
from support.sockets import connected

from graphql_api.kit import operations
from graphql_api.kit.ids import to_global_id
from graphql_api.kit.metrics import OTHER, Bounded

pytestmark = pytest.mark.anyio

CREATE = 'mutation Make { createWorkflow(input: { name: "W" }) { workflow { id } errors { code } } }'
DELETE = "mutation Drop($id: ID!) { deleteWorkflow(input: { workflowId: $id }) { errors { code } } }"
REFINE = """mutation Refine($id: ID!) {
  refineWorkflow(input: { workflowId: $id, prompt: "Add a tester agent" }) { proposal { id } errors { code } }
}"""
REJECT = "mutation Reject($id: ID!) { rejectProposal(input: { proposalId: $id }) { errors { code } } }"
WATCH = "subscription Watch($id: ID!) { proposalEvents(proposalId: $id, deltas: NONE) { sequence } }"
WATCH_WORKFLOW = "subscription Follow($id: ID!) { workflowEvents(workflowId: $id) { sequence } }"


async def change(site: Site, person: Person, mutation: str, **variables: object) -> dict[str, Any]:
    answer = await site.ask(mutation, variables, token=person.token)
    (payload,) = answer["data"].values()
    return dict(payload)


class TestOperations:
    @pytest.mark.parametrize(
        ("document", "type_", "outcome"),
        [
            ("query Whole { viewer { id } }", "query", "ok"),
            ("query Whole { runtime { name }, nothing }", "query", "invalid"),
            ("query Whole($id: ID!) { node(id: $id) { id } }", "query", "invalid"),
            (
                'mutation Whole { deleteWorkflow(input: { workflowId: "none" }) { errors { code } } }',
                "mutation",
                "refused",
            ),
        ],
    )
    async def test_they_are_counted_by_how_they_end(
        self, running_site: Site, ada: Person, document: str, type_: str, outcome: str
    ) -> None:
        async with growing(running_site) as growth:
            await running_site.ask(document, token=ada.token)

            assert await growth.of("operations_total", "Whole", type_, outcome) == 1
            assert await growth.of("operation_duration_seconds_count", "Whole", type_) == 1

    async def test_what_breaks_is_our_failure(
        self, running_site: Site, ada: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(type(running_site.engines.runtime), "health", None)
        async with growing(running_site) as growth:
            await running_site.ask("query Broken { runtime { healthy } }", token=ada.token)

            assert await growth.of("operations_total", "Broken", "query", "failed") == 1

    async def test_a_stranger_is_refused(self, running_site: Site) -> None:
        async with growing(running_site) as growth:
            await running_site.ask("query Curious { runtime { healthy } }")

            assert await growth.of("operations_total", "Curious", "query", "refused") == 1

    @pytest.mark.parametrize("document", ["{", ""])
    async def test_what_can_t_be_read_has_no_name(self, running_site: Site, document: str) -> None:
        async with growing(running_site) as growth:
            await running_site.ask(document)

            assert await growth.of("operations_total", "unnamed", "unreadable", "invalid") == 1

    async def test_strangers_fill_no_list(
        self, running_site: Site, ada: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(operations, "_strange", Bounded(3))
        async with growing(running_site) as growth:
            for number in range(5):
                await running_site.ask(f"query Flood{number} {{ __typename }}")
            await running_site.ask("query AsEver { __typename }", token=ada.token)

            assert await growth.of("operations_total", OTHER, "query", "ok") == 2
            assert await growth.of("operations_total", "AsEver", "query", "ok") == 1

    async def test_a_name_that_is_in_no_document_is_no_label(self, running_site: Site, ada: Person) -> None:
        async with growing(running_site) as growth:
            await running_site.ask("query A { __typename }", operationName="B" * 1000, token=ada.token)

            assert await growth.of("operations_total", "unnamed", "unreadable", "invalid") == 1
            assert not any("B" * 64 in label for key in await scraped(running_site) for label in key)


class TestSubscriptions:
    async def test_they_are_open_until_the_client_ends_them(self, running_site: Site, ada: Person) -> None:
        workflow = (await change(running_site, ada, CREATE))["workflow"]["id"]
        async with growing(running_site) as growth:
            async with connected(running_site.socket_url, ada.token) as socket:
                id_ = await socket.subscribe(WATCH_WORKFLOW, {"id": workflow})
                await socket.next()
                await growth.reaches(1, "subscriptions_open", "Follow")
                await growth.reaches(1, "websocket_connections")
                await growth.reaches(1, "events_delivered_total")

                await socket.send({"type": "complete", "id": id_})
                await growth.reaches(1, "operations_total", "Follow", "subscription", "cancelled")
                assert await growth.of("subscriptions_open", "Follow") == 0
            await growth.reaches(0, "websocket_connections")

    @pytest.mark.parametrize("accept", [None, "text/event-stream", "multipart/mixed;subscriptionSpec=1.0"])
    async def test_each_event_counts_whatever_it_goes_over(
        self, running_site: Site, ada: Person, accept: str | None
    ) -> None:
        workflow = (await change(running_site, ada, CREATE))["workflow"]["id"]
        proposal = (await change(running_site, ada, REFINE, id=workflow))["proposal"]["id"]
        async with growing(running_site) as growth:
            if accept is None:
                async with connected(running_site.socket_url, ada.token) as socket:
                    events = len(await socket.run(WATCH, {"id": proposal})) - 1
            else:
                headers = {"accept": accept, "authorization": f"Bearer {ada.token}"}
                body = {"query": WATCH, "variables": {"id": proposal}}
                answer = await running_site.request("POST", "/graphql", json=body, headers=headers)
                events = answer.text.count("sequence")

            assert events > 10
            await growth.reaches(events, "events_delivered_total")
            await growth.reaches(1, "operations_total", "Watch", "subscription", "ok")

    async def test_one_that_is_refused_never_opens(self, running_site: Site, ada: Person) -> None:
        async with growing(running_site) as growth, connected(running_site.socket_url, ada.token) as socket:
            await socket.run(WATCH, {"id": to_global_id("Proposal", ada.user.id)})

            await growth.reaches(1, "operations_total", "Watch", "subscription", "refused")
            assert await growth.of("subscriptions_open", "Watch") == 0


class TestRefinements:
    async def test_the_way_of_one_leaves_its_traces(self, running_site: Site, ada: Person) -> None:
        workflow = (await change(running_site, ada, CREATE))["workflow"]["id"]
        async with growing(running_site) as growth:
            proposal = (await change(running_site, ada, REFINE, id=workflow))["proposal"]["id"]
            async with connected(running_site.socket_url, ada.token) as socket:
                stored = len(await socket.run(WATCH, {"id": proposal})) - 1
            await growth.reaches(1, "refinement_duration_seconds_count", "completed")
            await change(running_site, ada, REJECT, id=proposal)

            for status in ("pending", "processing", "completed", "rejected"):
                await growth.reaches(1, "proposal_moves_total", status)
            await growth.reaches(1, "runtime_call_duration_seconds_count", "embedded-rules", "start", "ok")
            await growth.reaches(1, "execution_end_duration_seconds_count", "ok")
            assert await growth.of("events_appended_total") > stored  # and those of the workflow
            assert await growth.of("ingested_frames_total") > 10
            assert await growth.of("ingest_lag_seconds_count") > 0
            assert await growth.of("event_delivery_lag_seconds_count") > 0

    async def test_a_mutation_that_changes_nothing_moves_nothing(self, running_site: Site, ada: Person) -> None:
        workflow = (await change(running_site, ada, CREATE))["workflow"]["id"]
        async with growing(running_site) as growth:
            await change(running_site, ada, REJECT, id=workflow)

            assert await growth.of("proposal_moves_total", "rejected") == 0
            assert await growth.of("operations_total", "Reject", "mutation", "refused") == 1
