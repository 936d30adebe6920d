"""Texts, numbers, moments and JSON that break what stores or compares them."""

import json
from typing import Any

import pytest
from support.server import Person, Site

pytestmark = pytest.mark.anyio

AS_JSON = {"content-type": "application/json"}
NO_INTEGERS = ["2147483648", "-2147483649", "9" * 400, "1e400", "1.5", "true", '"1"', "[1, 2]"]
EDIT = """mutation($input: EditDraftInput!) { editDraft(input: $input) {
  draft { files { path content } } errors { __typename message path } } }"""
CREATE = """mutation($input: CreateWorkflowInput!) { createWorkflow(input: $input) {
  workflow { name description } errors { __typename message path } } }"""
REVISION = "query($id: ID!) { workflow(id: $id) { draft { revision files { path } } } }"


async def payload(target: Site, ada: Person, document: str, **input_: object) -> dict[str, Any]:
    """Run a mutation; give its payload, which comes whatever the input was."""
    answer = await target.ask(document, {"input": input_}, token=ada.token)
    assert "errors" not in answer, answer
    return dict(next(iter(answer["data"].values())))


async def raw(target: Site, ada: Person, body: bytes) -> tuple[int, dict[str, Any]]:
    headers = {**AS_JSON, "authorization": f"Bearer {ada.token}"}
    answer = await target.request("POST", "/graphql", content=body, headers=headers)
    return answer.status_code, answer.json()


def codes(answer: dict[str, Any]) -> set[str]:
    return {error["extensions"]["code"] for error in answer["errors"]}


class TestText:
    @pytest.mark.parametrize("text", ["a\x00b", "\x00", "\x1b[31m", "a\x07", "\x7f", "two\nlines", "", " ", "x" * 201])
    async def test_a_name_is_a_line_that_can_be_stored(self, target: Site, ada: Person, text: str) -> None:
        refused = await payload(target, ada, CREATE, name=text)

        (error,) = refused["errors"]
        assert (error["__typename"], error["path"]) == ("ValidationError", ["input", "name"])

    @pytest.mark.parametrize("text", ["Größe", "日本語", "عربي", "👩‍👩‍👧", "' OR 1=1; --", "<script>", "%s", "x" * 200])
    async def test_what_people_write_is_kept_as_it_is(self, target: Site, ada: Person, text: str) -> None:
        made = await payload(target, ada, CREATE, name=text, description=text)

        assert made == {"workflow": {"name": text, "description": text}, "errors": []}

    async def test_it_is_kept_in_one_form(self, target: Site, ada: Person) -> None:
        made = await payload(target, ada, CREATE, name="Cafe\u0301")

        assert made["workflow"]["name"] == "Caf\u00e9"

    @pytest.mark.parametrize("text", [r"\ud800", r"\udfff", r"a\ud83d", r"\ude00\ud83d"])
    async def test_half_a_character_is_no_json(self, target: Site, ada: Person, text: str) -> None:
        body = json.dumps({"query": CREATE, "variables": {"input": {"name": "@"}}}).replace("@", text)
        status, answer = await raw(target, ada, body.encode())

        assert (status, codes(answer)) == (400, {"VALIDATION_FAILED"})

    async def test_half_a_character_in_a_document_is_no_text(self, target: Site, ada: Person) -> None:
        document = r'mutation { createWorkflow(input: { name: "\uD800" }) { errors { code } } }'
        answer = await target.ask(document, token=ada.token)

        assert codes(answer) == {"VALIDATION_FAILED"}

    @pytest.mark.parametrize("field", ["prompt", "contextSelection", "contextFilePath", "idempotencyKey"])
    async def test_every_text_of_a_refinement_is_checked(
        self, target: Site, ada: Person, workflow: str, field: str
    ) -> None:
        document = """mutation($input: RefineWorkflowInput!) { refineWorkflow(input: $input) {
          proposal { id } errors { __typename path } } }"""
        refused = await payload(target, ada, document, **{"workflowId": workflow, "prompt": "Add", field: "a\x00b"})

        assert refused["proposal"] is None
        assert [error["path"] for error in refused["errors"]] == [["input", field]]


