import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_api.kit.errors import Invalid
from graphql_api.kit.texts import checked_text, is_storable

PATH = ["input", "name"]


class TestCheckedText:
    def test_it_comes_back_composed_and_without_white_space_around_it(self) -> None:
        assert checked_text("  e\u0301 a \n", path=PATH, maximum=10) == "é a"

    def test_its_length_is_that_of_what_is_kept(self) -> None:
        assert checked_text(" abc ", path=PATH, minimum=3, maximum=3) == "abc"
        for text in ("ab ", "abcd"):
            with pytest.raises(Invalid, match="3 to 3 characters") as refusal:
                checked_text(text, path=PATH, minimum=3, maximum=3)
            assert refusal.value.path == PATH

    @pytest.mark.parametrize("text", ["a\x00b", "a\x1bb", "a\x7fb", "a\x85b", "a\ud800b"])
    def test_what_can_not_be_stored_or_shown_is_refused(self, text: str) -> None:
        with pytest.raises(Invalid, match="control character") as refusal:
            checked_text(text, path=PATH, maximum=10)
        assert refusal.value.path == PATH

    @pytest.mark.parametrize("text", ["a\nb", "a\tb", "a\r\nb"])
    def test_lines_and_tabs_stand_in_texts_of_several_lines_only(self, text: str) -> None:
        assert checked_text(text, path=PATH, maximum=10) == text
        with pytest.raises(Invalid):
            checked_text(text, path=PATH, maximum=10, is_multiline=False)

    @given(st.text())
    def test_what_is_taken_can_be_stored_and_is_taken_again(self, text: str) -> None:
        try:
            taken = checked_text(text, path=PATH, maximum=20)
        except Invalid:
            return
        assert is_storable(taken)
        assert checked_text(taken, path=PATH, maximum=20) == taken


class TestIsStorable:
    @pytest.mark.parametrize("text", ["", "a", "é🙂", "\x01\n", "\uffff"])
    def test_nearly_every_text_is(self, text: str) -> None:
        assert is_storable(text)

    @pytest.mark.parametrize("text", ["\x00", "a\x00b", "\ud800", "a\udfff"])
    def test_nul_and_half_a_character_are_not(self, text: str) -> None:
        assert not is_storable(text)
