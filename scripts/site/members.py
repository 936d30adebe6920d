"""What the reference says of single types, fields and arguments."""

from collections.abc import Iterator

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLScalarType,
    print_ast,
)

_SIGNATURE_WIDTH = 44
_KINDS = {
    GraphQLInterfaceType: "interfaces",
    GraphQLObjectType: "objects",
    GraphQLInputObjectType: "inputs",
    GraphQLEnumType: "enums",
    GraphQLScalarType: "scalars",
}
_FAMILIES = {"Event": "events", "UserError": "error-types"}
"""Objects with one of these interfaces have pages of their own."""


def page_of(type_: GraphQLNamedType) -> str:
    """Name the page of a type.

    Raises:
        KeyError: When there is no page for its kind.
    """
    if isinstance(type_, GraphQLObjectType):
        for interface in type_.interfaces:
            if interface.name in _FAMILIES:
                return _FAMILIES[interface.name]
    return _KINDS[type(type_)]


def signature(name: str, field: GraphQLField) -> str:
    """Write a field as the schema has it, without descriptions."""
    arguments = [f"{key}: {argument.type}{default(argument, code=False)}" for key, argument in field.args.items()]
    line = f"{name}({', '.join(arguments)}): {field.type}" if arguments else f"{name}: {field.type}"
    if len(line) <= _SIGNATURE_WIDTH:
        return line
    return "\n".join([f"{name}(", *(f"  {it}" for it in arguments), f"): {field.type}"])


def default(member: object, *, code: bool = True) -> str:
    """Write what holds when an argument or a field of an input is not given."""
    given = getattr(member, "default", None)
    if given is None or given.literal is None:
        return ""
    text = print_ast(given.literal)
    return f" = `{text}`" if code else f" = {text}"


def deprecation(member: object, *, indent: str = "") -> Iterator[str]:
    """Say that something is not to be used any more, and what instead."""
    if reason := getattr(member, "deprecation_reason", None):
        yield from (f"{indent}**Deprecated.** {reason}", "")


def inherited_fields(type_: GraphQLNamedType) -> dict[str, str]:
    """Name the interface that each field is from which a type has exactly as an interface has it.

    Of several interfaces, the most general one is named.
    """
    inherited: dict[str, str] = {}
    if not isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
        return inherited
    for interface in sorted(type_.interfaces, key=lambda it: len(it.interfaces)):
        for name, field in interface.fields.items():
            own = type_.fields[name]
            if (str(own.type), own.description) == (str(field.type), field.description):
                inherited.setdefault(name, interface.name)
    return {name: inherited[name] for name in type_.fields if name in inherited}


def article(name: str) -> str:
    """Choose between *a* and *an*."""
    return "an" if name[0] in "AEIO" else "a"
