"""What `orchestrator dev` says once it listens."""

import shutil
import sys
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.text import Text

DEFAULT_URL = "http://127.0.0.1:8080"
"""Where the demo looks for a server unless it is told."""

_FIRST_QUERY = "{ viewer { name } workflows { totalCount } }"


def show(console: Console, *, url: str, account: tuple[str, str], data: str, is_open: bool) -> None:
    """Say where everything is, and what to do next.

    Args:
        console: Where to.
        url: Of the server, without a path.
        account: Address and password of the demo account.
        data: Where data is kept, without secrets.
        is_open: Whether other machines can reach the server.
    """
    rows = [
        ("GraphiQL", f"{url}/graphql", "cyan"),
        ("Schema", f"{url}/schema.graphql", "cyan"),
        ("Health", f"{url}/health  {url}/ready", "cyan"),
        ("Account", f"{account[0]}  password {account[1]}", ""),
        ("Data", data, ""),
        ("A query", _FIRST_QUERY, ""),
        ("Next", "open GraphiQL, which is signed in already,", ""),
        ("", f"or in another terminal: {_command()} demo{'' if url == DEFAULT_URL else f' --url {url}'}", ""),
    ]
    lines = [Text(f"orchestrator {version('ide-orchestrator')} is ready", style="bold green")]
    lines += [Text.assemble((f"  {name:10}", "dim"), (value, style)) for name, value, style in rows]
    if is_open:
        lines.append(Text("  Whoever reaches this address can use the demo account.", style="yellow"))
    lines.append(Text("  Ctrl-C stops it; the data stays.", style="dim"))
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)


def _command() -> str:
    """Find what to type: an environment that is not activated is not on the PATH."""
    if shutil.which("orchestrator"):
        return "orchestrator"
    found, here = Path(sys.executable).with_name("orchestrator"), Path.cwd()
    return str(found.relative_to(here) if found.is_relative_to(here) else found)
