"""Ids that were never issued, are of another type, or are somebody else's: on every path that takes one.

The paths are read from the schema, so that one that is added is attacked as well.
"""

import base64
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLList,
    build_schema,
    get_named_type,
    get_nullable_type,
    is_required_input_field,
)
from support.server import Person, Site
from support.sockets import connected

from graphql_api.kit.ids import to_global_id
from graphql_api.schema import sdl

pytestmark = pytest.mark.anyio

SCHEMA = build_schema(sdl())
NIL = UUID(int=0)
EXTRA = {"editDraft": {"delete": ["definition.json"]}}
"""What a mutation wants beside what is required."""

TYPES = ["Workflow", "Draft", "Version", "Proposal", "User", "AuditEntry"]
FORGED = {
    "unknown": None,  # of the type that is asked for
    "empty": "",
    "a word": "workflow",
    "a key alone": str(uuid4()),
    "a path": "../../etc/passwd",
    "SQL": "' OR 1=1; --",
    "a NUL": "\x00",
    "a NUL inside": base64.b64encode(b"Workflow:\x00").decode(),
    "another type": to_global_id("Widget", NIL),
    "no type": base64.b64encode(f":{NIL}".encode()).decode(),
    "no key": base64.b64encode(b"Workflow:").decode(),
    "a number for a key": base64.b64encode(b"Workflow:1").decode(),
    "braces": base64.b64encode(f"Workflow:{{{NIL}}}".encode()).decode(),
    "a line feed": to_global_id("Workflow", NIL) + "\n",
    "bytes that are no text": base64.b64encode(b"Workflow:\xff\xfe").decode(),
    "an emoji": "🔑",
    "huge": "V29ya2Zsb3c6" * 10_000,
    "a number": 10**30,
}


def paths_of(fields: dict[str, GraphQLField]) -> Iterator[tuple[str, str]]:
    """List the fields that take an id, with the argument or the input's field that it goes into."""
    for name, described in sorted(fields.items()):
        for argument, given in described.args.items():
            type_ = get_named_type(given.type)
            if type_.name == "ID":
                yield name, argument
            elif isinstance(type_, GraphQLInputObjectType):
                for inner, each in type_.fields.items():
                    if get_named_type(each.type).name == "ID":
                        yield name, f"{argument}.{inner}"


def value_for(type_: Any) -> Any:  # noqa: ANN401 - any input type, any JSON
    """Make a value that is right in itself."""
    type_ = get_nullable_type(type_)
    if isinstance(type_, GraphQLList):
        return [value_for(type_.of_type)]
    if isinstance(type_, GraphQLInputObjectType):
        return {name: value_for(each.type) for name, each in type_.fields.items() if is_required_input_field(each)}
    if isinstance(type_, GraphQLEnumType):
        return min(type_.values)
    return {"Int": 1, "Boolean": True}.get(type_.name, "ada@example.com")


def root(kind: str) -> dict[str, GraphQLField]:
    types = {"query": SCHEMA.query_type, "mutation": SCHEMA.mutation_type, "subscription": SCHEMA.subscription_type}
    type_ = types[kind]
    assert type_ is not None
    return type_.fields


def operation(kind: str, paths: list[tuple[str, str]], id_of: Callable[[str, str], object]) -> dict[str, Any]:
    """Write an operation that takes an id on each of these paths."""
    declarations, fields, variables = [], [], {}
    for number, (name, path) in enumerate(paths):
        argument, _, inner = path.partition(".")
        described = root(kind)[name]
        given, payload = described.args[argument], get_named_type(described.type)
        id_ = id_of(name, path)
        is_list = isinstance(get_nullable_type(given.type), GraphQLList)
        extra = EXTRA.get(name, {})
        variables[f"v{number}"] = {**value_for(given.type), **extra, inner: id_} if inner else [id_] if is_list else id_
        selection = "nodes { __typename }" if "nodes" in getattr(payload, "fields", {}) else "__typename"
        if kind == "mutation":
            selection = "errors { __typename code message path }"
        declarations.append(f"$v{number}: {given.type}")
        fields.append(f"r{number}: {name}({argument}: $v{number}) {{ {selection} }}")
    return {"query": f"{kind}({' '.join(declarations)}) {{ {' '.join(fields)} }}", "variables": variables}


QUERIES, MUTATIONS, SUBSCRIPTIONS = (list(paths_of(root(kind))) for kind in ("query", "mutation", "subscription"))


def forged(form: str, type_name: str) -> object:
    return to_global_id(type_name, uuid4()) if form == "unknown" else FORGED[form]


