"""What reads the selected fields of an object, made once for a selection instead of found out for each object.

A reader gives exactly what graphql-core would, or raises `Surprise`: then graphql-core is asked. So a reader never has
to know how an error is reported, and what it does not understand costs time and nothing else.

Readers are closures. Compiled source text would read in 1.6 µs what they read in 2.7; but nothing can be injected into
a closure, and an event is read once, however many clients it goes to.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from functools import partial
from math import isfinite
from operator import attrgetter
from typing import Any
from uuid import UUID

from graphql import (
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLFloat,
    GraphQLID,
    GraphQLInt,
    GraphQLInterfaceType,
    GraphQLLeafType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
    GraphQLString,
    Undefined,
    is_leaf_type,
)
from graphql.execution import Executor
from graphql.execution.collect_fields import FieldDetailsList, collect_subfields
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.cast import TYPE_CAST_ATTRIBUTE
from strawberry.types.field import StrawberryField

Reader = Callable[[Any], Any]

_DEFINITION = "strawberry-definition"
_DIRECTIVES = {"skip", "include"}
_MIN_INT, _MAX_INT = -(2**31), 2**31 - 1
_VALUES = {str, int, float, bool, dict, list, tuple, datetime, UUID}
"""What scalars are made of; graphql-core finds out whether anything else is awaited, raised or written."""


class Surprise(Exception):
    """An object is not what was expected, or a selection holds more than attributes."""


class Readers:
    """Makes the readers of one operation.

    Args:
        executor: Of the operation.
    """

    def __init__(self, executor: Executor[Any]) -> None:
        # Not the executor itself: readers outlive it, and it holds a caller's context.
        self._schema = executor.schema
        self._collect = partial(
            collect_subfields, executor.schema, executor.fragments, executor.variable_values, executor.operation
        )

    def reader(self, type_: GraphQLOutputType, details: FieldDetailsList) -> Reader:
        """Make the reader of a field's value.

        Raises:
            Surprise: When something in the selection is no plain attribute.
        """
        if isinstance(type_, GraphQLNonNull):
            return self._some(type_.of_type, details)
        return _nullable(self._some(type_, details))

    def _some(self, type_: GraphQLOutputType, details: FieldDetailsList) -> Reader:
        """Make a reader that None surprises."""
        if isinstance(type_, GraphQLList):
            return _items(self.reader(type_.of_type, details))
        if isinstance(type_, GraphQLObjectType):
            return self._object(type_, details)
        if isinstance(type_, GraphQLInterfaceType):
            return self._implementation(type_, details)
        if is_leaf_type(type_):
            return _leaf(type_)
        raise Surprise(f"{type_} is of a kind that is not planned for.")

    def _implementation(self, interface: GraphQLInterfaceType, details: FieldDetailsList) -> Reader:
        """Make a reader that chooses by class; the readers of the classes are made when the first of each comes."""
        definition = interface.extensions.get(_DEFINITION)
        if not isinstance(definition, StrawberryObjectDefinition) or definition.resolve_type is not None:
            raise Surprise(f"{interface} chooses its types in its own way.")
        types = {_origin(type_): type_ for type_ in self._schema.get_possible_types(interface)}
        readers: dict[type, Reader] = {}

        def read(value: object) -> object:
            class_ = value.__class__
            reader = readers.get(class_)
            if reader is None:
                reader = readers[class_] = self._object_or_refusal(types.get(class_), details)
            return reader(value)

        return read

    def _object_or_refusal(self, type_: GraphQLObjectType | None, details: FieldDetailsList) -> Reader:
        try:
            return _refuse if type_ is None else self._object(type_, details)
        except Surprise:
            return _refuse

    def _object(self, type_: GraphQLObjectType, details: FieldDetailsList) -> Reader:
        origin = _origin(type_)
        if origin is None:
            raise Surprise(f"{type_} is not made of one class.")
        selection = self._collect(type_, details)
        if selection.new_defer_usages:
            raise Surprise(f"A part of {type_} is deferred.")
        constants: dict[str, object] = {}
        attributes: list[str] = []
        readers: list[tuple[str, Reader]] = []
        for key, fields in selection.grouped_field_set.items():
            constants[key] = None  # keeps the order in which the fields were selected
            if fields[0].node.name.value == "__typename":
                _check_directives(fields)
                constants[key] = type_.name
            else:
                attribute, reader = self._attribute(type_, fields)
                attributes.append(attribute)
                readers.append((key, reader))
        return _object(origin, constants, attributes, readers)

    def _attribute(self, type_: GraphQLObjectType, fields: FieldDetailsList) -> tuple[str, Reader]:
        """Give the name of the attribute that a field shows, and the reader of its value."""
        _check_directives(fields)
        field = type_.fields.get(fields[0].node.name.value)
        definition = field.extensions.get(_DEFINITION) if field is not None else None
        if field is None or not isinstance(definition, StrawberryField):
            raise Surprise(f"{type_} has a field that is not Strawberry's.")
        is_attribute = definition.is_basic_field and definition.default_resolver is getattr
        if not is_attribute or field.args or not getattr(field.resolve, "_is_default", False):
            raise Surprise(f"{type_}.{definition.python_name} has a resolver.")
        return definition.python_name, self.reader(field.type, fields)


def _origin(type_: GraphQLObjectType) -> type | None:
    """Give the class whose instances a type shows; None when that is not decided by their class alone."""
    definition = type_.extensions.get(_DEFINITION)
    if not isinstance(definition, StrawberryObjectDefinition):
        return None
    # Strawberry derives `is_type_of` of the class, unless the class brings its own.
    is_plain = definition.is_type_of is None and not definition.is_graphql_generic and definition.concrete_of is None
    return definition.origin if is_plain else None


def _check_directives(fields: FieldDetailsList) -> None:
    names = {directive.name.value for field in fields for directive in field.node.directives or ()}
    if not names <= _DIRECTIVES:
        raise Surprise("A field carries a directive that may change it.")


def _object(
    origin: type, constants: Mapping[str, object], attributes: list[str], fields: list[tuple[str, Reader]]
) -> Reader:
    one = attrgetter(*attributes) if attributes else None
    values_of: Callable[[object], tuple[object, ...]] = (
        (lambda _: ()) if one is None else one if len(attributes) > 1 else lambda value: (one(value),)
    )
    readers = tuple(fields)
    shape = dict(constants)

    def read(value: object) -> dict[str, object]:
        if value.__class__ is not origin or getattr(value, TYPE_CAST_ATTRIBUTE, None) is not None:
            raise Surprise
        result = shape.copy()
        for (key, reader), attribute in zip(readers, values_of(value), strict=True):
            result[key] = reader(attribute)
        return result

    return read


def _nullable(some: Reader) -> Reader:
    def read(value: object) -> object:
        return None if value is None else some(value)

    return read


def _items(item: Reader) -> Reader:
    def read(value: object) -> list[object]:
        if type(value) is not list and type(value) is not tuple:
            raise Surprise
        return [item(each) for each in value]

    return read


def _refuse(_value: object) -> object:
    raise Surprise


def _leaf(type_: GraphQLLeafType) -> Reader:
    if isinstance(type_, GraphQLEnumType):
        return _enum(type_)
    if type_ is GraphQLString or type_ is GraphQLID:
        return _exactly(str)
    if type_ is GraphQLBoolean:
        return _exactly(bool)
    if type_ is GraphQLInt:
        return _int
    if type_ is GraphQLFloat:
        return _float
    return _scalar(type_)


def _exactly(class_: type) -> Reader:
    def read(value: object) -> object:
        if value.__class__ is not class_:
            raise Surprise
        return value

    return read


def _int(value: object) -> int:
    if type(value) is not int or not _MIN_INT <= value <= _MAX_INT:
        raise Surprise
    return value


def _float(value: object) -> float:
    if type(value) is not float or not isfinite(value):
        raise Surprise
    return value


def _enum(type_: GraphQLEnumType) -> Reader:
    class_ = getattr(type_, "wrapped_cls", None)
    if not isinstance(class_, type) or not issubclass(class_, Enum):
        raise Surprise(f"{type_} is not made of an enumeration.")
    names: dict[object, str] = {member: type_.coerce_output_value(member) for member in class_}

    def read(value: object) -> object:
        if value.__class__ is not class_:
            raise Surprise
        return names[value]

    return read


def _scalar(type_: GraphQLScalarType) -> Reader:
    """Make the reader of a scalar with functions of its own, which may take anything and give anything."""
    serialize = type_.coerce_output_value
    if serialize is None:
        raise Surprise(f"{type_} can't be written.")

    def read(value: object) -> object:
        if value.__class__ not in _VALUES:
            raise Surprise
        result = serialize(value)
        if result is None or result is Undefined:
            raise Surprise
        return result

    return read
