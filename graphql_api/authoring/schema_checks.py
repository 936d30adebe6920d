"""Checking values against a JSON Schema, with messages for people."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator

from graphql_api.authoring.strict_json import MAX_PROBLEMS, shown

_TYPE_NAMES = {
    "object": "an object",
    "array": "a list",
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
}


class SchemaProblem(NamedTuple):
    """A value that its schema does not allow.

    Attributes:
        tokens: The way to the value: names and positions.
        message: What is wrong with it; one sentence.
    """

    tokens: tuple[str | int, ...]
    message: str


class BrokenRule(NamedTuple):
    """One rule of a schema that a value breaks: the keyword's value, the value, the schema around the keyword."""

    rule: Any
    instance: Any
    schema: Any


def schema_problems(
    validator: Draft202012Validator, value: object, *, limit: int = MAX_PROBLEMS
) -> list[SchemaProblem]:
    """List what a schema does not allow in a value, in the order of the schema's keywords.

    Lists are looked through to their ends, at some microseconds an item, unless there are `limit` problems before:
    bound their length first.
    """
    return list(islice(_problems(validator, value), limit))


def _problems(validator: Draft202012Validator, value: object) -> Iterator[SchemaProblem]:
    last: SchemaProblem | None = None
    for error in validator.iter_errors(value):
        broken = BrokenRule(error.validator_value, error.instance, error.schema)
        problem = SchemaProblem(tuple(error.absolute_path), MESSAGES[str(error.validator)](broken))
        # Each of several missing members is an error of its own; one message names them all.
        if problem != last:
            yield problem
        last = problem


def _type(broken: BrokenRule) -> str:
    expected = [broken.rule] if isinstance(broken.rule, str) else broken.rule
    is_type = Draft202012Validator.TYPE_CHECKER.is_type
    actual = next(label for name, label in _TYPE_NAMES.items() if is_type(broken.instance, name))
    return f"This must be {' or '.join(_TYPE_NAMES[name] for name in expected)}, not {actual}."


def _required(broken: BrokenRule) -> str:
    return f"Missing here: {_quoted(name for name in broken.rule if name not in broken.instance)}."


def _any_of(broken: BrokenRule) -> str:
    first, *others = (name for branch in broken.rule for name in branch["required"])
    return f"Missing here: {_quoted([first])} (or {_quoted(others)})."


def _additional_properties(broken: BrokenRule) -> str:
    known = broken.schema["properties"]
    unknown = (name for name in broken.instance if name not in known)
    return f"There is no {_quoted(islice(unknown, 1))} here. There are {_quoted(known)}."


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{shown(name)}"' for name in names)


MESSAGES: Mapping[str, Callable[[BrokenRule], str]] = {
    "type": _type,
    "required": _required,
    "anyOf": _any_of,
    "additionalProperties": _additional_properties,
    "minLength": lambda _: "This must not be empty.",
    "minItems": lambda _: "This must not be empty.",
    "maxLength": lambda broken: f"This has at most {broken.rule} characters.",
    "maxItems": lambda broken: f"This has at most {broken.rule} items.",
    "minimum": lambda broken: f"This is at least {broken.rule}.",
    "maximum": lambda broken: f"This is at most {broken.rule}.",
    "pattern": lambda broken: f"This does not have the form {broken.rule}.",
}
"""How to say that a keyword's rule is broken. Our schemas use no other keywords; `anyOf` only to require one of some
names."""
