"""Ready-made sets of files to start a workflow from.

A template is a folder of `template_files`: `template.json` says what it is, `files` holds what a workflow gets.
`{{name}}` stands for a value of the customization. What mentions `{{specialist_…}}` is there once for each specialist:
a file by its path, a line of text, an item of a JSON list (further lists in it aside). A JSON text that is nothing but
`{{name}}` becomes the value itself, number or list. Values are put in once and never read again, so nothing in them is
a placeholder.
"""

import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any
from uuid import UUID, uuid5

from jsonschema import Draft202012Validator

from graphql_api.authoring.definitions import DEFINITION_PATH, Definition, parse
from graphql_api.authoring.schema_checks import schema_problems
from graphql_api.kit.errors import Invalid

_SLUGS = ("single-agent", "multi-agent")
_NAMESPACE = UUID("5b0b7a4e-3f0c-4c57-9d55-2f7f5d5c9a10")
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
_MAX_STEM_CHARACTERS = 60

_Values = Mapping[str, Any]
_INPUT_PATH = ("input", "customization")


@dataclass(frozen=True, slots=True)
class Template:
    """A set of files to start from.

    Attributes:
        id: The same for ever, made from the slug.
        slug: Its name in URLs and inputs.
        name: Its name for people.
        description: What one gets, in a sentence.
        version: Semantic version of its files.
        tags: What to find it by.
        use_cases: What it is good for.
        customization_schema: JSON Schema (draft 2020-12) of what `render` takes; every property has a default.
        files: The files with their placeholders, by path.
    """

    id: UUID
    slug: str
    name: str
    description: str
    version: str
    tags: tuple[str, ...]
    use_cases: tuple[str, ...]
    customization_schema: Mapping[str, Any]
    files: Mapping[str, str]

    @property
    def definition(self) -> Definition:
        """The graph of agents that the template gives when nothing is customized."""
        definition = parse(self.render()[DEFINITION_PATH])
        if definition is None:
            raise ValueError(f"The template {self.slug} has no readable {DEFINITION_PATH}.")
        return definition

    def render(self, customization: Mapping[str, object] | None = None) -> dict[str, str]:
        """Fill in the values of a customization.

        Args:
            customization: What `customization_schema` allows; defaults stand for what it leaves out.

        Returns:
            The content of each file, by path.

        Raises:
            Invalid: When the schema does not allow the customization, or one of its texts has nothing to read.
        """
        given = {} if customization is None else customization
        for problem in schema_problems(Draft202012Validator(self.customization_schema), given, limit=1):
            raise Invalid(problem.message, path=[*_INPUT_PATH, *map(str, problem.tokens)])
        defaults = {name: rule["default"] for name, rule in self.customization_schema["properties"].items()}
        chosen = _readable({**defaults, **given}, _INPUT_PATH)
        return _Filling(*_values(chosen)).files(self.files)


def all_templates() -> list[Template]:
    """List the templates, the simplest first."""
    return list(_templates())


def find(slug: str) -> Template | None:
    """Return the template of that slug."""
    return next((template for template in _templates() if template.slug == slug), None)


def find_by_id(template_id: UUID) -> Template | None:
    """Return the template of that id."""
    return next((template for template in _templates() if template.id == template_id), None)


@cache
def _templates() -> tuple[Template, ...]:
    folder = files(__package__).joinpath("template_files")
    return tuple(_loaded(slug, folder.joinpath(slug)) for slug in _SLUGS)


def _loaded(slug: str, folder: Traversable) -> Template:
    about = json.loads(folder.joinpath("template.json").read_text(encoding="utf-8"))
    return Template(
        id=uuid5(_NAMESPACE, slug),
        slug=slug,
        name=about["name"],
        description=about["description"],
        version=about["version"],
        tags=tuple(about["tags"]),
        use_cases=tuple(about["use_cases"]),
        customization_schema=about["customization_schema"],
        files=dict(sorted(_texts(folder.joinpath("files"), ""))),
    )


