import base64
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_api.events.cursors import decode_cursor, encode_cursor
from graphql_api.kit.errors import CursorInvalid

SUBJECT = UUID("11111111-2222-4333-8444-555555555555")


class TestDecodeCursor:
    @given(st.uuids(), st.integers(0, 2**63 - 1))
    def test_it_reads_what_was_encoded(self, subject: UUID, sequence: int) -> None:
        assert decode_cursor(encode_cursor(subject, sequence), subject) == sequence

    def test_none_is_the_beginning(self) -> None:
        assert decode_cursor(None, SUBJECT) == 0

    def test_cursors_that_clients_hold_stay_valid(self) -> None:
        assert encode_cursor(SUBJECT, 258) == "ERERESIiQzOERFVVVVVVVQAAAAAAAAEC"
        assert decode_cursor("ERERESIiQzOERFVVVVVVVQAAAAAAAAEC", SUBJECT) == 258

    def test_a_position_that_no_log_can_reach_is_refused(self) -> None:
        for sequence in (2**63, 2**64 - 1):
            with pytest.raises(CursorInvalid, match="no log is that far"):
                decode_cursor(encode_cursor(SUBJECT, sequence), SUBJECT)

    def test_a_cursor_of_another_log_is_refused(self) -> None:
        with pytest.raises(CursorInvalid, match="not one of this log"):
            decode_cursor(encode_cursor(uuid4(), 1), SUBJECT)

    @pytest.mark.parametrize("cursor", ["", "1", "é", "\ud800", "====", "a" * 1_000_001, "AAAA", "null", "🙂"])
    def test_garbage_is_refused(self, cursor: str) -> None:
        with pytest.raises(CursorInvalid):
            decode_cursor(cursor, SUBJECT)

    @given(st.text() | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
    def test_nothing_that_was_not_encoded_is_taken_or_breaks_anything(self, cursor: str) -> None:
        with pytest.raises(CursorInvalid):
            decode_cursor(cursor, SUBJECT)

    @given(st.integers(0, 2**63 - 1), st.integers(1, 31))
    def test_a_part_of_a_cursor_is_refused(self, sequence: int, length: int) -> None:
        with pytest.raises(CursorInvalid):
            decode_cursor(encode_cursor(SUBJECT, sequence)[:length], SUBJECT)
