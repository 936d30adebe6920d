import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from support.commands import SETTINGS, Invoke, Running, running

from graphql_api.kit import embedded_postgres

READY = "Ctrl-C stops it"


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Invoke:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return Invoke(monkeypatch, capsys)


@pytest.fixture(autouse=True)
def same_logging() -> Iterator[None]:
    """Commands set logging up for their whole process, which here is pytest's."""
    root, ours = logging.getLogger(), logging.getLogger("graphql_api")
    before = [*root.handlers], root.level, ours.level, structlog.get_config()
    yield
    root.handlers, root.level, ours.level, configuration = before
    structlog.configure(**configuration)
    logging.captureWarnings(capture=False)


@pytest.fixture(scope="session")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The one `orchestrator dev` that tests share."""
    home = tmp_path_factory.mktemp("dev") / "home"
    with running("dev", "--no-demo-data", "--port", "0", home=home, until=READY) as command:
        yield command
        command.stop()
    embedded_postgres.remove(home)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """The home of commands, which do not find one there yet."""
    home = tmp_path / "home"
    yield home
    if home.is_dir():
        embedded_postgres.remove(home)
