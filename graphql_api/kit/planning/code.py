"""Functions that read objects, written as source text and compiled: what is known beforehand is not asked again.

Nothing that a client sent is part of the text. It consists of templates, of numbered names, and of attribute names that
are Python's; keys, classes and functions are handed over as values.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from strawberry.types.cast import TYPE_CAST_ATTRIBUTE

Later = Mapping[Any, list[tuple[object, dict[str, Any]]]]
"""What is not read yet: for each step of a plan, the objects that it goes on from, and where their JSON is."""

NOTHING_LATER: Later = MappingProxyType({})
"""Where there are no steps."""

Reader = Callable[[Any, Later], Any]
"""Reads a value; objects whose fields have resolvers are noted as well."""

_OBJECT = """
def read(value, later):
    if value.__class__ is not class_ or getattr(value, cast, None) is not None:
        raise Surprise
{assignments}
    if {surprises}:
        raise Surprise
    shown = {{{items}}}
{steps}
    return shown
"""


_CALL = "{n}read({v}, later)"


class Surprise(Exception):
    """An object is not what was expected, or a selection holds more than attributes."""


@dataclass(frozen=True, slots=True)
class Code:
    """How a value is read.

    Attributes:
        result: Expression of what it becomes; `{v}` stands for the value, `{n}` begins the names that it uses.
        check: Expression that is true unless the value is a surprise.
        names: What the expressions use.
    """

    result: str = "{v}"
    check: str = "True"
    names: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def call(cls, reader: Reader) -> "Code":
        """Read by calling a function, which raises `Surprise` itself."""
        return cls(_CALL, names={"read": reader})

    @classmethod
    def exactly(cls, class_: type, also: str = "True") -> "Code":
        """Take values of one class, and of no other, as they are.

        Args:
            class_: The class.
            also: Expression that is true for the values of the class that are taken.
        """
        return cls(check=f"({{v}}.__class__ is {{n}}class and {also})", names={"class": class_})

    def or_none(self) -> "Code":
        """Read None as None."""
        result = self.result if self.result == "{v}" else f"(None if {{v}} is None else {self.result})"
        check = self.check if self.check == "True" else f"({{v}} is None or {self.check})"
        return Code(result, check, self.names)

    def reader(self) -> Reader:
        """Make a function of it, unless it is the call of one."""
        if self.result == _CALL and self.check == "True":
            reader: Reader = self.names["read"]  # type: ignore[assignment]  # see `call`
            return reader
        names = {f"n_{name}": value for name, value in self.names.items()}
        result, check = (each.format(v="value", n="n_") for each in (self.result, self.check))
        return _compiled(
            f"def read(value, later):\n    if not ({check}):\n        raise Surprise\n    return {result}", names
        )


@dataclass(frozen=True, slots=True)
class Shown:
    """A field of an object's JSON.

    Attributes:
        key: In the JSON.
        attribute: Of the object; None for what all objects of the class have in common.
        code: How the attribute is read.
        constant: What all objects of the class have in common.
        step: What finds the value later, when it is no attribute.
    """

    key: str
    attribute: str | None
    code: Code = field(default_factory=Code)
    constant: object = None
    step: object = None


def object_reader(class_: type, fields: list[Shown]) -> Reader:
    """Make the reader of objects of one class, and of no other; it gives their fields in this order."""
    names: dict[str, object] = {"class_": class_, "cast": TYPE_CAST_ATTRIBUTE}
    assignments, checks, items, steps = [], [], [], []
    for number, shown in enumerate(fields):
        value, prefix = f"v{number}", f"n{number}_"
        names[f"k{number}"] = shown.key
        if shown.attribute is None:
            names[value] = shown.constant
            items.append(f"k{number}: {value}")
            if shown.step is not None:
                names[f"s{number}"] = shown.step
                steps.append(f"    later[s{number}].append((value, shown))")
            continue
        if not shown.attribute.isidentifier():
            raise Surprise(f"{shown.attribute} is no attribute.")
        names |= {prefix + name: used for name, used in shown.code.names.items()}
        assignments.append(f"    {value} = value.{shown.attribute}")
        checks.append(shown.code.check.format(v=value, n=prefix))
        items.append(f"k{number}: {shown.code.result.format(v=value, n=prefix)}")
    needed = [check for check in checks if check != "True"]
    text = _OBJECT.format(
        assignments="\n".join(assignments),
        surprises=f"not ({' and '.join(needed)})" if needed else "False",
        items=", ".join(items),
        steps="\n".join(steps),
    )
    return _compiled(text, names)


def _compiled(text: str, names: Mapping[str, object]) -> Reader:
    space = {"Surprise": Surprise, **names}
    exec(compile(text, "<plan>", "exec"), space)  # noqa: S102 - see the top: nothing of it comes from a client
    reader: Reader = space["read"]  # type: ignore[assignment]  # it was just defined there
    return reader
