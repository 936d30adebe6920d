"""What reads the selected fields of an object, made once for a selection instead of found out for each object.

A reader gives exactly what graphql-core would, or raises `Surprise`: then graphql-core is asked. So a reader never has
to know how an error is reported, and what it does not understand costs time and nothing else.
"""

from datetime import UTC, datetime
from enum import Enum
from math import isfinite
from typing import Any
from uuid import UUID
from weakref import ref

from graphql import (
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLField,
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
from graphql.execution.values import VariableValues
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.field import StrawberryField

from graphql_api.kit.planning.code import Code, Later, Reader, Shown, Surprise, object_reader

_DEFINITION = "strawberry-definition"
_DIRECTIVES = {"skip", "include"}
_VALUES = {str, int, float, bool, dict, list, tuple, datetime, UUID}
"""What scalars are made of; graphql-core finds out whether anything else is awaited, raised or written."""


class Readers:
    """Makes the readers of one operation.

    Args:
        executor: Of the operation.
    """

    moment = "{v}"
    """Expression of what a moment in UTC becomes: it is left to what writes JSON, unless somebody sees it before."""

    def __init__(self, executor: Executor[Any]) -> None:
        # Not the executor itself: readers outlive it, and it holds a caller's context. Nor the operation: whoever runs
        # it holds it, and its end is what ends the plan.
        self._schema = executor.schema
        self._fragments, self._variables = executor.fragments, deciding(executor.variable_values)
        self._operation = ref(executor.operation)

    def reader(self, type_: GraphQLOutputType, details: FieldDetailsList) -> Reader:
        """Make the reader of a field's value.

        Raises:
            Surprise: When something in the selection is no plain attribute.
        """
        return self._code(type_, details).reader()

    def _code(self, type_: GraphQLOutputType, details: FieldDetailsList) -> Code:
        if isinstance(type_, GraphQLNonNull):
            return self._some(type_.of_type, details)
        return self._some(type_, details).or_none()

    def _some(self, type_: GraphQLOutputType, details: FieldDetailsList) -> Code:
        """Tell how to read what is not None; None is a surprise."""
        if isinstance(type_, GraphQLList):
            return Code.call(_items(self.reader(type_.of_type, details)))
        if isinstance(type_, GraphQLObjectType):
            return Code.call(self._object(type_, details))
        if isinstance(type_, GraphQLInterfaceType):
            return Code.call(self._implementation(type_, details))
        if is_leaf_type(type_):
            return _leaf(type_, self.moment)
        raise Surprise(f"{type_} is of a kind that is not planned for.")

    def _implementation(self, interface: GraphQLInterfaceType, details: FieldDetailsList) -> Reader:
        """Make a reader that chooses by class; the readers of the classes are made when the first of each comes."""
        definition = interface.extensions.get(_DEFINITION)
        if not isinstance(definition, StrawberryObjectDefinition) or definition.resolve_type is not None:
            raise Surprise(f"{interface} chooses its types in its own way.")
        types = {_origin(type_): type_ for type_ in self._schema.get_possible_types(interface)}
        readers: dict[type, Reader] = {}

        def read(value: object, later: Later) -> object:
            class_ = value.__class__
            reader = readers.get(class_)
            if reader is None:
                reader = readers[class_] = self._object_or_refusal(types.get(class_), details)
            return reader(value, later)

        return read

    def _object_or_refusal(self, type_: GraphQLObjectType | None, details: FieldDetailsList) -> Reader:
        try:
            return _refuse if type_ is None else self._object(type_, details)
        except Exception:  # noqa: BLE001 - whatever it is, graphql-core meets it too, and reports it as it should
            return _refuse

    def _object(self, type_: GraphQLObjectType, details: FieldDetailsList) -> Reader:
        origin = _origin(type_)
        if origin is None:
            raise Surprise(f"{type_} is not made of one class.")
        operation = self._operation()
        if operation is None:
            raise Surprise("The operation is gone.")
        selection = collect_subfields(self._schema, self._fragments, self._variables, operation, type_, details)
        if selection.new_defer_usages:
            raise Surprise(f"A part of {type_} is deferred.")
        shown = [self._field(type_, key, fields) for key, fields in selection.grouped_field_set.items()]
        return object_reader(origin, shown)

    def _field(self, type_: GraphQLObjectType, key: str, fields: FieldDetailsList) -> Shown:
        """Tell where a field of the JSON comes from."""
        _check_directives(fields)
        name = fields[0].node.name.value
        if name == "__typename":
            return Shown(key, None, constant=type_.name)
        field = type_.fields.get(name)
        definition = field.extensions.get(_DEFINITION) if field is not None else None
        if field is None or not isinstance(definition, StrawberryField):
            raise Surprise(f"{type_} has a field that is not Strawberry's.")
        is_attribute = definition.is_basic_field and definition.default_resolver is getattr
        if not is_attribute or field.args or not getattr(field.resolve, "_is_default", False):
            return self._resolved(type_, key, fields, field, definition)
        return Shown(key, definition.python_name, self._code(field.type, fields))

    def _resolved(
        self,
        type_: GraphQLObjectType,
        _key: str,
        _fields: FieldDetailsList,
        _field: GraphQLField,
        definition: StrawberryField,
    ) -> Shown:
        """Tell where a field that has a resolver comes from."""
        raise Surprise(f"{type_}.{definition.python_name} has a resolver.")


def deciding(variables: VariableValues) -> VariableValues:
    """Give those variables that may decide what is selected: what `@skip` and `@include` take is a Boolean.

    The others are a caller's, and have no place in what outlives the call.
    """
    return VariableValues(
        {}, {name: value for name, value in variables.coerced.items() if value is True or value is False}
    )


def _origin(type_: GraphQLObjectType) -> type | None:
    """Give the class whose instances a type shows; None when that is not decided by their class alone."""
    definition = type_.extensions.get(_DEFINITION)
    if not isinstance(definition, StrawberryObjectDefinition):
        return None
    # Strawberry derives `is_type_of` of the class, unless the class brings its own.
    if definition.is_type_of is not None or definition.is_graphql_generic:
        return None
    if definition.concrete_of is None:
        return definition.origin
    # Without interfaces nobody asks what an object is, and objects of a generic type are made of the generic class.
    return None if definition.interfaces else definition.concrete_of.origin


def _check_directives(fields: FieldDetailsList) -> None:
    names = {directive.name.value for field in fields for directive in field.node.directives or ()}
    if not names <= _DIRECTIVES:
        raise Surprise("A field carries a directive that may change it.")


def _items(item: Reader) -> Reader:
    def read(value: object, later: Later) -> list[object]:
        if type(value) is not list and type(value) is not tuple:
            raise Surprise
        return [item(each, later) for each in value]

    return read


def _refuse(_value: object, _later: Later) -> object:
    raise Surprise


def _leaf(type_: GraphQLLeafType, moment: str) -> Code:
    if isinstance(type_, GraphQLEnumType):
        return _enum(type_)
    if type_ is GraphQLString or type_ is GraphQLID or type_.coerce_output_value is str:
        return Code.exactly(str)
    if type_ is GraphQLBoolean:
        return Code.exactly(bool)
    if type_ is GraphQLInt:
        return Code.exactly(int, "-2147483648 <= {v} <= 2147483647")
    if type_ is GraphQLFloat:
        finite = Code.exactly(float, "{n}isfinite({v})")
        return Code(check=finite.check, names={**finite.names, "isfinite": isfinite})
    return _scalar(type_, moment)


def _enum(type_: GraphQLEnumType) -> Code:
    class_ = getattr(type_, "wrapped_cls", None)
    if not isinstance(class_, type) or not issubclass(class_, Enum):
        raise Surprise(f"{type_} is not made of an enumeration.")
    # By name, since the hash of a member costs a call.
    names = {member.name: type_.coerce_output_value(member) for member in class_}
    exactly = Code.exactly(class_)
    return Code("{n}names[{v}._name_]", exactly.check, {**exactly.names, "names": names})


def _scalar(type_: GraphQLScalarType, moment: str) -> Code:
    """Tell how to read a scalar with functions of its own, which may take anything and give anything."""
    serialize = type_.coerce_output_value
    if serialize is None:
        raise Surprise(f"{type_} can't be written.")

    def read(value: object, _later: Later) -> object:
        if value.__class__ not in _VALUES:
            raise Surprise
        result = serialize(value)
        if result is None or result is Undefined:
            raise Surprise
        return result

    if serialize is datetime.isoformat:
        # In UTC, the JSON encoder writes the same.
        result = f"({moment} if " + "{v}.__class__ is {n}datetime and {v}.tzinfo is {n}utc else {n}read({v}, later))"
        return Code(result, names={"datetime": datetime, "utc": UTC, "read": read})
    return Code.call(read)
