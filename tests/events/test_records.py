from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

from graphql_api.events.records import LiveEvent, StoredEvent

_NOW = datetime.now(UTC)


class TestView:
    def test_it_is_made_once_as_long_as_all_make_the_same(self) -> None:
        event = StoredEvent(uuid4(), 1, "Happened", {"a": 1}, _NOW, is_terminal=False)

        def shown(of: StoredEvent) -> list[str]:
            return [of.type]

        def counted(of: StoredEvent) -> list[int]:
            return [of.sequence]

        assert event.view(shown) is event.view(shown)
        assert event.view(counted) == [1]
        assert event.view(shown) == ["Happened"]

    def test_an_event_that_was_changed_is_viewed_anew(self) -> None:
        event = LiveEvent(uuid4(), 1, "Delta", {"text": "ab"}, _NOW)

        def text(of: LiveEvent) -> str:
            return str(of.payload["text"])

        assert event.view(text) == "ab"
        assert replace(event, payload={"text": "b"}).view(text) == "b"

    def test_what_was_viewed_is_still_the_same_event(self) -> None:
        first, second = (StoredEvent(_SUBJECT, 1, "Happened", {}, _NOW, is_terminal=False) for _ in range(2))
        first.view(str)
        assert first == second
        assert repr(first) == repr(second)


_SUBJECT = uuid4()
