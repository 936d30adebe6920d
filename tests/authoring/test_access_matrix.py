"""Who may do what: every root field, every type of node and every mutation, for everybody."""

import re
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from graphql import GraphQLObjectType, build_schema
from support.api import RESULTS, Api, key, mutation_document
from support.documents import DEEP
from support.reading import audited
from support.scenes import INPUTS, Scene, make_scene
from support.studio import Studio, Team

from graphql_api.events.cursors import encode_cursor
from graphql_api.kit.ids import to_global_id
from graphql_api.schema import schema, sdl

pytestmark = pytest.mark.anyio

PEOPLE = ("anonymous", "stranger", "viewer", "editor", "owner", "admin")

SIGNED_OUT = "UNAUTHENTICATED"
HIDDEN = "NOT_FOUND"
REFUSED = "FORBIDDEN"
ALLOWED = "ALLOWED"

Cells = dict[str, str]


def cells(*outcomes: str) -> Cells:
    return dict(zip(PEOPLE, outcomes, strict=True))


EVERYBODY = cells(ALLOWED, ALLOWED, ALLOWED, ALLOWED, ALLOWED, ALLOWED)
SIGNED_IN = cells(SIGNED_OUT, ALLOWED, ALLOWED, ALLOWED, ALLOWED, ALLOWED)
MEMBERS = cells(SIGNED_OUT, HIDDEN, ALLOWED, ALLOWED, ALLOWED, ALLOWED)
EDITORS = cells(SIGNED_OUT, HIDDEN, REFUSED, ALLOWED, ALLOWED, ALLOWED)
OWNERS = cells(SIGNED_OUT, HIDDEN, REFUSED, REFUSED, ALLOWED, ALLOWED)


@pytest.fixture(scope="module")
async def scene(studio: Studio) -> Scene:
    """For tests that change nothing: they share one."""
    return await make_scene(studio)


MUTATIONS: dict[str, Cells] = {
    "createWorkflow": SIGNED_IN,
    "updateWorkflow": EDITORS,
    "deleteWorkflow": OWNERS,
    "setWorkflowMember": OWNERS,
    "lockWorkflow": EDITORS,
    "unlockWorkflow": EDITORS,
    "editDraft": EDITORS,
    "discardDraft": EDITORS,
    "publishDraft": EDITORS,
    "deployVersion": OWNERS,
    "deprecateVersion": OWNERS,
    "refineWorkflow": EDITORS,
    "cancelProposal": EDITORS,
    "retryProposal": EDITORS,
    "approveProposal": EDITORS,
    "rejectProposal": EDITORS,
}
"""What each mutation needs."""

SIGNING_IN = {"login", "refreshSession", "logout"}
"""For everybody: tests/identity has their rules."""

NODES = {
    "Workflow": MEMBERS,
    "Draft": MEMBERS,
    "Version": MEMBERS,
    "Proposal": MEMBERS,
    "AuditEntry": MEMBERS,
    "User": MEMBERS,
    "Template": SIGNED_IN,
}

Arguments = Callable[[Scene], dict[str, Any]]


@dataclass(frozen=True)
class Read:
    """A query, and what of its data is there for those who may see it."""

    cells: Cells
    document: str
    arguments: Arguments
    found: Callable[[dict[str, Any], Scene], object]


