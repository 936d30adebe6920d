"""Reading JSON from people and agents: every fault is a problem with a place, none is an exception.

Stricter than the grammar, after I-JSON (RFC 7493): no name twice in an object, no number that a double can't hold
exactly or at all, no lone surrogate. What passes means the same to every reader, and can be written again.
"""

import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn

MAX_DEPTH = 64
"""Arrays and objects inside each other."""

MAX_PROBLEMS = 50
"""Problems that one reading reports."""

MAX_INTEGER = 2**53 - 1
"""The largest integer that every reader of JSON keeps exactly, as JavaScript does."""

_SHOWN_CHARACTERS = 60
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*+(?:\\.?[^"\\]*+)*+"?|[\[{]|[\]}]', re.DOTALL)
_INTEGER_DIGITS = 17


class JsonProblem(NamedTuple):
    """Something wrong with a JSON text.

    Attributes:
        code: What it is, for programs.
        message: What it is, for people; one sentence.
        pointer: Where it is: a JSON pointer (RFC 6901), empty for the whole text.
    """

    code: str
    message: str
    pointer: str = ""


class JsonText(NamedTuple):
    """What a JSON text says; the value counts only when there are no problems."""

    value: object
    problems: list[JsonProblem]


def read_json(content: str) -> JsonText:
    """Read a JSON text.

    Returns:
        Its value and what is wrong with it, at most `MAX_PROBLEMS`. Time is linear in the length.
    """
    if _is_too_deep(content):
        problem = JsonProblem("TOO_DEEP", f"Arrays and objects may be nested {MAX_DEPTH} deep at most.")
        return JsonText(None, [problem])
    reading = _Reading()
    try:
        value = json.loads(
            content, object_pairs_hook=reading.members, parse_int=_integer, parse_constant=_refuse_constant
        )
    except json.JSONDecodeError as error:
        message = f"This is not JSON: {error.msg}, at line {error.lineno}, column {error.colno}."
        return JsonText(None, [JsonProblem("INVALID_JSON", message)])
    except _ConstantError as error:
        return JsonText(None, [JsonProblem("INVALID_JSON", f"This is not JSON: {error} is not a number there.")])
    reading.visit(value)
    return JsonText(value, reading.problems)


def pointer_to(*tokens: str | int) -> str:
    """Write the JSON pointer to a member; very long names are cut."""
    return "".join(f"/{shown(str(token)).replace('~', '~0').replace('/', '~1')}" for token in tokens)


def shown(text: str) -> str:
    """Return the text as a message can carry it: not long, and valid Unicode."""
    cut = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
    return cut.encode(errors="replace").decode()


class _ConstantError(ValueError):
    """NaN or an infinity, which Python reads and JSON does not have."""


def _refuse_constant(name: str) -> NoReturn:
    raise _ConstantError(name)


def _integer(digits: str) -> int | float:
    # Python refuses to read thousands of digits, and takes quadratic time for hundreds of thousands.
    return int(digits) if len(digits) <= _INTEGER_DIGITS else math.inf


def _is_too_deep(content: str) -> bool:
    """Look at the brackets alone, because the parser of the standard library recurses."""
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(content):
        first = content[match.start()]
        if first in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif first != '"':
            depth -= 1
    return False


@dataclass(slots=True)
class _Reading:
    """Collects the problems of one text."""

    problems: list[JsonProblem] = field(default_factory=list)
    trail: list[str | int] = field(default_factory=list)
    # With the object itself, so that its id stays its own.
    repeated: dict[int, tuple[dict[str, object], list[str]]] = field(default_factory=dict)

    def members(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        """Make an object, and note which of its names are not the only ones."""
        members = dict(pairs)
        if len(members) < len(pairs):
            counts = Counter(name for name, _ in pairs)
            self.repeated[id(members)] = (members, [name for name, count in counts.items() if count > 1])
        return members

    def visit(self, value: object) -> None:
        """Walk through the value; recursion is bounded by `MAX_DEPTH`."""
        if len(self.problems) >= MAX_PROBLEMS:
            return
        if isinstance(value, dict):
            for name in self.repeated.get(id(value), (value, []))[1]:
                self._report("DUPLICATE_NAME", f'"{shown(name)}" occurs more than once in this object.', name)
            for name, member in value.items():
                self._check_text(name)
                self._step_into(name, member)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self._step_into(index, item)
        elif isinstance(value, str):
            self._check_text(value)
        elif isinstance(value, int) and abs(value) > MAX_INTEGER:
            self._report("NUMBER_OUT_OF_RANGE", f"A whole number is between -{MAX_INTEGER} and {MAX_INTEGER}.")
        elif isinstance(value, float) and not math.isfinite(value):
            self._report("NUMBER_OUT_OF_RANGE", "This number is too large.")

    def _step_into(self, token: str | int, value: object) -> None:
        self.trail.append(token)
        self.visit(value)
        self.trail.pop()

    def _check_text(self, text: str) -> None:
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                self._report("LONE_SURROGATE", "This text has half of a surrogate pair, which is not a character.")

    def _report(self, code: str, message: str, *further: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(JsonProblem(code, message, pointer_to(*self.trail, *further)))
