from dataclasses import dataclass

import pytest

from graphql_api.kit.planning.code import NOTHING_LATER, Code, Shown, Surprise, object_reader


@dataclass
class Point:
    x: int = 1
    y: int | None = None


class TestObjectReader:
    def test_a_key_is_never_part_of_the_text(self) -> None:
        key = '"}: raise SystemExit #'

        assert object_reader(Point, [Shown(key, "x")])(Point(), NOTHING_LATER) == {key: 1}

    @pytest.mark.parametrize("attribute", ["x.__class__", "x; import os", "", "x\n"])
    def test_what_is_no_attribute_is_refused(self, attribute: str) -> None:
        with pytest.raises(Surprise):
            object_reader(Point, [Shown("x", attribute)])

    def test_fields_come_in_their_order(self) -> None:
        read = object_reader(Point, [Shown("y", "y"), Shown("kind", None, constant="Point"), Shown("x", "x")])

        assert list(read(Point(2, 3), NOTHING_LATER).items()) == [("y", 3), ("kind", "Point"), ("x", 2)]

    def test_nothing_selected_gives_nothing(self) -> None:
        assert object_reader(Point, [])(Point(), NOTHING_LATER) == {}

    @pytest.mark.parametrize("value", ["1", 1.0, True])
    def test_a_value_of_another_class_is_a_surprise(self, value: object) -> None:
        read = object_reader(Point, [Shown("x", "x", Code.exactly(int))])

        with pytest.raises(Surprise):
            read(Point(value), NOTHING_LATER)  # type: ignore[arg-type]  # the point of it

    def test_none_is_taken_where_it_may_be(self) -> None:
        read = object_reader(Point, [Shown("y", "y", Code.call(lambda value, _later: value + 1).or_none())])

        assert read(Point(y=None), NOTHING_LATER) == {"y": None}
        assert read(Point(y=1), NOTHING_LATER) == {"y": 2}
