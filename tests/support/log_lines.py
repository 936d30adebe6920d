"""What a process writes into its log, line by line."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from typing import Any

import orjson
import structlog

from graphql_api.kit import logs

Line = dict[str, Any]


class Lines:
    """The log so far."""

    def __init__(self) -> None:
        self.stream = StringIO()

    @property
    def text(self) -> str:
        """All of it."""
        return self.stream.getvalue()

    def of(self, event: str) -> list[Line]:
        """Give the lines of one event."""
        return [line for line in map(orjson.loads, self.text.splitlines()) if line["event"] == event]


@contextmanager
def written(level: str = "info") -> Iterator[Lines]:
    """Write the log as production does, into memory; afterwards it goes where pytest wants it."""
    lines = Lines()
    root, ours = logging.getLogger(), logging.getLogger("graphql_api")
    before = [*root.handlers], root.level, ours.level, structlog.get_config()
    logs.configure(level, is_json=True, stream=lines.stream)
    try:
        yield lines
    finally:
        root.handlers, root.level, ours.level, configuration = before
        structlog.configure(**configuration)
        logging.captureWarnings(capture=False)


def troubles(lines: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Leave out the lines of what goes as it should."""
    return [line for line in lines if line["log_level"] not in {"debug", "info"}]
