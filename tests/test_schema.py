import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    build_schema,
    get_named_type,
    is_abstract_type,
    lexicographic_sort_schema,
    print_schema,
)

from graphql_api.kit.errors import BROKEN, ErrorCode, Unauthenticated
from graphql_api.schema import possible_types, schema, sdl

PUBLISHED = Path(__file__).parents[1] / "schema.graphql"


@pytest.fixture(scope="module")
def described() -> GraphQLSchema:
    return build_schema(sdl())


def undescribed(described: GraphQLSchema) -> Iterator[str]:
    """Name what a client reads without being told what it is."""
    own = {name: type_ for name, type_ in described.type_map.items() if not name.startswith("__")}
    built_in = {"String", "Int", "Float", "Boolean", "ID"}
    for name, type_ in own.items():
        if name not in built_in and not type_.description:
            yield name
        if isinstance(type_, GraphQLEnumType):
            yield from (f"{name}.{key}" for key, value in type_.values.items() if not value.description)
        elif isinstance(type_, GraphQLInputObjectType):
            yield from (f"{name}.{key}" for key, field in type_.fields.items() if not field.description)
        elif isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            for key, field in type_.fields.items():
                if not field.description:
                    yield f"{name}.{key}"
                yield from (f"{name}.{key}({it}:)" for it, argument in field.args.items() if not argument.description)


def misnamed(described: GraphQLSchema) -> Iterator[str]:
    """Name what is not written as clients expect it: Types, fieldsAndArguments, VALUES."""
    for name, type_ in described.type_map.items():
        if name.startswith("__"):
            continue
        if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", name):
            yield name
        if isinstance(type_, GraphQLEnumType):
            yield from (f"{name}.{value}" for value in type_.values if not re.fullmatch(r"[A-Z][A-Z0-9_]*", value))
            continue
        for key, field in getattr(type_, "fields", {}).items():
            names = (key, *getattr(field, "args", {}))
            yield from (f"{name}.{key}.{it}" for it in names if not re.fullmatch(r"[a-z][A-Za-z0-9]*", it))


def mislabelled(described: GraphQLSchema) -> Iterator[str]:
    """Name the types whose ending does not tell what they are for."""
    for name, type_ in described.type_map.items():
        if isinstance(type_, GraphQLInputObjectType) and not name.endswith(("Input", "Filter", "Order")):
            yield name
        if isinstance(type_, GraphQLObjectType) and name.endswith("Connection") != ("pageInfo" in type_.fields):
            yield name
    assert described.mutation_type is not None
    for key, field in described.mutation_type.fields.items():
        payload = str(get_named_type(field.type))
        if payload != f"{key[0].upper()}{key[1:]}Payload":
            yield f"{key}: {payload}"


class TestSdl:
    def test_everything_has_a_description(self, described: GraphQLSchema) -> None:
        assert list(undescribed(described)) == []

    def test_descriptions_are_sentences(self, described: GraphQLSchema) -> None:
        own = {name: type_ for name, type_ in described.type_map.items() if not name.startswith("__")}
        texts = {name: type_.description or "" for name, type_ in own.items()}
        for name, type_ in own.items():
            if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
                texts |= {f"{name}.{key}": field.description or "" for key, field in type_.fields.items()}

        assert [name for name, text in texts.items() if not text.rstrip("`)").endswith((".", "?", ":"))] == []

    def test_no_default_is_null_and_others_are_kept(self) -> None:
        assert "= null" not in sdl()
        assert "deltas: DeltaMode! = COALESCED" in sdl()

    def test_it_is_in_alphabetical_order(self, described: GraphQLSchema) -> None:
        assert sdl() == f"{print_schema(lexicographic_sort_schema(described))}\n"

    def test_it_is_the_same_each_time(self) -> None:
        assert sdl() == sdl()

    def test_scalars_say_what_they_are(self, described: GraphQLSchema) -> None:
        built_in = {"String", "Int", "Float", "Boolean", "ID"}
        own = {
            name: type_.specified_by_url or ""
            for name, type_ in described.type_map.items()
            if isinstance(type_, GraphQLScalarType) and name not in built_in
        }

        assert [name for name, url in own.items() if not url.startswith("https://")] == []

    def test_the_published_file_is_this_schema(self) -> None:
        assert PUBLISHED.read_text(encoding="utf-8") == sdl()

    def test_the_published_possible_types_are_its_own(self, described: GraphQLSchema) -> None:
        published = PUBLISHED.with_name("possible-types.json").read_text(encoding="utf-8")

        assert published == possible_types()
        abstract = {name for name, type_ in described.type_map.items() if is_abstract_type(type_)}
        assert set(json.loads(published)) == abstract
        assert json.loads(published)["Node"] == [
            "AuditEntry",
            "Draft",
            "Proposal",
            "Template",
            "User",
            "Version",
            "Workflow",
        ]

    def test_names_follow_the_conventions_of_graphql(self, described: GraphQLSchema) -> None:
        assert list(misnamed(described)) == []

    def test_the_names_of_types_tell_what_they_are_for(self, described: GraphQLSchema) -> None:
        assert list(mislabelled(described)) == []

    def test_what_is_deprecated_says_what_to_use_instead(self, described: GraphQLSchema) -> None:
        reasons = [
            f"{name}.{key}: {member.deprecation_reason}"
            for name, type_ in described.type_map.items()
            for key, member in {**getattr(type_, "fields", {}), **getattr(type_, "values", {})}.items()
            if member.deprecation_reason is not None
        ]

        assert [reason for reason in reasons if "use " not in reason.lower()] == []

    def test_events_have_no_id(self, described: GraphQLSchema) -> None:
        interface = described.type_map["Event"]
        assert isinstance(interface, GraphQLInterfaceType)

        types = described.get_implementations(interface).objects

        assert len(types) > 20
        assert [type_.name for type_ in types if "id" in type_.fields] == []


@pytest.mark.anyio
class TestExecute:
    async def test_a_query_runs(self) -> None:
        result = await schema.execute("{ __typename }")

        assert (result.data, result.errors) == ({"__typename": "Query"}, None)

    async def test_an_error_without_a_context_has_a_code(self) -> None:
        result = await schema.execute("{ nothing }")

        assert result.errors is not None
        assert [error.extensions for error in result.errors] == [
            {"code": ErrorCode.VALIDATION_FAILED.value, "requestId": None}
        ]

    async def test_what_breaks_is_masked(self) -> None:
        result = await schema.execute("{ templates { slug } }", context_value=object())

        assert result.errors is not None
        assert [error.message for error in result.errors] == [BROKEN]

    async def test_a_refusal_keeps_its_code_and_message(self) -> None:
        class Refusing:
            @property
            def actor(self) -> object:
                raise Unauthenticated("Who is it?")

        result = await schema.execute("{ templates { slug } }", context_value=Refusing())

        assert result.errors is not None
        assert [(error.message, (error.extensions or {})["code"]) for error in result.errors] == [
            ("Who is it?", "UNAUTHENTICATED")
        ]