QUERIES: dict[str, Read] = {
    "viewer": Read(SIGNED_IN, "{ viewer { id } }", lambda _: {}, lambda data, _: data["viewer"]["id"]),
    "node": Read(
        MEMBERS,
        "query ($id: ID!) { node(id: $id) { id } }",
        lambda scene: {"id": scene.workflow},
        lambda data, _: data["node"],
    ),
    "nodes": Read(
        MEMBERS,
        "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }",
        lambda scene: {"ids": list(scene.ids.values())},
        lambda data, _: all(data["nodes"]) if any(data["nodes"]) else None,
    ),
    "workflow": Read(
        MEMBERS,
        "query ($id: ID!) { workflow(id: $id) { id } }",
        lambda scene: {"id": scene.workflow},
        lambda data, _: data["workflow"],
    ),
    "workflows": Read(
        MEMBERS,
        "{ workflows(first: 100) { nodes { id } } }",
        lambda _: {},
        lambda data, scene: {"id": scene.workflow} in data["workflows"]["nodes"] or None,
    ),
    "proposal": Read(
        MEMBERS,
        "query ($id: ID!) { proposal(id: $id) { id } }",
        lambda scene: {"id": scene.completed},
        lambda data, _: data["proposal"],
    ),
    "proposals": Read(
        MEMBERS,
        "{ proposals(first: 100) { nodes { id } } }",
        lambda _: {},
        lambda data, scene: {"id": scene.completed} in data["proposals"]["nodes"] or None,
    ),
    "templates": Read(SIGNED_IN, "{ templates { slug } }", lambda _: {}, lambda data, _: data["templates"]),
    "template": Read(
        SIGNED_IN, '{ template(slug: "single-agent") { slug } }', lambda _: {}, lambda data, _: data["template"]
    ),
    "runtime": Read(SIGNED_IN, "{ runtime { name } }", lambda _: {}, lambda data, _: data["runtime"]),
}

SUBSCRIPTIONS: dict[str, tuple[Cells, str, Arguments]] = {
    "proposalEvents": (
        MEMBERS,
        "subscription ($id: ID!) { proposalEvents(proposalId: $id) { __typename sequence } }",
        lambda scene: {"id": scene.completed},
    ),
    "workflowEvents": (
        MEMBERS,
        "subscription ($id: ID!) { workflowEvents(workflowId: $id) { __typename sequence } }",
        lambda scene: {"id": scene.workflow},
    ),
}


def introspected() -> dict[str, GraphQLObjectType]:
    types = build_schema(sdl()).type_map.values()
    return {type_.name: type_ for type_ in types if isinstance(type_, GraphQLObjectType)}


class TestTable:
    def test_every_root_field_has_a_row(self) -> None:
        types = introspected()
        assert set(types["Query"].fields) == set(QUERIES)
        assert set(types["Mutation"].fields) == set(MUTATIONS) | SIGNING_IN
        assert set(types["Subscription"].fields) == set(SUBSCRIPTIONS)
        assert set(RESULTS) == set(INPUTS) == set(MUTATIONS)

    def test_every_type_of_node_has_a_row(self) -> None:
        nodes = {name for name, type_ in introspected().items() if "Node" in [each.name for each in type_.interfaces]}
        assert nodes == set(NODES)

    def test_the_deep_query_takes_every_path_between_objects(self) -> None:
        """Fails for a new field that leads to an object, until somebody has put it into `DEEP`."""
        objects = {"Workflow", "Draft", "Version", "Proposal", "AuditEntry", "User"}
        missing = []
        for name, type_ in introspected().items():
            if name in {"Query", "Mutation", "Subscription", "Session"} or name.endswith(("Payload", "Edge")):
                continue
            missing += [
                f"{name}.{field_name}"
                for field_name, field in type_.fields.items()
                if str(field.type).strip("[]!") in objects
                and not re.search(rf" {field_name}(\(.*?\))? {{", " ".join(DEEP.values()))
            ]
        assert missing == []


