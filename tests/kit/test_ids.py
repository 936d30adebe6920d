import base64
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_api.kit.ids import key_of, parse_global_id, to_global_id

KEY = UUID("11111111-2222-4333-8444-555555555555")


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class TestParseGlobalId:
    @given(st.from_regex(r"[A-Z][A-Za-z]{0,30}", fullmatch=True), st.uuids())
    def test_it_reads_what_was_issued(self, type_name: str, key: UUID) -> None:
        assert parse_global_id(to_global_id(type_name, key)) == (type_name, key)

    def test_ids_that_clients_hold_stay_valid(self) -> None:
        assert to_global_id("User", KEY) == "VXNlcjoxMTExMTExMS0yMjIyLTQzMzMtODQ0NC01NTU1NTU1NTU1NTU="
        assert parse_global_id("VXNlcjoxMTExMTExMS0yMjIyLTQzMzMtODQ0NC01NTU1NTU1NTU1NTU=") == ("User", KEY)

    @pytest.mark.parametrize(
        "text",
        [
            "", "User", "User:", f"User:{str(KEY)[:-1]}", f"User:{KEY}:{KEY}", f"User:{KEY.hex}", f"User:{{{KEY}}}",
            f"User:urn:uuid:{KEY}", f"User:{KEY} ", "User:1", "é:1", f"User{KEY}",
        ],
    )  # fmt: skip
    def test_what_was_never_issued_is_none(self, text: str) -> None:
        assert parse_global_id(encoded(text)) is None

    @given(st.text())
    def test_no_text_breaks_it(self, text: str) -> None:
        assert parse_global_id(text) is None

    def test_a_long_one_is_refused_unread(self) -> None:
        assert parse_global_id(to_global_id("T" * 100, KEY)) is None


class TestKeyOf:
    def test_an_id_of_another_type_is_none(self) -> None:
        assert key_of(to_global_id("User", KEY), "User") == KEY
        assert key_of(to_global_id("User", KEY), "Workflow") is None
        assert key_of("nothing", "User") is None
