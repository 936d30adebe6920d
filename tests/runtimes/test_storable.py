import math
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_api.kit.database import Database
from graphql_api.runtimes.storable import MAX_DEPTH, MAX_TEXT_LENGTH, REPLACEMENT, storable, storable_text

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec=None)), inner, max_size=4),
    max_leaves=20,
)


def nested(depth: int) -> Any:  # noqa: ANN401 - any JSON
    return [] if depth == 0 else [nested(depth - 1)]


class TestStorable:
    @pytest.mark.parametrize(
        "value", ["", "né 🙂", 0, -1, 2**63 - 1, 1.5, True, False, None, [], {}, {"a": [1, {"b": None}]}]
    )
    def test_what_can_be_stored_stays_as_it_is(self, value: object) -> None:
        assert storable(value) == value
        assert type(storable(value)) is type(value)

    @pytest.mark.parametrize(
        ("value", "stored"),
        [
            ("a\x00b", f"a{REPLACEMENT}b"),
            ("\ud83d", REPLACEMENT),
            ({"\x00": "\udfff"}, {REPLACEMENT: REPLACEMENT}),
            ({1: (2, 3)}, {"1": [2, 3]}),
            (math.nan, "nan"),
            (-math.inf, "-inf"),
            (1e200, "1e+200"),
            (2**63, "0x8000000000000000"),
            (b"\xff", "b'\\xff'"),
            (UUID(int=0), "00000000-0000-0000-0000-000000000000"),
        ],
    )
    def test_what_has_no_place_is_replaced(self, value: object, stored: object) -> None:
        assert storable(value) == stored

    def test_an_integer_of_any_size_is_no_error(self) -> None:
        assert storable(10**10_000).startswith("0x")

    def test_what_is_nested_too_deeply_is_left_out_and_said_so(self) -> None:
        assert storable(nested(MAX_DEPTH)) == nested(MAX_DEPTH)
        assert f"nested deeper than {MAX_DEPTH} levels" in orjson.dumps(storable(nested(5000 // 10))).decode()

    def test_a_long_text_is_cut_and_says_so(self) -> None:
        cut = storable("x" * (MAX_TEXT_LENGTH + 3))
        assert cut == "x" * MAX_TEXT_LENGTH + f"{REPLACEMENT} 3 more characters"

    @given(JSON)
    def test_everything_becomes_json(self, value: object) -> None:
        assert b"\\u0000" not in orjson.dumps(storable(value))

    @given(st.text(st.characters(codec=None)))
    def test_a_text_keeps_its_length(self, text: str) -> None:
        assert len(storable_text(text)) == len(text)

    @pytest.mark.anyio
    async def test_postgresql_takes_what_is_storable(self, database: Database) -> None:
        value = storable({"\x00\ud800": ["\x00", math.inf, 10**400, 1e200, {"deep": nested(500)}]})
        connection = await database.connect()
        back = await connection.fetchval("SELECT $1::jsonb", orjson.dumps(value).decode())
        await connection.close()
        assert orjson.loads(back) == value