class TestQueries:
    @pytest.mark.parametrize("name", QUERIES)
    async def test_shows_to_each_what_they_may_see(self, name: str, studio: Studio, scene: Scene) -> None:
        read = QUERIES[name]
        if name in {"workflows", "proposals"}:
            scene = await make_scene(studio)  # among the newest, which are on the first page
        for who, outcome in read.cells.items():
            api, arguments = scene.team.api(who), read.arguments(scene)
            if outcome == SIGNED_OUT:
                assert await api.code(read.document, **arguments) == SIGNED_OUT, who
            else:
                found = read.found(await api(read.document, **arguments), scene)
                assert (found is None) == (outcome == HIDDEN), who

    @pytest.mark.parametrize("type_name", NODES)
    async def test_shows_each_type_of_node_to_those_who_may_see_it(self, type_name: str, scene: Scene) -> None:
        template = (await scene.team.viewer("{ templates { id } }"))["templates"][0]["id"]
        id_ = {**scene.ids, "Template": template}[type_name]
        document = "query ($id: ID!) { node(id: $id) { __typename id } }"
        for who, outcome in NODES[type_name].items():
            api = scene.team.api(who)
            if outcome == SIGNED_OUT:
                assert await api.code(document, id=id_) == SIGNED_OUT
            else:
                expected = {"__typename": type_name, "id": id_} if outcome == ALLOWED else None
                assert (await api(document, id=id_))["node"] == expected, who

    @pytest.mark.parametrize("type_name", [name for name in NODES if name != "Template"])
    async def test_every_path_from_what_is_seen_can_be_read(self, type_name: str, scene: Scene) -> None:
        for who in ("viewer", "admin"):
            assert (await scene.team.api(who)(DEEP[type_name], id=scene.ids[type_name]))["node"]["id"] == scene.ids[
                type_name
            ]
        assert (await scene.team.stranger(DEEP[type_name], id=scene.ids[type_name]))["node"] is None

    async def test_tells_each_their_role(self, scene: Scene) -> None:
        document = "query ($id: ID!) { workflow(id: $id) { viewerRole } }"
        roles = {
            who: (await scene.team.api(who)(document, id=scene.workflow))["workflow"]["viewerRole"]
            for who in ("viewer", "editor", "owner", "admin")
        }
        assert roles == {"viewer": "VIEWER", "editor": "EDITOR", "owner": "OWNER", "admin": "OWNER"}

    @pytest.mark.parametrize(
        "id_",
        [
            "",
            "x",
            "💥",
            "V29ya2Zsb3c6",
            "a" * 10_000,
            to_global_id("Workflow", UUID(int=1)),
            to_global_id("Nothing", UUID(int=1)),
            to_global_id("Edge", UUID(int=1)),
            "V29ya2Zsb3c6bm8=",
        ],
    )
    async def test_an_id_that_was_never_issued_is_nothing(self, id_: str, team: Team) -> None:
        document = """query ($id: ID!) {
          node(id: $id) { id } nodes(ids: [$id]) { id } workflow(id: $id) { id } proposal(id: $id) { id }
        }"""
        nothing = {"node": None, "nodes": [None], "workflow": None, "proposal": None}
        assert await team.owner(document, id=id_) == nothing

    async def test_an_id_of_another_type_is_nothing(self, scene: Scene) -> None:
        document = "query ($w: ID!, $p: ID!) { workflow(id: $p) { id } proposal(id: $w) { id } }"
        data = await scene.team.owner(document, w=scene.workflow, p=scene.completed)
        assert data == {"workflow": None, "proposal": None}

    async def test_nodes_keep_their_order_and_their_gaps(self, scene: Scene) -> None:
        ids = [scene.completed, "nothing", scene.workflow, scene.completed]
        data = await scene.team.viewer("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=ids)
        assert data["nodes"] == [{"id": ids[0]}, None, {"id": ids[2]}, {"id": ids[3]}]

    async def test_nodes_are_at_most_a_hundred(self, scene: Scene) -> None:
        document = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
        assert len((await scene.team.viewer(document, ids=[scene.workflow] * 100))["nodes"]) == 100
        assert await scene.team.viewer.code(document, ids=[scene.workflow] * 101) == "VALIDATION_FAILED"

    async def test_a_deleted_workflow_is_gone_on_every_path(self, studio: Studio) -> None:
        scene = await make_scene(studio)
        team = scene.team
        await team.owner.do("deleteWorkflow", workflowId=scene.workflow)
        for who in ("viewer", "owner", "admin"):
            for name, id_ in scene.ids.items():
                if name != "User":
                    assert (await team.api(who)(DEEP[name], id=id_))["node"] is None
            for name in ("workflow", "workflows", "proposal", "proposals"):
                read = QUERIES[name]
                assert read.found(await team.api(who)(read.document, **read.arguments(scene)), scene) is None

    async def test_a_user_is_seen_by_those_who_share_a_workflow_with_them(self, studio: Studio) -> None:
        ada, bob = await studio.person(), await studio.person()
        workflow = await studio.workflow(ada)
        document = "query ($id: ID!) { node(id: $id) { id } }"
        assert (await bob(document, id=bob.user_id))["node"] == {"id": bob.user_id}
        assert (await ada(document, id=bob.user_id))["node"] is None
        await studio.join(workflow, ada, bob, "VIEWER")
        assert (await ada(document, id=bob.user_id))["node"] == {"id": bob.user_id}
        await ada.do("deleteWorkflow", workflowId=workflow)
        assert (await ada(document, id=bob.user_id))["node"] is None


class TestMutations:
    @pytest.mark.parametrize("name", MUTATIONS)
    async def test_refuses_without_a_change(self, name: str, scene: Scene, studio: Studio) -> None:
        outcomes, given, team = MUTATIONS[name], INPUTS[name](scene), scene.team
        before, recorded = await studio.fingerprint(scene.workflow), await studio.actions(scene.workflow)
        for who, outcome in outcomes.items():
            if outcome == SIGNED_OUT:
                assert await team.api(who).code(mutation_document(name), input=given) == SIGNED_OUT
            elif outcome != ALLOWED:
                error = await team.api(who).refused(name, **given)
                assert error["code"] == outcome
                assert error["path"] == ["input", "proposalId" if "proposalId" in given else "workflowId"]
                if outcome == REFUSED:
                    assert error["requiredRole"] == ("OWNER" if outcomes is OWNERS else "EDITOR")
            assert await studio.fingerprint(scene.workflow) == before, who
        refusals = sum(outcome == REFUSED for outcome in outcomes.values())
        assert await studio.actions(scene.workflow) == [*recorded, *["access.refuse"] * refusals]

    @pytest.mark.parametrize("name", MUTATIONS)
    @pytest.mark.parametrize("who", ["editor", "owner", "admin"])
    async def test_lets_those_do_it_who_may(self, name: str, who: str, studio: Studio) -> None:
        if MUTATIONS[name][who] == ALLOWED:
            scene = await make_scene(studio)
            payload = await scene.team.api(who).do(name, **INPUTS[name](scene))
            assert None not in payload.values()

    @pytest.mark.parametrize("name", MUTATIONS)
    async def test_what_is_not_seen_reads_like_what_was_never_there(self, name: str, scene: Scene) -> None:
        if MUTATIONS[name]["stranger"] != HIDDEN:
            return
        given = INPUTS[name](scene)
        argument = "proposalId" if "proposalId" in given else "workflowId"
        wrong = [
            "",
            "x",
            "V29ya2Zsb3c6",
            scene.ids["Draft"],
            scene.workflow if argument == "proposalId" else scene.pending,
        ]
        wrong += [to_global_id("Proposal" if argument == "proposalId" else "Workflow", uuid4()), "a" * 10_000]
        hidden = await scene.team.stranger.send(name, **given)
        for id_ in wrong:
            assert await scene.team.owner.send(name, **{**given, argument: id_}) == hidden

    async def test_nobody_is_told_what_is_wrong_with_their_input_before_they_sign_in(self, team: Team) -> None:
        given = {"workflowId": team.workflow, "ttl": -1}
        assert await team.anonymous.code(mutation_document("lockWorkflow"), input=given) == SIGNED_OUT

    @pytest.mark.parametrize("who", ["stranger", "viewer"])
    async def test_a_lock_is_not_told_to_those_who_could_not_edit_anyway(self, who: str, team: Team) -> None:
        await team.owner.do("lockWorkflow", workflowId=team.workflow)
        error = await team.api(who).refused("updateWorkflow", workflowId=team.workflow, name="x")
        assert error["__typename"] == ("NotFoundError" if who == "stranger" else "ForbiddenError")

    async def test_a_refused_access_is_on_record(self, team: Team) -> None:
        await team.viewer.refused("publishDraft", workflowId=team.workflow)
        assert await audited(team.owner, team.workflow) == {
            "action": "access.refuse",
            "subject": team.workflow,
            "details": {"operation": "publishDraft", "requiredRole": "EDITOR"},
            "actor": {"id": team.viewer.user_id},
        }

    @pytest.mark.parametrize("who", ["viewer", "editor"])
    async def test_the_record_names_the_request(self, who: str, team: Team) -> None:
        context, given = team.api(who).context(), {"workflowId": team.workflow, "name": "Renamed"}
        document = mutation_document("updateWorkflow")
        await schema.execute(document, variable_values={"input": given}, context_value=context)
        document = "query ($id: ID!) { workflow(id: $id) { auditLog(first: 1) { nodes { action requestId } } } }"
        assert (await team.owner(document, id=team.workflow))["workflow"]["auditLog"]["nodes"] == [
            {
                "action": "access.refuse" if who == "viewer" else "workflow.update",
                "requestId": context.request_id,
            }
        ]


class TestSubscriptions:
    @pytest.mark.parametrize("name", SUBSCRIPTIONS)
    async def test_shows_events_to_those_who_may_see_them(self, name: str, scene: Scene) -> None:
        outcomes, document, arguments = SUBSCRIPTIONS[name]
        for who, outcome in outcomes.items():
            first = await first_result(scene.team.api(who), document, arguments(scene))
            if outcome == ALLOWED:
                assert first == {"__typename": "ProposalQueued" if name == "proposalEvents" else "WorkflowCreated"} | {
                    "sequence": 1
                }
            else:
                assert first == outcome, who

    @pytest.mark.parametrize("name", SUBSCRIPTIONS)
    async def test_what_is_not_seen_reads_like_what_was_never_there(self, name: str, scene: Scene) -> None:
        _, document, arguments = SUBSCRIPTIONS[name]
        hidden = await refusal(scene.team.stranger, document, arguments(scene))
        assert hidden["code"] == HIDDEN
        wrong = ["", "x", "V29ya2Zsb3c6", "a" * 10_000, scene.ids["Draft"]]
        wrong += [to_global_id(type_name, uuid4()) for type_name in ("Workflow", "Proposal")]
        for id_ in wrong:
            assert await refusal(scene.team.owner, document, {"id": id_}) == hidden

    @pytest.mark.parametrize("name", SUBSCRIPTIONS)
    async def test_what_is_no_cursor_of_the_log_is_refused(self, name: str, scene: Scene) -> None:
        argument = "proposalId" if name == "proposalEvents" else "workflowId"
        document = f"""subscription ($id: ID!, $after: EventCursor) {{
          {name}({argument}: $id, after: $after) {{ sequence }} }}"""
        own, other = key(scene.completed, "Proposal"), key(scene.workflow, "Workflow")
        if name == "workflowEvents":
            own, other = other, own
        given = SUBSCRIPTIONS[name][2](scene)
        for after in ("", "x", encode_cursor(other, 1), encode_cursor(own, 10_000)):
            assert await first_result(scene.team.viewer, document, {**given, "after": after}) == "CURSOR_INVALID"


async def refusal(api: Api, document: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Subscribe to what is refused; give all that is told but for the request's id."""
    results = await schema.subscribe(document, variable_values=arguments, context_value=api.context())
    async with aclosing(results) as events:
        (error,) = (await anext(events)).errors or ()
    told = {"message": error.message, "path": error.path, **(error.extensions or {})}
    assert told.pop("requestId")
    return told


async def first_result(api: Api, document: str, arguments: dict[str, Any]) -> Any:  # noqa: ANN401 - a code or data
    """Subscribe; give the first event, or the code of the error."""
    results = await schema.subscribe(document, variable_values=arguments, context_value=api.context())
    async with aclosing(results) as events:
        result = await anext(events)
    if result.errors:
        return (result.errors[0].extensions or {})["code"]
    assert result.data is not None
    return next(iter(result.data.values()))