def type_for(name: str, path: str) -> str:
    """Tell which type of id a path takes."""
    word = f"{name} {path}".lower()
    return next((type_ for type_ in ("Proposal", "User", "Workflow") if type_.lower() in word), "Workflow")


@pytest.mark.parametrize("form", FORGED)
class TestForged:
    def id_of(self, form: str) -> Callable[[str, str], object]:
        return lambda name, path: forged(form, type_for(name, path))

    async def test_queries_find_nothing(self, target: Site, ada: Person, form: str) -> None:
        answer = await target.ask(**operation("query", QUERIES, self.id_of(form)), token=ada.token)

        assert "errors" not in answer
        assert all(result in (None, [None], {"nodes": []}) for result in answer["data"].values()), answer

    async def test_mutations_do_not_find_it_and_say_where_it_stood(self, target: Site, ada: Person, form: str) -> None:
        answer = await target.ask(**operation("mutation", MUTATIONS, self.id_of(form)), token=ada.token)

        assert "errors" not in answer
        errors = [error for result in answer["data"].values() for error in result["errors"]]
        told = [[error["__typename"], error["path"]] for error in errors]
        assert told == [["NotFoundError", path.split(".")] for _, path in MUTATIONS]

    async def test_subscriptions_do_not_find_it(self, target: Site, ada: Person, form: str) -> None:
        async with connected(target.socket_url, ada.token) as socket:
            for path in SUBSCRIPTIONS:
                (error,) = await socket.run(**operation("subscription", [path], self.id_of(form)))
                assert [each["extensions"]["code"] for each in error["payload"]] == ["NOT_FOUND"]


@pytest.fixture(scope="module")
async def hers(target: Site, ada: Person, workflow: str) -> dict[str, str]:
    """Ids that are all hers."""
    document = """query($id: ID!) {
      workflow(id: $id) { draft { id } auditLog(first: 1) { nodes { id } } } viewer { id } }"""
    data = (await target.ask(document, {"id": workflow}, token=ada.token))["data"]
    return {
        "Workflow": workflow,
        "Draft": data["workflow"]["draft"]["id"],
        "AuditEntry": data["workflow"]["auditLog"]["nodes"][0]["id"],
        "User": data["viewer"]["id"],
    }


class TestOfAnotherType:
    async def test_node_tells_each_by_its_type(self, target: Site, ada: Person, hers: dict[str, str]) -> None:
        document = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename } }"
        answer = await target.ask(document, {"ids": list(hers.values())}, token=ada.token)

        assert [node["__typename"] for node in answer["data"]["nodes"]] == list(hers)

    @pytest.mark.parametrize("wrong", ["Draft", "AuditEntry", "User"])
    async def test_it_is_no_workflow_and_no_proposal(
        self, target: Site, ada: Person, hers: dict[str, str], wrong: str
    ) -> None:
        document = "query($id: ID!) { workflow(id: $id) { id } proposal(id: $id) { id } }"
        answer = await target.ask(document, {"id": hers[wrong]}, token=ada.token)
        changes = await target.ask(**operation("mutation", MUTATIONS, lambda *_: hers[wrong]), token=ada.token)

        assert answer == {"data": {"workflow": None, "proposal": None}}
        assert all(error["code"] == "NOT_FOUND" for each in changes["data"].values() for error in each["errors"])

    async def test_a_key_of_hers_under_another_name_is_nothing(
        self, target: Site, ada: Person, hers: dict[str, str]
    ) -> None:
        key = UUID(base64.b64decode(hers["Workflow"]).decode().partition(":")[2])
        renamed = [to_global_id(type_, key) for type_ in TYPES if type_ != "Workflow"]
        document = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename } }"
        answer = await target.ask(document, {"ids": renamed}, token=ada.token)

        assert answer["data"]["nodes"] == [None] * len(renamed)


class TestOfSomebodyElse:
    async def test_they_read_like_ids_that_were_never_issued(self, target: Site, ada: Person, workflow: str) -> None:
        eve = await target.person()
        never = to_global_id("Workflow", uuid4())
        for kind, paths in (("query", QUERIES), ("mutation", MUTATIONS)):
            answers = [
                await target.ask(**operation(kind, paths, lambda *_, id_=id_: id_), token=eve.token)
                for id_ in (workflow, never)
            ]
            assert answers[0] == answers[1]

        mine = await target.ask("query($id: ID!) { workflow(id: $id) { id } }", {"id": workflow}, token=ada.token)
        assert mine == {"data": {"workflow": {"id": workflow}}}
