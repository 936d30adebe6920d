from enum import Enum

import pytest
import strawberry

from graphql_api.kit.errors import AlreadyExists, DomainError, ErrorCode, Forbidden, Invalid, NotFound
from graphql_api.kit.pagination import Page
from graphql_api.kit.types import (
    AlreadyExistsError,
    NotFoundError,
    ValidationError,
    connection_of,
    described_enum,
    user_error,
)

pytestmark = pytest.mark.anyio


class TestDescribedEnum:
    def test_clients_read_what_each_value_means(self) -> None:
        class Colour(Enum):
            RED = "r"
            BLUE = "b"

        assert described_enum(Colour, "A colour.", {"RED": "Warm.", "BLUE": "Cold."}) is Colour

        @strawberry.type
        class Query:
            colour: Colour = Colour.RED

        schema = strawberry.Schema(Query)
        assert 'enum Colour {\n  """Warm."""\n  RED\n\n  """Cold."""\n  BLUE\n}' in schema.as_str()
        assert '"""A colour."""' in schema.as_str()
        result = schema.execute_sync("{ colour }", root_value=Query())
        assert (result.data, result.errors) == ({"colour": "RED"}, None)

    def test_a_value_without_a_description_is_refused(self) -> None:
        class Colour(Enum):
            RED = "r"

        with pytest.raises(KeyError, match="RED"):
            described_enum(Colour, "A colour.", {})


class TestConnectionOf:
    async def count(self) -> int:
        return 7

    async def test_a_page_of_rows_becomes_nodes_with_their_cursors(self) -> None:
        page = Page(
            rows=[1, 2], cursor={1: "a", 2: "b"}.__getitem__, has_next=True, has_previous=False, count=self.count
        )
        connection = connection_of(page, str)
        assert connection.nodes == ["1", "2"]
        assert [(edge.cursor, edge.node) for edge in connection.edges] == [("a", "1"), ("b", "2")]
        assert (connection.page_info.start_cursor, connection.page_info.end_cursor) == ("a", "b")
        assert (connection.page_info.has_next_page, connection.page_info.has_previous_page) == (True, False)
        assert await connection.row.count() == 7

    async def test_an_empty_page_has_no_cursors(self) -> None:
        page: Page[int] = Page(rows=[], cursor=str, has_next=False, has_previous=True, count=self.count)
        info = connection_of(page, str).page_info
        assert (info.start_cursor, info.end_cursor, info.has_previous_page) == (None, None, True)


class TestUserError:
    @pytest.mark.parametrize(
        ("error", "type_"),
        [
            (Invalid("m", path=["input"]), ValidationError),
            (NotFound("m", path=["input"]), NotFoundError),
            (AlreadyExists("m", path=["input"]), AlreadyExistsError),
        ],
        ids=lambda value: getattr(value, "__name__", None),
    )
    def test_it_is_typed_and_keeps_code_message_and_path(self, error: DomainError, type_: type) -> None:
        shown = user_error(error)
        assert type(shown) is type_
        assert (shown.code, shown.message, shown.path) == (error.code, "m", ["input"])

    def test_one_that_no_payload_carries_goes_on(self) -> None:
        class Broken(DomainError):
            code = ErrorCode.INTERNAL_ERROR

        with pytest.raises(Broken):
            user_error(Broken("m"))
        assert Forbidden.code is ErrorCode.FORBIDDEN
