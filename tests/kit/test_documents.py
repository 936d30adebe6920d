from functools import partial
from typing import Any

import strawberry
from graphql import DocumentNode
from strawberry.extensions import AddValidationRules, SchemaExtension

from graphql_api.kit.admission import Admission
from graphql_api.kit.documents import Documents


@strawberry.type
class Query:
    @strawberry.field
    def one(self) -> int:
        return 1


class Seen(SchemaExtension):
    documents: list[DocumentNode | None]

    def on_execute(self) -> Any:  # noqa: ANN401 - a hook of Strawberry
        type(self).documents.append(self.execution_context.graphql_document)
        yield


def schema_with(documents: Documents) -> strawberry.Schema:
    Seen.documents = []
    return strawberry.Schema(Query, extensions=[partial(Admission, documents, {}), Seen])


class TestDocuments:
    async def test_a_valid_text_is_parsed_once(self, anyio_backend: str) -> None:
        schema = schema_with(Documents())
        results = [await schema.execute("{ one }") for _ in range(2)]
        assert [result.data for result in results] == [{"one": 1}, {"one": 1}]
        assert Seen.documents[0] is Seen.documents[1]

    async def test_what_is_not_valid_is_not_kept_and_its_errors_are_new_each_time(self, anyio_backend: str) -> None:
        documents = Documents()
        schema = schema_with(documents)
        first, second = [(await schema.execute("{ two }")).errors for _ in range(2)]
        assert first is not None
        assert second is not None
        assert first[0].message == second[0].message
        assert first[0] is not second[0]
        assert (await schema.execute("{")).errors
        assert len(documents) == 0

    async def test_the_texts_that_were_not_used_for_longest_are_forgotten(self, anyio_backend: str) -> None:
        documents = Documents(max_characters=80)
        schema = schema_with(documents)
        for name in "ab":
            await schema.execute(f"{{ {name}: one }}")
        for name in "cdefghijk":
            await schema.execute("{ a: one }")
            await schema.execute(f"{{ {name}: one }}")
        assert len(documents) == 80 // len("{ a: one }")
        known = Seen.documents[0]
        await schema.execute("{ a: one }")
        assert Seen.documents[-1] is known
        await schema.execute("{ b: one }")
        assert Seen.documents[-1] is not Seen.documents[1]

    async def test_a_text_that_would_push_out_the_others_is_not_kept(self, anyio_backend: str) -> None:
        documents = Documents(max_characters=80)
        assert (await schema_with(documents).execute("{ one }" + " " * 80)).data == {"one": 1}
        assert len(documents) == 0

    async def test_other_rules_are_checked_anew(self, anyio_backend: str) -> None:
        documents = Documents()
        schema = strawberry.Schema(
            Query, extensions=[lambda: AddValidationRules([]), partial(Admission, documents, {})]
        )
        await schema.execute("{ one }")
        await schema_with(documents).execute("{ one }")
        assert len(documents) == 1
