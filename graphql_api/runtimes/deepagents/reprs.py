"""Reading what Python's `repr` wrote of messages, without ever evaluating it."""

import ast
import math
import re
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

MAX_LENGTH = 1024 * 1024
"""Characters of one text that are read."""

MAX_DEPTH = 40
"""Nesting of calls, lists and dictionaries that is read."""

MAX_PARTS = 100_000
"""Commas and brackets in one text that is read, in strings too: reading takes half a second for as many."""

_MAX_SHARED_LENGTH = 4096
_CONTENT_FIRST = re.compile(
    r"""(\w+)\(content=('(?:[^'\\\n\r\0]|\\.)*'|"(?:[^"\\\n\r\0]|\\.)*"), (\w+=.*)""", re.DOTALL
)
_FILENAME = "<repr of a runtime>"
_FLOATS = {"nan": None, "inf": math.inf}

# A text that is not Python's own may have escapes that Python warns of; nobody here could mend it.
warnings.filterwarnings("ignore", module=_FILENAME)


class UnreadableRepr(ValueError):
    """A text is no `repr` of plain values and constructor calls, or too large a one."""


def read_repr(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Read a text as JSON values.

    Args:
        text: Literals, lists, tuples, sets, dictionaries, and calls of constructors.

    Returns:
        The value; tuples and sets are lists, and a call is an object of its keyword arguments, with the constructor's
        name as `type` and positional arguments as `arguments`.

    Raises:
        UnreadableRepr: When it is anything else, or larger than the limits above.
    """
    if len(text) > MAX_LENGTH or sum(map(text.count, ",([{")) > MAX_PARTS:
        raise UnreadableRepr(f"It is too large, with {len(text)} characters.")
    try:
        tree = ast.parse(text.strip(), _FILENAME, "eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UnreadableRepr("It is no Python expression.") from error
    return _value(tree.body, 0)


def read_chunk(text: str) -> list[Any]:
    """Read what LangGraph streams of a message: a piece of it and what is known of its origin.

    All but the content is the same for all pieces of a message, and most of the text, so it is read once for all.

    Args:
        text: Of a tuple, or of a message alone.

    Returns:
        One or two values, which nobody may change: they are shared.

    Raises:
        UnreadableRepr: When it is neither.
    """
    message, comma, origin = text.rpartition("), {")
    if comma and text.startswith("(") and text.endswith(")") and len(origin) <= _MAX_SHARED_LENGTH:
        try:
            return [_read_message(f"{message[1:]})"), _read_shared(f"{{{origin[:-1]}")]
        except UnreadableRepr:
            pass  # what looked like the border was something else
    value = read_repr(text)
    return value if isinstance(value, list) else [value]


def _read_message(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Read a message; what stands behind its content is the same in many pieces, and read once for all of them."""
    match = _CONTENT_FIRST.match(text)
    if match is None or len(text) > _MAX_SHARED_LENGTH:
        return read_repr(text)
    name, content, rest = match.groups()
    return {"content": read_repr(content) if "\\" in content else content[1:-1], **_read_shared(f"{name}({rest}")}


@lru_cache(maxsize=1024)
def _read_shared(text: str) -> Any:  # noqa: ANN401 - any JSON value
    return read_repr(text)


def _value(node: ast.expr, depth: int) -> Any:  # noqa: ANN401 - any JSON value
    if depth > MAX_DEPTH:
        raise UnreadableRepr(f"It is nested deeper than {MAX_DEPTH} levels.")
    read = _READERS.get(type(node))
    if read is None:
        raise UnreadableRepr(f"It has {type(node).__name__} in it.")
    return read(node, depth + 1)


def _constant(node: ast.Constant, _depth: int) -> Any:  # noqa: ANN401 - any JSON value
    if node.value is None or isinstance(node.value, str | int | float):
        return node.value
    return node.value.decode(errors="replace") if isinstance(node.value, bytes) else repr(node.value)


def _items(node: ast.List | ast.Tuple | ast.Set, depth: int) -> list[Any]:
    return [_value(item, depth) for item in node.elts]


def _dictionary(node: ast.Dict, depth: int) -> dict[str, Any]:
    entries = {}
    for key, value in zip(node.keys, node.values, strict=True):
        if key is None:
            raise UnreadableRepr("It has ** in it.")
        entries[str(_value(key, depth))] = _value(value, depth)
    return entries


def _call(node: ast.Call, depth: int) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if node.args:
        fields["arguments"] = [_value(argument, depth) for argument in node.args]
    for keyword in node.keywords:
        if keyword.arg is None:
            raise UnreadableRepr("It has ** in it.")
        fields[keyword.arg] = _value(keyword.value, depth)
    return {**fields, "type": _name(node.func)}


def _name(node: ast.expr) -> str:
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        raise UnreadableRepr("It calls something without a name.")
    return ".".join([node.id, *reversed(names)])


def _word(node: ast.Name | ast.Attribute, _depth: int) -> float | str | None:
    name = _name(node)
    return _FLOATS.get(name, name)


def _signed(node: ast.UnaryOp, depth: int) -> float:
    value = _value(node.operand, depth)
    if not isinstance(node.op, ast.USub | ast.UAdd) or isinstance(value, bool) or not isinstance(value, int | float):
        raise UnreadableRepr("It has an operator in it.")
    return -value if isinstance(node.op, ast.USub) else value


_READERS: Mapping[type[ast.expr], Callable[[Any, int], Any]] = {
    ast.Constant: _constant,
    ast.List: _items,
    ast.Tuple: _items,
    ast.Set: _items,
    ast.Dict: _dictionary,
    ast.Call: _call,
    ast.Name: _word,
    ast.Attribute: _word,
    ast.UnaryOp: _signed,
}
