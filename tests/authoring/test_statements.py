"""What lists cost: as many statements for thirty rows as for three."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from graphql import GraphQLObjectType, build_schema, get_named_type, get_nullable_type, is_composite_type, is_list_type
from support.api import Api
from support.studio import DEFINITION, Studio, counted

from graphql_api.events.records import NewEvent
from graphql_api.schema import sdl

pytestmark = pytest.mark.anyio

FILE = "path content size"
CHANGE = f"path kind before {{ {FILE} }} after {{ {FILE} }} unifiedDiff"
USER = "id name"
DEFINITION_FIELDS = "entryPoint nodes { key }"
DRAFT = f"""id revision fileCount workflow {{ id owner {{ {USER} }} }} basedOnVersion {{ number fileCount }}
  files {{ {FILE} }} file(path: "definition.json") {{ {FILE} }} changes {{ {CHANGE} }}
  definition {{ {DEFINITION_FIELDS} }} diagnostics {{ code }} createdBy {{ {USER} }}"""
VERSION = f"""id number isProduction fileCount workflow {{ id owner {{ {USER} }} }} files {{ {FILE} }}
  definition {{ {DEFINITION_FIELDS} }} changes {{ {CHANGE} }} publishedBy {{ {USER} }}"""
PROPOSAL = f"""id threadId workflow {{ id owner {{ {USER} }} }} draft {{ id fileCount files {{ {FILE} }} }}
  generatedFiles {{ {FILE} }} changes {{ {CHANGE} }} usage {{ totalTokens }} retryOf {{ id createdBy {{ {USER} }} }}
  mergePreview {{ status digest changes {{ {CHANGE} }} conflicts {{ path base {{ {FILE} }} }} }}
  eventHead decision {{ by {{ {USER} }} }} createdBy {{ {USER} }}
  events {{ nodes {{ __typename sequence proposal {{ id createdBy {{ {USER} }} }}
    ... on FilesChanged {{ changes {{ {CHANGE} }} }} ... on ProposalCompleted {{ generatedFiles {{ {FILE} }} }} }} }}"""
WORKFLOW = f"""id viewerRole eventHead owner {{ {USER} }} members {{ user {{ {USER} }} }} lock {{ holder {{ {USER} }} }}
  draft {{ {DRAFT} }} versions {{ totalCount nodes {{ {VERSION} }} }} version(number: 1) {{ {VERSION} }}
  latestVersion {{ {VERSION} }} productionVersion {{ {VERSION} }} proposals {{ totalCount nodes {{ {PROPOSAL} }} }}
  mine: proposals(first: 1, filter: {{createdByMe: true}}) {{ totalCount nodes {{ id }} }}
  auditLog {{ totalCount nodes {{ id actor {{ {USER} }} }} }}
  events {{ nodes {{ __typename workflow {{ id }} actor {{ {USER} }}
    ... on DraftChanged {{ draft {{ id files {{ path }} }} changes {{ {CHANGE} }} }}
    ... on ProposalStatusChanged {{ proposal {{ id createdBy {{ {USER} }} }} }}
    ... on VersionPublished {{ version {{ id files {{ path }} }} }}
    ... on VersionDeployed {{ version {{ id }} previous {{ id }} }}
    ... on WorkflowMembersChanged {{ member {{ {USER} }} }} }} }}"""

FEW, MANY = 2, 12
_PARAMETERS = re.compile(r"\(?\$\d+(::\w+)?(, ?\(?\$\d+(::\w+)?\)?)*")


async def full(studio: Studio, owner: Api, number: int) -> tuple[str, str]:
    """Make a workflow with a version, a draft, a lock, a proposal and a member; give it and the proposal."""
    workflow = await studio.workflow(owner, {"definition.json": DEFINITION, "a.md": f"{number}\n"})
    await studio.join(workflow, owner, await studio.person(name=f"Guest {number}"), "VIEWER")
    await studio.publish(owner, workflow)
    await owner.do("deployVersion", workflowId=workflow, number=1)
    write = [{"path": "b.md", "content": f"b{number}\n"}, {"path": "a.md", "content": f"A{number}\n"}]
    await owner.do("editDraft", workflowId=workflow, write=write)
    completed = await studio.completed(owner, workflow, {"a.md": None, "b.md": f"c{number}\n", "d.md": f"d{number}\n"})
    await studio.edit(owner, workflow, {"e.md": f"e{number}\n"})
    await owner.do("retryProposal", proposalId=completed)
    await owner.do("lockWorkflow", workflowId=workflow)
    return workflow, completed


async def statements_of(studio: Studio, api: Api, document: str, **variables: object) -> list[str]:
    """Give the statements of an operation that comes again, as those of clients do."""
    await api(document, **variables)
    async with counted(studio.database) as statements:
        await api(document, **variables)
    return sorted(statements)


def check_constant(few: list[str], many: list[str], most: int) -> None:
    """Check that no statement is repeated for each row, and that there are not too many.

    Paths that meet at the same kind of object read it together or one after the other, as their answers come in: that
    is some more or less, whatever the number of rows.
    """
    assert max(len(few), len(many)) <= most
    shapes = Counter(_PARAMETERS.sub("…", statement) for statement in many)
    shapes.subtract(_PARAMETERS.sub("…", statement) for statement in few)
    assert {shape: count for shape, count in shapes.items() if count >= MANY - FEW} == {}


LISTS = {
    "workflows": f"{{ workflows(first: $n) {{ totalCount nodes {{ {WORKFLOW} }} }} }}",
    "proposals": f"{{ proposals(first: $n) {{ totalCount nodes {{ {PROPOSAL} }} }} }}",
}


@pytest.fixture(scope="module")
async def ada(studio: Studio) -> Api:
    """Somebody with `MANY` workflows that have one of everything."""
    ada = await studio.person()
    for number in range(MANY):
        await full(studio, ada, number)
    return ada


EXACTLY = {
    "workflows(first: $n) { nodes { name owner { name } latestVersion { number } draft { fileCount } } }": 3,
    "workflows(first: $n) { totalCount nodes { name members { role user { name } } lock { holder { name } } } }": 3,
    "workflows(first: $n) { nodes { productionVersion { number publishedBy { name } } proposals { totalCount } } }": 3,
    "workflows(first: $n) { nodes { versions { nodes { number notes fileCount } } } }": 3,
    "workflows(first: $n) { nodes { auditLog(first: 5) { nodes { action actor { name } } } } }": 3,
    "workflows(first: $n) { nodes { events(first: 5) { nodes { __typename sequence } } eventHead } }": 2,
    "proposals(first: $n) { nodes { status prompt workflow { name } createdBy { name } usage { totalTokens } } }": 2,
    "proposals(first: $n) { totalCount nodes { draft { revision fileCount } } }": 3,
}
"""Statements of the lists that clients show, most often one for each level of the selection.