def _texts(folder: Traversable, prefix: str) -> Iterable[tuple[str, str]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _texts(entry, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry.read_text(encoding="utf-8")


def _readable(value: Any, path: Sequence[str]) -> Any:  # noqa: ANN401  # JSON that the schema has checked
    """Bring every text to one line without control characters, so that it can't end the line or text around it."""
    if isinstance(value, dict):
        return {name: _readable(member, [*path, name]) for name, member in value.items()}
    if isinstance(value, list):
        return [_readable(item, [*path, str(index)]) for index, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise Invalid("This must be a finite number.", path=path)
    if not isinstance(value, str):
        return value
    printable = "".join(" " if unicodedata.category(character) in {"Cc", "Cs"} else character for character in value)
    line = " ".join(unicodedata.normalize("NFC", printable).split())
    if not line:
        raise Invalid("This must not be blank.", path=path)
    return line


def _values(chosen: _Values) -> tuple[_Values, list[_Values]]:
    """Return the values of the whole template, and those of each specialist."""
    taken = {"orchestrator"} if "specialists" in chosen else set()
    file, key = ("Orchestrator", "orchestrator") if taken else _named(chosen["agent_name"], taken)
    provider, _, model_name = chosen["model"].partition(":")
    common = {
        **chosen,
        "agent_file": file,
        "agent_key": key,
        "model_provider": provider,
        "model_name": model_name,
    }
    specialists: list[_Values] = []
    for specialist in chosen.get("specialists", ()):
        file, key = _named(specialist["name"], taken)
        own = {**specialist, "file": file, "key": key}
        specialists.append({**common, **{f"specialist_{name}": value for name, value in own.items()}})
    return common, specialists


def _named(name: str, taken: set[str]) -> tuple[str, str]:
    """Make a file name and a key from a name for people, neither of them taken, in any case of letters."""
    stem = re.sub(r"\W+", "-", name)[:_MAX_STEM_CHARACTERS].strip("-_") or "Agent"
    candidate, count = stem, 1
    while candidate.casefold() in taken:
        count += 1
        candidate = f"{stem}-{count}"
    taken.add(candidate.casefold())
    return candidate, candidate.casefold()


def _mentions_specialist(value: object) -> bool:
    """Look for a specialist's placeholder, but not in further lists: their items are repeated on their own."""
    if isinstance(value, dict):
        return any(_mentions_specialist(member) for member in value.values())
    return isinstance(value, str) and "{{specialist_" in value


@dataclass(frozen=True, slots=True)
class _Filling:
    """Puts values in the place of their names."""

    values: _Values
    specialists: Sequence[_Values]

    def files(self, texts: Mapping[str, str]) -> dict[str, str]:
        return {
            filling.line(path): filling.json(text) if path.endswith(".json") else filling.text(text)
            for path, text in texts.items()
            for filling in self._for_each(path)
        }

    def text(self, text: str) -> str:
        lines = text.splitlines(keepends=True)
        return "".join(filling.line(line) for line in lines for filling in self._for_each(line))

    def json(self, text: str) -> str:
        return json.dumps(self.value(json.loads(text)), indent=2, ensure_ascii=False) + "\n"

    def line(self, text: str) -> str:
        return _PLACEHOLDER.sub(lambda match: str(self.values[match[1]]), text)

    def value(self, value: Any) -> Any:  # noqa: ANN401  # any JSON
        if isinstance(value, dict):
            return {name: self.value(member) for name, member in value.items()}
        if isinstance(value, list):
            return [filling.value(item) for item in value for filling in self._for_each(item)]
        if not isinstance(value, str):
            return value
        whole = _PLACEHOLDER.fullmatch(value)
        return self.line(value) if whole is None else self.values[whole[1]]

    def _for_each(self, value: object) -> Iterable["_Filling"]:
        if _mentions_specialist(value):
            return [_Filling(values, [values]) for values in self.specialists]
        return [self]