class TestPath:
    @pytest.mark.parametrize(
        "path",
        [
            "../../etc/passwd",
            "/etc/passwd",
            "a/../b",
            "a/./b",
            ".",
            "..",
            "./a",
            "a//b",
            "a/",
            "\\\\server\\share",
            "C:\\windows\\system32",
            "a\\..\\b",
            "a\x00.md",
            "a\n.md",
            "\x1b.md",
            "",
            "x" * 501,
            "Cafe\u0301.md",
            "\u202egpj.md\x00",
        ],
    )
    async def test_nothing_leaves_the_tree_or_hides_in_it(
        self, target: Site, ada: Person, workflow: str, path: str
    ) -> None:
        before = await target.ask(REVISION, {"id": workflow}, token=ada.token)
        change: dict[str, Any] = {"workflowId": workflow, "expectedRevision": revision_of(before)}
        for edit in (
            {"write": [{"path": path, "content": "x"}]},
            {"delete": [path]},
            {"rename": [{"from": "definition.json", "to": path}]},
        ):
            refused = await payload(target, ada, EDIT, **change, **edit)
            assert refused["draft"] is None
            assert {error["__typename"] for error in refused["errors"]} <= {"ValidationError", "NotFoundError"}

        assert await target.ask(REVISION, {"id": workflow}, token=ada.token) == before

    async def test_a_neighbour_is_written(self, target: Site, ada: Person, workflow: str) -> None:
        before = await target.ask(REVISION, {"id": workflow}, token=ada.token)
        files = [{"path": "notes/..md", "content": "x"}, {"path": "notes/Café ☕.md", "content": "y"}]
        made = await payload(target, ada, EDIT, workflowId=workflow, expectedRevision=revision_of(before), write=files)

        assert made["errors"] == []
        assert {file["path"] for file in files} <= {file["path"] for file in made["draft"]["files"]}


def revision_of(answer: dict[str, Any]) -> int:
    revision: int = answer["data"]["workflow"]["draft"]["revision"]
    return revision


class TestContent:
    @pytest.mark.parametrize("content", ["a\x00b", "x" * (1024 * 1024 + 1)])
    async def test_what_is_no_text_or_too_much_is_named(
        self, target: Site, ada: Person, workflow: str, content: str
    ) -> None:
        before = await target.ask(REVISION, {"id": workflow}, token=ada.token)
        body = {
            "query": EDIT,
            "variables": {
                "input": {
                    "workflowId": workflow,
                    "expectedRevision": revision_of(before),
                    "write": [{"path": "big.md", "content": content}],
                }
            },
        }
        status, answer = await raw(target, ada, json.dumps(body).encode())

        refusals = answer.get("errors") or answer["data"]["editDraft"]["errors"]
        assert status < 500
        assert refusals
        assert await target.ask(REVISION, {"id": workflow}, token=ada.token) == before

    @pytest.mark.parametrize(
        "definition",
        [
            "[" * 100_000,
            '{"a":' * 50_000 + "1" + "}" * 50_000,
            '{"nodes": [' + "1," * 200_000 + "1]}",
            '{"n": ' + "9" * 100_000 + "}",
            '{"n": 1e999999}',
            '{"a": 1, "a": 2}',
            '"\\ud800"',
            "\ufeff{}",
        ],
        ids=["open", "nested", "wide", "long number", "infinite", "twice", "surrogate", "mark"],
    )
    async def test_a_bomb_in_a_definition_is_a_diagnostic(self, target: Site, ada: Person, definition: str) -> None:
        document = """mutation($input: CreateWorkflowInput!) { createWorkflow(input: $input) {
          workflow { id draft { revision } } errors { __typename } } }"""
        made = await payload(target, ada, document, name="Bomb", templateSlug="single-agent")
        id_ = made["workflow"]["id"]
        edited = await payload(
            target,
            ada,
            EDIT.replace("files { path content }", "revision diagnostics { severity code }"),
            workflowId=id_,
            expectedRevision=made["workflow"]["draft"]["revision"],
            write=[{"path": "definition.json", "content": definition}],
        )

        diagnostics = [] if edited["draft"] is None else edited["draft"]["diagnostics"]
        assert edited["errors"] or diagnostics


