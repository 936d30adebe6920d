"""Operations that are named: automatic persisted queries, and trusted documents."""

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.server import Site, engines_for, quick_settings, site
from support.sockets import connected

from graphql_api.app import make_app
from graphql_api.context import Context
from graphql_api.kit.database import Database
from graphql_api.kit.errors import PersistedQueryNotFound
from graphql_api.settings import Environment, SettingsError
from graphql_api.transport.persisted import ManifestError, PersistedOperations, read_manifest

pytestmark = pytest.mark.anyio

TEXT = "query Known { __typename }"
LARGE = "query Large {" + "".join(f" a{number}: __typename" for number in range(600)) + " }"
ANSWER = {"data": {"__typename": "Query"}}


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def persisted(text: str) -> dict[str, Any]:
    return {"persistedQuery": {"version": 1, "sha256Hash": sha256(text)}}


async def post(site: Site, **body: object) -> dict[str, Any]:
    answer: dict[str, Any] = (await site.request("POST", "/graphql", json=body)).json()
    return answer


def code_of(answer: dict[str, Any]) -> str:
    (error,) = answer["errors"]
    assert len(error["extensions"]["requestId"]) == 32
    return str(error["extensions"]["code"])


class TestAutomatic:
    async def test_a_text_is_sent_once(self, running_site: Site) -> None:
        text = "query Once { __typename }"
        missing = await post(running_site, extensions=persisted(text))
        answers = [
            await post(running_site, query=text, extensions=persisted(text)),
            await post(running_site, extensions=persisted(text)),
        ]

        assert (missing["errors"][0]["message"], code_of(missing)) == (
            "PersistedQueryNotFound",
            "PERSISTED_QUERY_NOT_FOUND",
        )
        assert answers == [ANSWER, ANSWER]

    async def test_get_takes_the_hash_alone(self, running_site: Site) -> None:
        text = "query Cached { __typename }"
        parameters = {"extensions": json.dumps(persisted(text))}
        accept = {"accept": "application/graphql-response+json"}
        missing = await running_site.request("GET", "/graphql", params=parameters, headers=accept)
        await running_site.request("GET", "/graphql", params={"query": text, **parameters})

        assert (missing.status_code, code_of(missing.json())) == (400, "PERSISTED_QUERY_NOT_FOUND")
        assert (await running_site.request("GET", "/graphql", params=parameters)).json() == ANSWER

    async def test_sockets_take_it_too(self, running_site: Site) -> None:
        text = "query Socket { __typename }"
        async with connected(running_site.socket_url) as socket:
            await socket.send({"type": "subscribe", "id": "1", "payload": {"extensions": persisted(text)}})
            missing = await socket.receive()
            await socket.subscribe(text, extensions=persisted(text))
            answers = [await socket.receive(), await socket.receive()]
            await socket.send({"type": "subscribe", "id": "1", "payload": {"extensions": persisted(text)}})
            answers.append(await socket.receive())

        assert (missing["type"], missing["payload"][0]["extensions"]["code"]) == ("error", "PERSISTED_QUERY_NOT_FOUND")
        assert [answer.get("payload") for answer in answers] == [ANSWER, None, ANSWER]

    @pytest.mark.parametrize(
        "extension",
        [
            {"version": 1, "sha256Hash": "0" * 64},
            {"version": 2, "sha256Hash": sha256(TEXT)},
            {"version": 1},
            {"version": 1, "sha256Hash": 1},
            [],
            "hash",
        ],
    )
    async def test_a_hash_is_that_of_the_text(self, running_site: Site, extension: object) -> None:
        answer = await post(running_site, query=TEXT, extensions={"persistedQuery": extension})

        assert code_of(answer) == "VALIDATION_FAILED"

    def test_the_texts_that_were_not_used_for_longest_are_forgotten(self, database: Database) -> None:
        operations = PersistedOperations(max_characters=400)
        context = Context(engines_for(database))
        texts = [f"query Q{number} {{ __typename }}".ljust(50) for number in range(10)]
        for text in texts:
            assert operations.text(text, None, persisted(text), context) == text
        oversized = "query Q { __typename }".ljust(51)
        operations.text(oversized, None, persisted(oversized), context)

        assert operations.text(None, None, persisted(texts[-1]), context) == texts[-1]
        for forgotten in (texts[0], texts[1], oversized):
            with pytest.raises(PersistedQueryNotFound):
                operations.text(None, None, persisted(forgotten), context)

    def test_nothing_named_and_nothing_sent_is_nothing(self, database: Database) -> None:
        context = Context(engines_for(database))

        assert [PersistedOperations().text(text, None, None, context) for text in (None, TEXT)] == [None, TEXT]


