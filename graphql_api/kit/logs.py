"""Logs: one line per event, for people or for machines; what libraries log goes through the same pipe."""

import logging
import os
import sys
from contextlib import suppress
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import Processor

from graphql_api.kit.redaction import redact

_OURS = "graphql_api"
"""The logger that is heard at the level that was asked for; all others only from warnings on."""


def configure(level: str, *, is_json: bool, stream: TextIO | None = None) -> None:
    """Send the logs of this process to one stream; a later call wins over an earlier one.

    Args:
        level: Name of the least level of our own logs; with `debug` those of libraries come too.
        is_json: Whether lines are JSON objects rather than readable text.
        stream: Where they go; standard error when None.
    """
    target = sys.stderr if stream is None else stream
    begin: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso" if is_json else "%H:%M:%S", utc=is_json),
    ]
    end: list[Processor] = [
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact,
        _json_renderer() if is_json else _text_renderer(target),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *begin,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *end,
        ],
        wrapper_class=_Logger,
        logger_factory=_Lines(target),
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*begin, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *end],
        )
    )
    _route(handler, level)


class _Line(structlog.WriteLogger):
    """Writes lines of one module, whose logger has the rest: its name and its level.

    Args:
        logger: The module's.
        stream: Where to.
    """

    def __init__(self, logger: logging.Logger, stream: TextIO) -> None:
        super().__init__(stream)
        self.name, self.disabled = logger.name, logger.disabled
        self.getEffectiveLevel = logger.getEffectiveLevel


class _Lines:
    """Makes what writes the lines of the module that asks; the library's way through `logging` takes twice as long.

    Args:
        stream: Where to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._loggers = structlog.stdlib.LoggerFactory(ignore_frame_names=[__name__])
        self._stream = stream

    def __call__(self, *names: str) -> _Line:
        return _Line(self._loggers(*names), self._stream)


class _Logger(structlog.stdlib.BoundLogger):
    """Fails nobody who logs, whatever is logged and wherever it goes: what is lost is named on standard error."""

    def _proxy_to_logger(self, method_name: str, event: str | None = None, *args: Any, **values: Any) -> Any:  # noqa: ANN401 - structlog's own
        try:
            return super()._proxy_to_logger(method_name, event, *args, **values)
        except Exception as error:  # noqa: BLE001 - see above
            with suppress(Exception):
                sys.stderr.write(f"A line of the log is lost: {event}: {type(error).__name__}\n")


def _route(handler: logging.Handler, level: str) -> None:
    logging.captureWarnings(capture=True)
    wanted = logging.getLevelNamesMapping()[level.upper()]
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(wanted if wanted == logging.DEBUG else max(wanted, logging.WARNING))
    logging.getLogger(_OURS).setLevel(wanted)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        # Uvicorn installs handlers of its own where nobody forbids it.
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True


def _json_renderer() -> Processor:
    return structlog.processors.JSONRenderer(serializer=_to_json)


def _to_json(value: object, **_options: Any) -> str:  # noqa: ANN401 - what structlog hands to json.dumps
    return orjson.dumps(value, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()


def _text_renderer(stream: TextIO) -> Processor:
    has_colors = stream.isatty() and not os.environ.get("NO_COLOR")
    return structlog.dev.ConsoleRenderer(
        colors=has_colors, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
    )
