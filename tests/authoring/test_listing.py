import base64
from typing import Any

import pytest
from support.api import Api, key
from support.studio import Studio, Team, counted

pytestmark = pytest.mark.anyio

WORKFLOWS = """query (
  $filter: WorkflowFilter, $orderBy: WorkflowOrder, $first: Int, $after: String, $last: Int, $before: String
) {
  workflows(filter: $filter, orderBy: $orderBy, first: $first, after: $after, last: $last, before: $before) {
    edges { cursor node { name } } nodes { name }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
} }"""


async def page(api: Api, **given: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    found: dict[str, Any] = (await api(WORKFLOWS, **given))["workflows"]
    assert [edge["node"] for edge in found["edges"]] == found["nodes"]
    cursors = [edge["cursor"] for edge in found["edges"]]
    assert found["pageInfo"]["startCursor"] == (cursors[0] if cursors else None)
    assert found["pageInfo"]["endCursor"] == (cursors[-1] if cursors else None)
    return found


def names(found: dict[str, Any]) -> list[str]:
    return [node["name"] for node in found["nodes"]]


def ends(found: dict[str, Any]) -> tuple[bool, bool]:
    return found["pageInfo"]["hasPreviousPage"], found["pageInfo"]["hasNextPage"]


@pytest.fixture
async def ada(studio: Studio) -> Api:
    """Somebody with the workflows a to g, made in this order."""
    ada = await studio.person()
    for name in "abcdefg":
        await studio.workflow(ada, {}, name=name, description=f"The {name.upper()} of 100% of_them\\")
    return ada


class TestWorkflows:
    async def test_pages_forwards_and_backwards(self, ada: Api) -> None:
        order = {"field": "NAME", "direction": "ASC"}
        first = await page(ada, orderBy=order, first=3)
        assert (names(first), ends(first)) == (["a", "b", "c"], (False, True))
        second = await page(ada, orderBy=order, first=3, after=first["pageInfo"]["endCursor"])
        assert (names(second), ends(second)) == (["d", "e", "f"], (True, True))
        third = await page(ada, orderBy=order, first=3, after=second["pageInfo"]["endCursor"])
        assert (names(third), ends(third)) == (["g"], (True, False))
        nothing = await page(ada, orderBy=order, first=3, after=third["pageInfo"]["endCursor"])
        assert (names(nothing), ends(nothing)) == ([], (True, False))
        last = await page(ada, orderBy=order, last=2)
        assert (names(last), ends(last)) == (["f", "g"], (True, False))
        earlier = await page(ada, orderBy=order, last=5, before=last["pageInfo"]["startCursor"])
        assert (names(earlier), ends(earlier)) == (["a", "b", "c", "d", "e"], (False, True))
        between = await page(
            ada, orderBy=order, first=9, after=earlier["edges"][1]["cursor"], before=earlier["edges"][4]["cursor"]
        )
        assert names(between) == ["c", "d"]

    @pytest.mark.parametrize("field", ["NAME", "CREATED_AT", "UPDATED_AT"])
    async def test_orders(self, ada: Api, field: str) -> None:
        assert names(await page(ada, orderBy={"field": field, "direction": "ASC"})) == list("abcdefg")
        assert names(await page(ada, orderBy={"field": field})) == list("gfedcba")
        collected: list[str] = []
        after = None
        for _ in range(4):
            found = await page(ada, orderBy={"field": field}, first=2, after=after)
            after = found["pageInfo"]["endCursor"]
            collected += names(found)
        assert collected == list("gfedcba")

    async def test_the_ones_that_changed_last_come_first(self, ada: Api) -> None:
        (node,) = (await ada('{ workflows(filter: {search: "c of"}) { nodes { id } } }'))["workflows"]["nodes"]
        await ada.do("updateWorkflow", workflowId=node["id"], name="c2")
        assert names(await page(ada)) == ["c2", "g", "f", "e", "d", "b", "a"]

    async def test_stays_stable_while_rows_come_and_go(self, ada: Api, studio: Studio) -> None:
        order = {"field": "CREATED_AT", "direction": "DESC"}
        first = await page(ada, orderBy=order, first=2)
        await studio.workflow(ada, {}, name="h")
        cursor = first["pageInfo"]["endCursor"]
        assert names(await page(ada, orderBy=order, first=2, after=cursor)) == ["e", "d"]

    @pytest.mark.parametrize(
        ("search", "expected"),
        [
            ("THE C", "c"),
            ("100%", "gfedcba"),
            ("%", "gfedcba"),
            ("1%0", ""),
            ("of_them", "gfedcba"),
            ("o__them", ""),
            ("them\\", "gfedcba"),
            (" d of ", "d"),
            ("", "gfedcba"),
            ("nothing", ""),
        ],
    )
    async def test_searches_for_text_as_it_is(self, ada: Api, search: str, expected: str) -> None:
        assert names(await page(ada, filter={"search": search})) == list(expected)

    async def test_searches_whatever_the_normal_form(self, studio: Studio) -> None:
        bob = await studio.person()
        await studio.workflow(bob, {}, name="Caf\u00e9")
        assert names(await page(bob, filter={"search": "cafe\u0301"})) == ["Caf\u00e9"]

    @pytest.mark.parametrize("search", ["\0", "\ud800", "a" * 1001])
    async def test_refuses_a_search_for_what_nothing_can_have(self, ada: Api, search: str) -> None:
        assert await ada.code(WORKFLOWS, filter={"search": search}) == "VALIDATION_FAILED"

    async def test_filters_by_archive_and_role(self, ada: Api, studio: Studio) -> None:
        bob = await studio.person()
        own = await studio.workflow(bob, {}, name="own")
        for role in ("VIEWER", "EDITOR"):
            workflow = await studio.workflow(ada, {}, name=role)
            await studio.join(workflow, ada, bob, role)
        await bob.do("updateWorkflow", workflowId=own, isArchived=True)
        for given, expected in (
            ({}, {"own", "VIEWER", "EDITOR"}),
            ({"isArchived": True}, {"own"}),
            ({"isArchived": False}, {"VIEWER", "EDITOR"}),
            ({"role": "OWNER"}, {"own"}),
            ({"role": "VIEWER"}, {"VIEWER"}),
            ({"role": "EDITOR", "isArchived": True}, set()),
        ):
            assert set(names(await page(bob, filter=given))) == expected

    @pytest.mark.parametrize(
        "given",
        [
            {"first": 0},
            {"first": -1},
            {"first": 101},
            {"last": 0},
            {"last": -1},
            {"last": 101},
            {"first": 1, "last": 1},
            {"first": 2**31 - 1},
        ],
    )
    async def test_refuses_a_number_out_of_range(self, ada: Api, given: dict[str, int]) -> None:
        assert await ada.code(WORKFLOWS, **given) == "VALIDATION_FAILED"

    @pytest.mark.parametrize(
        "cursor",
        [
            "",
            "x",
            "💥",
            "a" * 10_000,
            "bnVsbA==",
            base64.b64encode(b"[1,2]").decode(),
            base64.b64encode(b'["x","y"]').decode(),
            base64.b64encode(b'["2026-01-01T00:00:00","6f1d2ff8-cf2b-4a8a-8f3d-2f6d1b0a7c11"]').decode(),
            base64.b64encode(b'["0001-01-01T00:00:00+14:00","6f1d2ff8-cf2b-4a8a-8f3d-2f6d1b0a7c11"]').decode(),
        ],
    )
    async def test_refuses_what_is_not_a_cursor_of_the_list(self, ada: Api, team: Team, cursor: str) -> None:
        for given in ({"after": cursor}, {"before": cursor}):
            assert await ada.code(WORKFLOWS, **given) == "CURSOR_INVALID"
        document = "query ($id: ID!, $after: String) { workflow(id: $id) { versions(after: $after) { nodes { id } } } }"
        assert await team.viewer.code(document, id=team.workflow, after=cursor) == "CURSOR_INVALID"

    async def test_counts_only_when_it_is_asked(self, ada: Api, studio: Studio) -> None:
        async with counted(studio.database) as statements:
            await ada("{ workflows(first: 2) { nodes { id } } }")
        assert not [statement for statement in statements if "count(" in statement]
        async with counted(studio.database) as statements:
            data = await ada('{ workflows(first: 2, filter: {search: "the"}) { totalCount } }')
        assert data["workflows"]["totalCount"] == 7
        assert len([statement for statement in statements if "count(" in statement]) == 1


class TestOfWorkflow:
    async def test_pages_versions(self, team: Team, studio: Studio) -> None:
        for number in range(1, 6):
            if number > 1:
                await team.editor.do(
                    "editDraft", workflowId=team.workflow, write=[{"path": "n.md", "content": str(number)}]
                )
            await studio.publish(team.editor, team.workflow)
        document = """query ($id: ID!, $first: Int, $after: String, $last: Int, $before: String) { workflow(id: $id) {
          versions(first: $first, after: $after, last: $last, before: $before) { totalCount nodes { number }
            pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }"""

        async def versions(**given: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
            found: dict[str, Any] = (await team.viewer(document, id=team.workflow, **given))["workflow"]["versions"]
            assert found["totalCount"] == 5
            return found

        first = await versions(first=2)
        assert ([node["number"] for node in first["nodes"]], ends(first)) == ([5, 4], (False, True))
        second = await versions(first=2, after=first["pageInfo"]["endCursor"])
        assert ([node["number"] for node in second["nodes"]], ends(second)) == ([3, 2], (True, True))
        last = await versions(last=2, before=second["pageInfo"]["startCursor"])
        assert ([node["number"] for node in last["nodes"]], ends(last)) == ([5, 4], (False, True))

    @pytest.mark.parametrize("field", ["versions", "proposals", "events", "auditLog"])
    async def test_refuses_a_number_out_of_range(self, team: Team, field: str) -> None:
        for given in ("first: 0", "first: -1", "first: 101"):
            document = f"query ($id: ID!) {{ workflow(id: $id) {{ {field}({given}) {{ nodes {{ __typename }} }} }} }}"
            assert await team.viewer.code(document, id=team.workflow) == "VALIDATION_FAILED"

    async def test_an_error_of_one_list_is_not_one_of_another(self, team: Team) -> None:
        document = """query ($id: ID!) {
          good: workflow(id: $id) { versions(first: 2) { totalCount } }
          bad: workflow(id: $id) { versions(first: 0) { totalCount } }
        }"""
        result = await team.viewer.execute(document, id=team.workflow)
        assert result.data == {"good": {"versions": {"totalCount": 0}}, "bad": None}

    async def test_pages_events(self, team: Team, studio: Studio) -> None:
        document = """query ($id: ID!, $first: Int, $after: EventCursor) { workflow(id: $id) { eventHead
          events(first: $first, after: $after) { edges { cursor node { sequence } } nodes { sequence cursor }
            pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }"""
        found = (await team.viewer(document, id=team.workflow, first=3))["workflow"]
        assert [node["sequence"] for node in found["events"]["nodes"]] == [1, 2, 3]
        assert ends(found["events"]) == (False, True)
        after = found["events"]["pageInfo"]["endCursor"]
        assert after == found["events"]["nodes"][-1]["cursor"] == found["events"]["edges"][-1]["cursor"]
        found = (await team.viewer(document, id=team.workflow, after=after))["workflow"]
        assert [node["sequence"] for node in found["events"]["nodes"]] == [4]
        assert ends(found["events"]) == (True, False)
        assert found["eventHead"] == found["events"]["pageInfo"]["endCursor"]

    async def test_pages_the_audit_log_newest_first(self, team: Team, studio: Studio) -> None:
        document = """query ($id: ID!, $after: String) { workflow(id: $id) { auditLog(first: 2, after: $after) {
          totalCount nodes { action } pageInfo { endCursor hasNextPage } } } }"""
        first = (await team.viewer(document, id=team.workflow))["workflow"]["auditLog"]
        after = first["pageInfo"]["endCursor"]
        second = (await team.viewer(document, id=team.workflow, after=after))["workflow"]["auditLog"]
        assert first["totalCount"] == 3
        assert [node["action"] for node in first["nodes"] + second["nodes"]] == [
            "workflow.share",
            "workflow.share",
            "workflow.create",
        ]
        assert (first["pageInfo"]["hasNextPage"], second["pageInfo"]["hasNextPage"]) == (True, False)


class TestProposals:
    async def test_filters_the_inbox_and_the_workflows_list_alike(self, studio: Studio) -> None:
        ada, bob = await studio.person(), await studio.person()
        workflow = await studio.workflow(ada)
        await studio.join(workflow, ada, bob, "EDITOR")
        other = await studio.workflow(bob)
        hidden = await studio.workflow(await studio.somebody("owner"))
        await studio.refine(await studio.somebody("owner"), hidden)
        made = {
            "pending": await studio.refine(ada, workflow),
            "completed": await studio.completed(bob, workflow, {}),
            "elsewhere": await studio.refine(bob, other),
        }
        of_id = {id_: name for name, id_ in made.items()}
        document = """query ($id: ID!, $filter: ProposalFilter) {
          proposals(filter: $filter) { totalCount nodes { id } }
          workflow(id: $id) { proposals(filter: $filter) { totalCount nodes { id } } } }"""
        for wanted, expected in (
            (None, ["elsewhere", "completed", "pending"]),
            ({}, ["elsewhere", "completed", "pending"]),
            ({"statuses": ["PENDING"]}, ["elsewhere", "pending"]),
            ({"statuses": ["COMPLETED", "FAILED"]}, ["completed"]),
            ({"statuses": []}, []),
            ({"createdByMe": True}, ["elsewhere", "completed"]),
            ({"createdByMe": False}, ["pending"]),
            ({"createdByMe": True, "statuses": ["COMPLETED"]}, ["completed"]),
        ):
            data = await bob(document, id=workflow, filter=wanted)
            inbox, here = data["proposals"], data["workflow"]["proposals"]
            assert [of_id[node["id"]] for node in inbox["nodes"]] == expected
            assert [of_id[node["id"]] for node in here["nodes"]] == [each for each in expected if each != "elsewhere"]
            assert (inbox["totalCount"], here["totalCount"]) == (len(inbox["nodes"]), len(here["nodes"]))

    async def test_proposals_of_one_moment_are_paged_without_a_repeat(self, team: Team, studio: Studio) -> None:
        made = {await studio.refine(team.editor, team.workflow) for _ in range(5)}
        await studio.run(
            "UPDATE proposals SET created_at = '2026-01-01T00:00:00Z' WHERE workflow_id = :w",
            w=key(team.workflow, "Workflow"),
        )
        document = """query ($id: ID!, $after: String) { workflow(id: $id) { proposals(first: 2, after: $after) {
          nodes { id } pageInfo { endCursor hasNextPage } } } }"""
        after, seen = None, []
        for has_next in (True, True, False):
            found = (await team.viewer(document, id=team.workflow, after=after))["workflow"]["proposals"]
            after = found["pageInfo"]["endCursor"]
            seen += [node["id"] for node in found["nodes"]]
            assert found["pageInfo"]["hasNextPage"] == has_next
        assert len(seen) == 5
        assert set(seen) == made


class TestTemplates:
    async def test_shows_all_that_a_form_needs(self, team: Team) -> None:
        document = """{ templates { id slug name description version tags useCases customizationSchema
          definition { entryPoint nodes { key } edges { key } raw } } }"""
        templates = (await team.stranger(document))["templates"]
        assert [template["slug"] for template in templates] == ["single-agent", "multi-agent"]
        for template in templates:
            one = "query ($slug: String!, $id: ID!) { template(slug: $slug) { id } node(id: $id) { id } }"
            data = await team.stranger(one, slug=template["slug"], id=template["id"])
            assert data == {"template": {"id": template["id"]}, "node": {"id": template["id"]}}
            assert template["customizationSchema"]["properties"]
            assert template["definition"]["nodes"]

    @pytest.mark.parametrize("slug", ["", "nothing", "\0", "\ud800", "../single-agent"])
    async def test_there_is_no_other(self, team: Team, slug: str) -> None:
        document = "query ($slug: String!) { template(slug: $slug) { id } }"
        assert await team.viewer(document, slug=slug) == {"template": None}