APOLLO = {
    "format": "apollo-persisted-query-manifest",
    "version": 1,
    "operations": [
        {"id": sha256(text), "name": "Any", "type": "query", "body": text}
        for text in (TEXT, LARGE, "subscription Watch { workflowEvents(workflowId: 1) { sequence } }")
    ],
}


@pytest.fixture(scope="module")
async def trusting(own_database: Database, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    path = tmp_path_factory.mktemp("manifest") / "manifest.json"
    path.write_text(json.dumps(APOLLO), encoding="utf-8")
    settings = quick_settings(environment=Environment.PRODUCTION, trusted_documents=path)
    async with site(own_database, settings=settings) as running:
        yield running


class TestTrusted:
    @pytest.mark.parametrize(
        "body",
        [
            {"query": TEXT},
            {"documentId": sha256(TEXT)},
            {"documentId": f"sha256:{sha256(TEXT)}"},
            {"extensions": persisted(TEXT)},
            {"query": TEXT, "extensions": persisted(TEXT)},
        ],
    )
    async def test_an_operation_of_the_manifest_runs(self, trusting: Site, body: dict[str, Any]) -> None:
        assert await post(trusting, **body) == ANSWER
        async with connected(trusting.socket_url) as socket:
            await socket.send({"type": "subscribe", "id": "1", "payload": body})
            assert await socket.next() == ANSWER

    @pytest.mark.parametrize(
        "body",
        [
            {"query": f"{TEXT} "},
            {"documentId": "unknown"},
            {"documentId": "unknown", "query": "{ a: __typename }"},
            {"extensions": persisted("{ a: __typename }")},
            {"query": "{ a: __typename }", "extensions": persisted("{ a: __typename }")},
        ],
    )
    async def test_no_other_runs(self, trusting: Site, body: dict[str, Any]) -> None:
        assert code_of(await post(trusting, **body)) == "DOCUMENT_NOT_TRUSTED"
        async with connected(trusting.socket_url) as socket:
            await socket.send({"type": "subscribe", "id": "1", "payload": body})
            message = await socket.receive()
            assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", "DOCUMENT_NOT_TRUSTED")
            assert await socket.is_alive()

    @pytest.mark.parametrize("accept", ["text/event-stream", 'multipart/mixed;subscriptionSpec="1.0"'])
    async def test_streams_are_held_to_it(self, trusting: Site, accept: str) -> None:
        body = {"query": "subscription { workflowEvents(workflowId: 1) { sequence } }"}
        answer = await trusting.request("POST", "/graphql", json=body, headers={"accept": accept})

        assert code_of(answer.json()) == "DOCUMENT_NOT_TRUSTED"

    async def test_it_may_be_larger_than_what_strangers_send(self, trusting: Site, running_site: Site) -> None:
        assert len((await post(trusting, documentId=sha256(LARGE)))["data"]) == 600
        assert code_of(await post(running_site, query=LARGE)) == "QUERY_TOO_COMPLEX"

    async def test_in_development_others_run_too(self, own_database: Database, tmp_path: Path) -> None:
        path = tmp_path / "manifest.json"
        path.write_text(json.dumps({sha256(TEXT): TEXT}), encoding="utf-8")
        async with site(own_database, settings=quick_settings(trusted_documents=path)) as running:
            assert await post(running, documentId=sha256(TEXT)) == ANSWER
            assert await post(running, query="{ __typename }") == ANSWER


class TestReadManifest:
    @pytest.mark.parametrize(
        "manifest",
        [APOLLO, {sha256(TEXT): TEXT}, {f"sha256:{sha256(TEXT)}": TEXT}],
        ids=["Apollo", "graphql-codegen", "with a prefix"],
    )
    def test_each_form_is_taken_as_it_is(self, tmp_path: Path, manifest: object) -> None:
        path = tmp_path / "manifest.json"
        path.write_text(json.dumps(manifest), encoding="utf-8")

        assert read_manifest(path)[sha256(TEXT)] == TEXT

    @pytest.mark.parametrize(
        "text", ["", "[]", "{", '{"operations": [{"id": "a"}]}', '{"a": 1}', '{"operations": [1]}']
    )
    def test_what_is_none_stops_the_start(self, own_database: Database, tmp_path: Path, text: str) -> None:
        path = tmp_path / "manifest.json"
        path.write_text(text, encoding="utf-8")

        with pytest.raises(ManifestError, match=r"manifest\.json"):
            read_manifest(path)
        with pytest.raises(SettingsError, match=r"^TRUSTED_DOCUMENTS: .*manifest\.json"):
            make_app(quick_settings(trusted_documents=path), engines_for(own_database))

    def test_a_missing_one_stops_the_start(self, tmp_path: Path) -> None:
        with pytest.raises(ManifestError, match="can't be read"):
            read_manifest(tmp_path / "absent.json")