class TestNumber:
    @pytest.mark.parametrize("number", NO_INTEGERS)
    @pytest.mark.parametrize("is_literal", [True, False])
    async def test_what_is_no_integer_of_32_bits_is_refused(
        self, target: Site, ada: Person, number: str, *, is_literal: bool
    ) -> None:
        if is_literal:
            body = json.dumps({"query": f"{{ workflows(first: {number}) {{ nodes {{ id }} }} }}"})
        else:
            query = "query($n: Int) { workflows(first: $n) { nodes { id } } }"
            body = json.dumps({"query": query, "variables": {"n": "@"}}).replace('"@"', number)
        status, answer = await raw(target, ada, body.encode())

        assert status < 500
        assert codes(answer) == {"VALIDATION_FAILED"}

    @pytest.mark.parametrize("number", [-1, 0, 101, 2**31 - 1, -(2**31)])
    async def test_a_page_has_bounds(self, target: Site, ada: Person, number: int) -> None:
        query = "query($n: Int) { workflows(first: $n) { nodes { id } } }"
        answer = await target.ask(query, {"n": number}, token=ada.token)

        assert codes(answer) <= {"VALIDATION_FAILED", "QUERY_TOO_COMPLEX"}

    @pytest.mark.parametrize("number", [0, -1, 2**31 - 1])
    async def test_a_revision_that_never_was_is_behind(
        self, target: Site, ada: Person, workflow: str, number: int
    ) -> None:
        refused = await payload(
            target, ada, EDIT, workflowId=workflow, expectedRevision=number, write=[{"path": "a.md", "content": "x"}]
        )
        (error,) = refused["errors"]
        assert error["__typename"] in {"StaleRevisionError", "ValidationError"}


class TestCursor:
    @pytest.mark.parametrize(
        "cursor", ["", "x", "\x00", "MQ==", "LTE=", "eyJhIjoxfQ==", "9" * 40, "e30", "A" * 5000, "🙂", "' OR 1=1"]
    )
    async def test_of_a_list_or_a_log_what_is_none_is_told(
        self, target: Site, ada: Person, workflow: str, cursor: str
    ) -> None:
        document = """query($id: ID!, $c: String, $e: EventCursor) {
          workflows(after: $c) { nodes { id } } proposals(before: $c) { nodes { id } }
          workflow(id: $id) { events(after: $e) { nodes { sequence } } } }"""
        answer = await target.ask(document, {"id": workflow, "c": cursor, "e": cursor}, token=ada.token)

        assert codes(answer) == {"CURSOR_INVALID"}


class TestBody:
    @pytest.mark.parametrize(
        "body",
        [
            b"[" * 200_000,
            b'{"query":"{__typename}","variables":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}",
            b'{"query":"{__typename}","variables":{"a":' + b"[" * 500 + b"]" * 500 + b"}}",
            b'{"query":"{__typename}","variables":{"a":[' + b"0," * 100_000 + b"0]}}",
            b'{"query":"{__typename}","variables":{"a":NaN}}',
            b'{"query":"{__typename}","variables":{"a":Infinity}}',
            b"\xff\xfe{}",
            b"",
            b"null",
        ],
        ids=["open", "nested", "lists", "wide", "NaN", "infinity", "bytes", "empty", "null"],
    )
    async def test_a_bomb_is_refused_in_json(self, target: Site, ada: Person, body: bytes) -> None:
        status, answer = await raw(target, ada, body)

        if answer.get("data") != {"__typename": "Query"}:  # variables that nobody declared are let be, while small
            assert status < 500
            assert codes(answer) <= {"VALIDATION_FAILED", "QUERY_TOO_COMPLEX"}

    async def test_a_neighbour_is_answered(self, target: Site, ada: Person) -> None:
        assert await raw(target, ada, b'{"query":"{__typename}"}') == (200, {"data": {"__typename": "Query"}})