A page of one costs what a page of fifty does.
"""


class TestLists:
    @pytest.mark.parametrize(("selection", "exactly"), EXACTLY.items())
    async def test_what_clients_show_costs_so_many_statements_whatever_the_rows(
        self, studio: Studio, ada: Api, selection: str, exactly: int
    ) -> None:
        document = f"query ($n: Int) {{ {selection} }}"
        for rows in (1, FEW, MANY):
            assert len(await statements_of(studio, ada, document, n=rows)) == exactly

    @pytest.mark.parametrize(("name", "most"), [("workflows", 12), ("proposals", 10)])
    async def test_cost_the_same_for_few_and_for_many(self, studio: Studio, ada: Api, name: str, most: int) -> None:
        document = f"query ($n: Int) {LISTS[name]}"
        few = await statements_of(studio, ada, document, n=FEW)
        many = await statements_of(studio, ada, document, n=MANY)
        check_constant(few, many, most)

    async def test_nodes_cost_the_same_for_few_and_for_many(self, studio: Studio, ada: Api) -> None:
        document = """{ workflows { nodes { id draft { id } latestVersion { id } members { user { id } }
          auditLog(first: 1) { nodes { id } } proposals { nodes { id } } } } }"""
        ids = [
            [
                *(found["id"], found["draft"]["id"], found["latestVersion"]["id"], found["auditLog"]["nodes"][0]["id"]),
                *(member["user"]["id"] for member in found["members"]),
                *(proposal["id"] for proposal in found["proposals"]["nodes"]),
            ]
            for found in (await ada(document))["workflows"]["nodes"]
        ]
        nodes = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
        few = await statements_of(studio, ada, nodes, ids=ids[0])
        many = await statements_of(studio, ada, nodes, ids=[id_ for each in ids for id_ in each])
        check_constant(few, many, 2)

    async def test_no_sides_of_a_merge_are_read_where_nothing_waits_for_one(self, studio: Studio) -> None:
        ada = await studio.person()
        pending = await studio.refine(ada, await studio.workflow(ada, {}))
        document = "query ($id: ID!) { proposal(id: $id) { mergePreview { status } } }"
        # The proposal, its workflow, and whether it waits.
        assert len(await statements_of(studio, ada, document, id=pending)) == 3

    async def test_a_page_of_events_costs_the_same_for_few_and_for_many(self, studio: Studio) -> None:
        ada = await studio.person()
        workflow, _ = await full(studio, ada, 0)
        for number in range(MANY):
            await studio.edit(ada, workflow, {f"{number}.md": f"{number}\n"})
        document = f"""query ($id: ID!, $first: Int) {{ workflow(id: $id) {{ events(first: $first) {{ nodes {{
          actor {{ {USER} }} workflow {{ id }} ... on DraftChanged {{ draft {{ id files {{ {FILE} }} }}
          changes {{ {CHANGE} }} }} }} }} }} }}"""
        few = await statements_of(studio, ada, document, id=workflow, first=6)
        many = await statements_of(studio, ada, document, id=workflow, first=100)
        check_constant(few, many, 6)


EVERY_LIST = {
    "Query.workflows": "workflows(first: $n) { totalCount nodes { name owner { name } } }",
    "Query.proposals": "proposals(first: $n) { totalCount nodes { prompt createdBy { name } changes { path } } }",
    "Query.nodes": "nodes(ids: $ids) { id }",
    "Query.templates": "templates { slug definition { entryPoint } }",
    "Workflow.members": "workflow(id: $workflow) { members { role user { name } } }",
    "Workflow.versions": f"""workflow(id: $workflow) {{ versions(first: $n) {{ totalCount nodes {{
      number publishedBy {{ {USER} }} files {{ {FILE} }} }} }} }}""",
    "Workflow.proposals": f"""workflow(id: $workflow) {{ proposals(first: $n) {{ totalCount nodes {{
      prompt createdBy {{ {USER} }} generatedFiles {{ {FILE} }} }} }} }}""",
    "Workflow.events": f"""workflow(id: $workflow) {{ events(first: $n) {{ nodes {{ sequence actor {{ {USER} }}
      ... on DraftChanged {{ draft {{ revision }} }} }} }} }}""",
    "Workflow.auditLog": f"""workflow(id: $workflow) {{ auditLog(first: $n) {{ totalCount nodes {{
      action actor {{ {USER} }} }} }} }}""",
    "Draft.files": f"workflow(id: $workflow) {{ draft {{ files {{ {FILE} }} }} }}",
    "Draft.changes": f"workflow(id: $workflow) {{ draft {{ changes {{ {CHANGE} }} }} }}",
    "Draft.diagnostics": "workflow(id: $workflow) { draft { diagnostics { code } } }",
    "Version.files": f"workflow(id: $workflow) {{ latestVersion {{ files {{ {FILE} }} }} }}",
    "Version.changes": f"workflow(id: $workflow) {{ latestVersion {{ changes {{ {CHANGE} }} }} }}",
    "WorkflowDefinition.nodes": "workflow(id: $workflow) { draft { definition { nodes { key } } } }",
    "WorkflowDefinition.edges": "workflow(id: $workflow) { draft { definition { edges { key } } } }",
    "Proposal.generatedFiles": f"proposal(id: $proposal) {{ generatedFiles {{ {FILE} }} }}",
    "Proposal.changes": f"proposal(id: $proposal) {{ changes {{ {CHANGE} }} }}",
    "Proposal.events": f"""proposal(id: $proposal) {{ events(first: $n) {{ nodes {{
      sequence proposal {{ createdBy {{ {USER} }} }} }} }} }}""",
    "MergePreview.changes": f"proposal(id: $proposal) {{ mergePreview {{ changes {{ {CHANGE} }} }} }}",
    "MergePreview.conflicts": f"""proposal(id: $proposal) {{ mergePreview {{ conflicts {{
      merged base {{ {FILE} }} ours {{ {FILE} }} theirs {{ {FILE} }} }} }} }}""",
    "FilesChanged.changes": f"""proposal(id: $proposal) {{ events {{ nodes {{
      ... on FilesChanged {{ changes {{ {CHANGE} }} }} }} }} }}""",
    "ProposalCompleted.generatedFiles": f"""proposal(id: $proposal) {{ events(first: 100) {{ nodes {{
      ... on ProposalCompleted {{ generatedFiles {{ {FILE} }} }} }} }} }}""",
    "PlanUpdated.items": "proposal(id: $proposal) { events { nodes { ... on PlanUpdated { items { content } } } } }",
    "DraftChanged.changes": f"""workflow(id: $workflow) {{ events(first: 1, after: $edited) {{ nodes {{
      ... on DraftChanged {{ changes {{ {CHANGE} }} }} }} }} }}""",
}
"""A way to each list of objects in the schema, with what its rows lead to."""

MOST = 8
"""Statements of any of them."""

TYPES = {"n": "Int", "ids": "[ID!]!", "workflow": "ID!", "proposal": "ID!", "edited": "EventCursor"}


def definition(rows: int) -> str:
    """Write a definition with so many agents beside the first, each of which cannot be reached or has an edge."""
    raw = json.loads(DEFINITION)
    raw["nodes"] += [{"key": f"n{row}", "type": "specialist"} for row in range(2 * rows)]
    raw["edges"] += [
        {"key": f"x{row}", "source": "lead", "target": f"n{row}", "type": "delegation"} for row in range(rows)
    ]
    return json.dumps(raw)


async def sized(studio: Studio, rows: int) -> tuple[Api, dict[str, Any]]:
    """Make somebody who has so many of everything; give them, and what leads to it."""
    ada = await studio.person()
    files = {f"{row}.md": f"{row}\n" for row in range(rows)}
    ids = [await studio.workflow(ada, {**files, "definition.json": definition(rows)}) for _ in range(rows)]
    workflow = ids[0]
    for row in range(rows):
        await studio.join(workflow, ada, await studio.person(name=f"Guest {row}"), "VIEWER")
        await studio.publish(ada, workflow)
        write = [{"path": path, "content": f"{content}version {row + 2}\n"} for path, content in files.items()]
        await ada.do("editDraft", workflowId=workflow, write=write)
    await studio.publish(ada, workflow)
    await ada.do("editDraft", workflowId=workflow, status="IN_PROGRESS")
    proposals = [
        await studio.completed(ada, workflow, {f"new {row}.md": "new\n" for row in range(rows)})
        for _ in range(rows - 1)
    ]
    proposal = await studio.refine(ada, workflow)
    await studio.start(proposal)
    await studio.tell(proposal, NewEvent("PlanUpdated", {"items": [{"content": "x", "status": "PENDING"}] * rows}))
    theirs: dict[str, str | None] = {path: f"theirs {content}" for path, content in files.items()}
    for row in range(rows):
        await studio.change(proposal, {**theirs, f"new {row}.md": "new\n"})
    await studio.end(proposal)
    head = (await ada("query ($id: ID!) { workflow(id: $id) { eventHead } }", id=workflow))["workflow"]["eventHead"]
    await studio.edit(ada, workflow, {path: f"ours {content}" for path, content in files.items()})
    return ada, {
        "n": rows,
        "ids": [*ids, *proposals, proposal],
        "workflow": workflow,
        "proposal": proposal,
        "edited": head,
    }


def lists() -> Iterator[str]:
    """Name the fields of the schema that give several objects, but for the parts of a page and of a refusal."""
    for name, type_ in build_schema(sdl()).type_map.items():
        is_part = name.startswith("__") or name.endswith(("Connection", "Payload", "Error"))
        if isinstance(type_, GraphQLObjectType) and not is_part:
            for field_name, field in type_.fields.items():
                named = get_named_type(field.type)
                is_list = is_list_type(get_nullable_type(field.type)) and is_composite_type(named)
                if is_list or named.name.endswith("Connection"):
                    yield f"{name}.{field_name}"


class TestEveryList:
    @pytest.fixture(scope="class")
    async def few(self, studio: Studio) -> tuple[Api, dict[str, Any]]:
        return await sized(studio, FEW)

    @pytest.fixture(scope="class")
    async def many(self, studio: Studio) -> tuple[Api, dict[str, Any]]:
        return await sized(studio, MANY)

    def test_has_a_way_here(self) -> None:
        assert set(lists()) == set(EVERY_LIST)

    @pytest.mark.parametrize("name", EVERY_LIST)
    async def test_costs_the_same_whatever_its_rows(
        self, studio: Studio, few: tuple[Api, dict[str, Any]], many: tuple[Api, dict[str, Any]], name: str
    ) -> None:
        selection = EVERY_LIST[name]
        used = [variable for variable in TYPES if f"${variable}" in selection]
        declared = ", ".join(f"${variable}: {TYPES[variable]}" for variable in used)
        document = f"query ({declared}) {{ {selection} }}" if used else f"{{ {selection} }}"
        counts, answers = [], []
        for api, variables in (few, few, many):  # the first time it is executed by graphql-core
            given = {variable: variables[variable] for variable in used}
            async with counted(studio.database) as statements:
                answers.append(json.dumps(await api(document, **given)))
            counts.append(len(statements))
        assert counts[1] == counts[2] <= counts[0] <= MOST
        assert answers[0] == answers[1]
        assert not used or len(answers[1]) < len(answers[2])


class TestMutations:
    @pytest.mark.parametrize("files", [1, 30])
    async def test_an_edit_costs_the_same_for_one_file_and_for_many(self, studio: Studio, files: int) -> None:
        ada = await studio.person()
        workflow = await studio.workflow(ada, {"kept.md": "kept\n"})
        write = [{"path": f"{number}.md", "content": f"{workflow} {number}\n"} for number in range(files)]
        async with counted(studio.database) as statements:
            await ada.do("editDraft", "draft { id }", workflowId=workflow, expectedRevision=1, write=write)
        assert len(statements) == 6, statements
