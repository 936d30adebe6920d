"""Every connection of the schema: how many rows a page has, what is refused, and that no row shifts a page."""

import base64
from typing import Any

import pytest
from graphql import GraphQLField, GraphQLObjectType, build_schema, get_named_type
from support.api import Api
from support.studio import Studio, counted

from graphql_api.events.records import NewEvent
from graphql_api.schema import sdl

pytestmark = pytest.mark.anyio

PARENTS = {"Workflow": "workflow(id: $id)", "Proposal": "proposal(id: $id)"}
"""How the types that are not the root are come by."""

FIELDS: dict[str, GraphQLField] = {
    f"{type_.name}.{name}": field
    for type_ in build_schema(sdl()).type_map.values()
    if isinstance(type_, GraphQLObjectType)
    for name, field in type_.fields.items()
    if get_named_type(field.type).name.endswith("Connection")
}
BACKWARDS = [name for name, field in FIELDS.items() if "last" in field.args]
COUNTED = [name for name, field in FIELDS.items() if "totalCount" in get_named_type(field.type).fields]

ROWS = 26
"""More than a page has by default."""


def document(name: str, selection: str, arguments: dict[str, Any]) -> str:
    """Write the query of a page."""
    parent, _, field = name.partition(".")
    declared = [f"${argument}: {FIELDS[name].args[argument].type}" for argument in arguments]
    given = [f"{argument}: ${argument}" for argument in arguments]
    page = f"page: {field}{'(' if given else ''}{', '.join(given)}{')' if given else ''} {{ {selection} }}"
    if parent in PARENTS:
        declared, page = [*declared, "$id: ID!"], f"parent: {PARENTS[parent]} {{ {page} }}"
    return f"query {'(' if declared else ''}{', '.join(declared)}{')' if declared else ''} {{ {page} }}"


class Crowd:
    """Somebody who has more than a page of everything.

    Args:
        studio: Where.
        ada: Who.
        ids: Global ids of what has the lists, by type.
    """

    def __init__(self, studio: Studio, ada: Api, ids: dict[str, str]) -> None:
        self.studio, self.ada, self.ids = studio, ada, ids

    def variables(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Give the variables of a page's query."""
        parent = name.partition(".")[0]
        return {**arguments, "id": self.ids[parent]} if parent in PARENTS else arguments

    async def read(self, name: str, selection: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
        """Read a page."""
        data = await self.ada(document(name, selection, arguments), **self.variables(name, arguments))
        found: dict[str, Any] = data.get("parent", data)["page"]
        return found

    async def cursors(self, name: str, **arguments: Any) -> list[str]:  # noqa: ANN401 - any JSON
        """Read the cursors of a page."""
        return [edge["cursor"] for edge in (await self.read(name, "edges { cursor }", **arguments))["edges"]]

    async def code(self, name: str, **arguments: Any) -> str:  # noqa: ANN401 - any JSON
        """Give the code that a page is refused with."""
        return await self.ada.code(document(name, "edges { cursor }", arguments), **self.variables(name, arguments))

    async def grow(self, name: str) -> None:
        """Add a row to a list."""
        workflow = self.ids["Workflow"]
        if name == "Query.workflows":
            await self.studio.workflow(self.ada, {})
        elif name.endswith(".proposals"):
            await self.studio.refine(self.ada, workflow)
        elif name == "Workflow.versions":
            await self.studio.edit(self.ada, workflow, {"a.md": "a"})
            await self.studio.publish(self.ada, workflow)
        elif name == "Proposal.events":
            await self.studio.tell(self.ids["Proposal"], NewEvent("ProposalProgressed", {"message": "more"}))
        else:
            await self.ada.do("lockWorkflow", workflowId=workflow)


@pytest.fixture(scope="module")
async def crowd(studio: Studio) -> Crowd:
    ada = await studio.person()
    workflow = await studio.workflow(ada, {"a.md": ""})
    proposal = await studio.refine(ada, workflow)
    await studio.start(proposal)
    await studio.publish(ada, workflow)
    crowd = Crowd(studio, ada, {"Workflow": workflow, "Proposal": proposal})
    for name in ("Query.workflows", "Query.proposals", "Workflow.versions", "Proposal.events"):
        for _ in range(ROWS):
            await crowd.grow(name)
    return crowd


class TestEveryConnection:
    @pytest.mark.parametrize("name", FIELDS)
    async def test_a_page_has_25_rows_unless_a_number_is_asked_for(self, crowd: Crowd, name: str) -> None:
        assert len(await crowd.cursors(name)) == 25
        assert len(await crowd.cursors(name, first=2)) == 2
        assert ROWS <= len(await crowd.cursors(name, first=100)) <= 100
        if name in BACKWARDS:
            assert len(await crowd.cursors(name, last=2)) == 2

    @pytest.mark.parametrize("name", FIELDS)
    async def test_a_number_out_of_range_or_both_directions_are_refused(self, crowd: Crowd, name: str) -> None:
        for argument in ("first", "last") if name in BACKWARDS else ("first",):
            for number in (0, -1, 101):
                assert await crowd.code(name, **{argument: number}) == "VALIDATION_FAILED"
        if name in BACKWARDS:
            assert await crowd.code(name, first=1, last=1) == "VALIDATION_FAILED"

    @pytest.mark.parametrize("name", FIELDS)
    async def test_what_is_no_cursor_is_refused(self, crowd: Crowd, name: str) -> None:
        for argument in ("after", "before") if name in BACKWARDS else ("after",):
            for cursor in ("", "x", "bnVsbA==", base64.b64encode(b"[2147483648]").decode()):
                assert await crowd.code(name, **{argument: cursor}) == "CURSOR_INVALID"

    @pytest.mark.parametrize("name", COUNTED)
    async def test_it_is_counted_only_when_that_is_asked(self, crowd: Crowd, name: str) -> None:
        async with counted(crowd.studio.database) as statements:
            await crowd.read(name, "nodes { id } edges { cursor } pageInfo { hasNextPage }")
        assert not [statement for statement in statements if "count(" in statement]
        async with counted(crowd.studio.database) as statements:
            found = await crowd.read(name, "totalCount")
        assert len([statement for statement in statements if "count(" in statement]) == 1
        assert found["totalCount"] == len(await crowd.cursors(name, first=100))

    @pytest.mark.parametrize(
        ("name", "backwards"), [*((name, False) for name in FIELDS), *((name, True) for name in BACKWARDS)]
    )
    async def test_rows_that_come_between_two_pages_shift_none(
        self, crowd: Crowd, name: str, *, backwards: bool
    ) -> None:
        size, position, end = ("last", "before", 0) if backwards else ("first", "after", -1)
        there = await crowd.cursors(name, first=100)
        seen = page = await crowd.cursors(name, **{size: 10})
        while page and not set(there) <= set(seen):
            await crowd.grow(name)
            page = await crowd.cursors(name, **{size: 10, position: page[end]})
            seen = page + seen if backwards else seen + page
        assert [cursor for cursor in seen if cursor in there] == there
        assert len(set(seen)) == len(seen)

    @pytest.mark.parametrize(
        ("name", "other"), [("Workflow.events", "Proposal.events"), ("Proposal.events", "Workflow.events")]
    )
    async def test_a_cursor_of_another_log_is_refused(self, crowd: Crowd, name: str, other: str) -> None:
        (cursor,) = await crowd.cursors(other, first=1)
        assert await crowd.code(name, after=cursor) == "CURSOR_INVALID"
