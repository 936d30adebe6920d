"""Documents that are small to send and large to run: each is refused with the figure, in bounded time."""

import time
from typing import Any

import pytest
from support.server import Person, Site
from support.sockets import connected

pytestmark = pytest.mark.anyio

BOUNDED_SECONDS = 5.0
"""Far more than any refusal takes, and far less than what these documents would take."""


def chained_fragments(length: int, spreads: int) -> str:
    """Double the work with each fragment."""
    parts = [f"fragment F{number} on Workflow {{ {f'...F{number + 1} ' * spreads}}}" for number in range(length)]
    return f"{{ workflows {{ nodes {{ ...F0 }} }} }} {' '.join(parts)} fragment F{length} on Workflow {{ id }}"


def nested(depth: int) -> str:
    inner = "{ proposals(first: 1) { nodes { workflow " * depth + "{ id }" + " } } }" * depth
    return f"{{ workflows(first: 1) {{ nodes {inner} }} }}"


EXPENSIVE = "proposals(first: 100) { nodes { mergePreview { digest } changes { path } } }"
TOO_MUCH = {
    "depth": nested(12),
    "aliases": "{" + " ".join(f"a{number}: viewer {{ id }}" for number in range(200)) + "}",
    "aliases of the typename": "{" + " ".join(f"a{number}: __typename" for number in range(400)) + "}",
    "directives": "{ __typename" + " @include(if: true)" * 200 + "}",
    "directives all over": "{" + " ".join(f"a{number}: __typename @skip(if: false)" for number in range(100)) + "}",
    "fields": "{ viewer {" + " id" * 2500 + " } }",
    "fragments that double": chained_fragments(30, 2),
    "fragments that triple": chained_fragments(50, 3),
    "lists in lists": """{ workflows(first: 100) { nodes { proposals(first: 100) { nodes {
        changes { path } workflow { proposals(first: 100) { nodes { id } } } } } } } }""",
    "expensive fields": "{" + " ".join(f"a{number}: {EXPENSIVE}" for number in range(10)) + "}",
    "tokens": "{ __typename" + " ,," * 10 + " __typename" * 5000 + " }",
    "fields to merge": "{ viewer {" + " ".join("...{ id name email ... { id name } }" for _ in range(400)) + "} }",
}
BROKEN = {
    "a fragment in itself": "{ viewer { ...F } } fragment F on User { ...F }",
    "fragments in a circle": "{ viewer { ...A } } fragment A on User { id ...B } fragment B on User { name ...A }",
    "a fragment that is not there": "{ viewer { ...Nothing } }",
    "fragments that nobody uses": "{ __typename }" + " ".join(f" fragment F{n} on User {{ id }}" for n in range(100)),
    "an open brace": "{" * 2000,
    "an open list": "{ node(id: " + "[" * 3000,
    "a string without an end": '{ node(id: "' + "x" * 10_000,
    "a block string of quotes": '{ node(id: """' + '\\"""' * 2000,
    "a number without an end": "{ workflows(first: " + "9" * 20_000 + ") { nodes { id } } }",
    "comments": "#\n" * 20_000 + "{ __typename }",
    "variables that are not declared": "{ " + " ".join(f"a{n}: node(id: $v{n}) {{ id }}" for n in range(30)) + " }",
    "variables that refer to nothing": "query(" + " ".join(f"$v{n}: Nothing" for n in range(200)) + ") { __typename }",
    "a byte order mark in the middle": "{ \ufeff\u0000 }",
    "control characters": "{ \x07 }",
    "emojis for names": "{ 🔑 }",
}


async def answered(target: Site, token: str | None, document: str) -> dict[str, Any]:
    began = time.monotonic()
    answer = await target.ask(document, token=token)
    assert time.monotonic() - began < BOUNDED_SECONDS
    return answer


def codes(answer: dict[str, Any]) -> set[str]:
    return {error["extensions"]["code"] for error in answer["errors"]}


class TestTooMuch:
    @pytest.mark.parametrize("name", TOO_MUCH)
    async def test_it_is_refused_with_the_figure(self, target: Site, ada: Person, name: str) -> None:
        answer = await answered(target, ada.token, TOO_MUCH[name])

        assert codes(answer) <= {"QUERY_TOO_COMPLEX", "VALIDATION_FAILED"}
        assert "QUERY_TOO_COMPLEX" in codes(answer), answer
        assert any(character.isdigit() for character in answer["errors"][0]["message"])
        assert not answer.get("data")

    @pytest.mark.parametrize("name", TOO_MUCH)
    async def test_it_is_for_somebody_who_did_not_sign_in(self, target: Site, name: str) -> None:
        answer = await answered(target, None, TOO_MUCH[name])

        assert codes(answer) == {"QUERY_TOO_COMPLEX"}

    async def test_over_a_socket_it_ends_the_operation_and_not_the_connection(self, target: Site, ada: Person) -> None:
        async with connected(target.socket_url, ada.token) as socket:
            for document in TOO_MUCH.values():
                (error,) = await socket.run(document)
                assert error["type"] == "error"
                assert {each["extensions"]["code"] for each in error["payload"]} == {"QUERY_TOO_COMPLEX"}
            assert await socket.is_alive()


class TestBroken:
    @pytest.mark.parametrize("name", BROKEN)
    @pytest.mark.parametrize("is_signed_in", [True, False])
    async def test_it_is_the_callers_fault(self, target: Site, ada: Person, name: str, *, is_signed_in: bool) -> None:
        answer = await answered(target, ada.token if is_signed_in else None, BROKEN[name])

        assert codes(answer) <= {"VALIDATION_FAILED", "QUERY_TOO_COMPLEX"}
        assert not answer.get("data")

    async def test_over_a_socket_it_ends_the_operation_and_not_the_connection(self, target: Site, ada: Person) -> None:
        async with connected(target.socket_url, ada.token) as socket:
            for document in BROKEN.values():
                (error,) = await socket.run(document)
                assert error["type"] == "error"
            assert await socket.is_alive()


class TestLegitimateNeighbours:
    @pytest.mark.parametrize(
        "document",
        [
            "{ workflows(first: 25) { totalCount nodes { id name members { role user { name } } } } }",
            "{ " + " ".join(f"a{number}: viewer {{ id }}" for number in range(20)) + " }",
            "{ viewer { ...F } } fragment F on User { ...G } fragment G on User { id name }",
            "{ __schema { types { name fields { name args { name type { name ofType { name } } } } } } }",
        ],
        ids=["a page", "aliases", "fragments", "introspection"],
    )
    async def test_what_applications_ask_is_answered(self, target: Site, ada: Person, document: str) -> None:
        answer = await answered(target, ada.token, document)

        assert "errors" not in answer
        assert answer["data"]
