"""What the README prints, for tests that run it."""

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def blocks(language: str, text: str | None = None) -> list[str]:
    """Read the blocks of code in a language, in order.

    Args:
        language: As it stands after the fence.
        text: A part of the README; all of it when None.
    """
    return re.findall(rf"```{language}\n(.*?)```", text or README.read_text(encoding="utf-8"), re.DOTALL)


def operations() -> dict[str, str]:
    """Read the documents of the journey by the names of their operations, in order."""
    journey = README.read_text(encoding="utf-8").split("<!-- journey -->")[1].split("<!-- /journey -->")[0]
    return {document.split()[1].split("(")[0]: document for document in blocks("graphql", journey)}


def commands() -> list[str]:
    """Read what a newcomer types into a shell, without the comments."""
    lines = "".join(blocks("sh")).splitlines()
    return [command for line in lines if (command := line.partition(" #")[0].strip())]


def settings() -> list[str]:
    """Read the names in the table of variables."""
    cells = re.findall(r"^\| (`[A-Z`, _]+`) \|", README.read_text(encoding="utf-8"), re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"[A-Z_]+", cell)]
