from datetime import UTC, datetime
from enum import Enum

from sqlalchemy.engine.default import DefaultDialect

from graphql_api.kit.columns import EnumText, now, timestamp

DIALECT = DefaultDialect()


class Colour(Enum):
    RED = "red"


class TestEnumText:
    def test_a_member_is_kept_as_its_value(self) -> None:
        type_ = EnumText(Colour)
        assert type_.process_bind_param(Colour.RED, DIALECT) == "red"
        assert type_.result_processor(DIALECT, None)("red") is Colour.RED

    def test_nothing_stays_nothing(self) -> None:
        type_ = EnumText(Colour)
        assert type_.process_bind_param(None, DIALECT) is None
        assert type_.result_processor(DIALECT, None)(None) is None


class TestTimestamp:
    def test_it_is_now_unless_a_default_is_given(self) -> None:
        assert timestamp().default_factory is now
        assert timestamp(default=None).default_factory is None
        before = datetime.now(UTC)
        assert before <= now() <= datetime.now(UTC)
        assert now().tzinfo is UTC
