import logging
from collections.abc import Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path

import orjson
import pytest
import structlog

from graphql_api.kit import logs

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def same_logging() -> Iterator[None]:
    """Put back what pytest itself logs with."""
    root, ours = logging.getLogger(), logging.getLogger("graphql_api")
    before = [*root.handlers], root.level, ours.level, structlog.get_config()
    yield
    root.handlers, root.level, ours.level, configuration = before
    structlog.configure(**configuration)
    logging.captureWarnings(capture=False)


def configured(level: str = "info", *, is_json: bool = True) -> StringIO:
    stream = StringIO()
    logs.configure(level, is_json=is_json, stream=stream)
    return stream


def ours() -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.get_logger("graphql_api.somewhere")
    return logger


def only_line(stream: StringIO) -> dict[str, object]:
    (line,) = stream.getvalue().splitlines()
    parsed: dict[str, object] = orjson.loads(line)
    return parsed


def raised(error: Exception) -> Exception:
    """Give an error its traceback."""
    try:
        raise error
    except type(error) as caught:
        return caught


class TestConfigure:
    def test_an_event_is_one_json_object(self) -> None:
        stream = configured()
        ours().info("execution_ended", attempts=2)

        line = only_line(stream)
        assert line.pop("timestamp")
        assert line == {
            "event": "execution_ended", "attempts": 2, "level": "info", "logger": "graphql_api.somewhere"
        }  # fmt: skip

    def test_text_has_no_color_where_no_terminal_is(self) -> None:
        stream = configured(is_json=False)
        ours().info("execution_ended", attempts=2)

        assert "execution_ended [graphql_api.somewhere] attempts=2\n" in stream.getvalue()
        assert "\x1b" not in stream.getvalue()

    def test_libraries_go_the_same_way_from_warnings_on(self) -> None:
        stream = configured()
        for name in ("uvicorn.error", "sqlalchemy.engine", "alembic.runtime.migration"):
            logging.getLogger(name).info("Said %s", name)
        logging.getLogger("uvicorn.error").warning("Lost %d", 2)

        line = only_line(stream)
        assert (line["event"], line["level"], line["logger"]) == ("Lost 2", "warning", "uvicorn.error")

    def test_the_level_is_that_of_our_own_logs(self) -> None:
        stream = configured("warning")
        ours().info("quiet")
        ours().warning("loud")

        assert only_line(stream)["event"] == "loud"

    def test_debug_lets_libraries_speak(self) -> None:
        stream = configured("debug")
        logging.getLogger("some.package").debug("A detail")

        assert only_line(stream)["event"] == "A detail"

    def test_a_later_call_wins(self) -> None:
        first = configured()
        second = configured()
        ours().info("happened")

        assert first.getvalue() == ""
        assert only_line(second)["event"] == "happened"

    @pytest.mark.parametrize("is_json", [True, False])
    def test_an_exception_comes_with_its_traceback(self, *, is_json: bool) -> None:
        stream = configured(is_json=is_json)
        ours().error("failed", exc_info=raised(ValueError("broken")))

        assert "Traceback (most recent call last)" in stream.getvalue()
        assert "ValueError: broken" in stream.getvalue()

    def test_a_line_that_cannot_be_written_is_named(self, capsys: pytest.CaptureFixture[str]) -> None:
        stream = configured()
        ours().info("happened", name="\ud800")
        ours().info("happened_again")

        assert only_line(stream)["event"] == "happened_again"
        assert capsys.readouterr().err == "A line of the log is lost: happened: TypeError\n"

    def test_a_full_disk_fails_nobody_who_logs(self, capsys: pytest.CaptureFixture[str]) -> None:
        with Path("/dev/full").open("w", buffering=1) as full:
            logs.configure("info", is_json=True, stream=full)
            ours().info("happened")
            with suppress(OSError):
                full.close()

        assert capsys.readouterr().err == "A line of the log is lost: happened: OSError\n"

    def test_a_level_that_changes_holds_for_loggers_that_are_there(self) -> None:
        stream = configured()
        logger = ours()
        logging.getLogger("graphql_api").setLevel(logging.WARNING)
        logger.info("quiet")
        logger.warning("loud")

        assert only_line(stream)["event"] == "loud"


class TestRedact:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("password", "hunter2hunter2"),
            ("refresh_token", "hunter2hunter2"),
            ("Authorization", b"hunter2hunter2"),
            ("JWT_SECRET", ("hunter2hunter2",)),
            ("error", "refused postgresql://ada:hunter2hunter2@db/name"),
            ("error", "header was Bearer hunter2hunter2"),
            ("text", f"hunter2hunter2 {TOKEN}".removeprefix("hunter2hunter2 ")),
            ("headers", {"cookie": "hunter2hunter2"}),
            ("rows", [{"password_hash": "hunter2hunter2"}]),
            ("prompt", "hunter2hunter2"),
            ("files", {"a.md": "hunter2hunter2"}),
            ("Content", b"hunter2hunter2"),
            ("error", "refused\nDETAIL:  Failing row contains (1, hunter2\nhunter2).\nHINT:  None."),
            ("error", "1 error for X\nage\n  Input should be [type=int, input_value='hunter2', input_type=str]"),
            ("error", "failed\n[SQL: INSERT]\n[parameters: ('hunter2hunter2',)]\n(Background)"),
        ],
    )
    @pytest.mark.parametrize("is_json", [True, False])
    def test_no_secret_reaches_a_log(self, name: str, value: object, *, is_json: bool) -> None:
        stream = configured(is_json=is_json)
        ours().info("happened", **{name: value})

        assert "happened" in stream.getvalue()
        assert "***" in stream.getvalue()
        assert "hunter2" not in stream.getvalue()
        assert "eyJ" not in stream.getvalue()

    def test_none_reaches_it_through_an_exception_or_a_library(self) -> None:
        stream = configured()
        error = raised(OSError("no postgresql://ada:hunter2hunter2@db/name"))
        logging.getLogger("some.package").error("With %s", TOKEN, exc_info=error)

        assert "hunter2" not in stream.getvalue()
        assert TOKEN not in stream.getvalue()

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("tokens", 12),
            ("files", 3),
            ("context", "a menu"),
            ("has_secret", False),
            ("url", "http://host/a:b@c"),
            ("note", "the bearer"),
        ],
    )
    def test_what_only_looks_like_one_stays(self, name: str, value: object) -> None:
        stream = configured()
        ours().info("happened", **{name: value})

        assert only_line(stream)[name] == value
