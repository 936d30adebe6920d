"""Writes the reference from the schema: Markdown pages by kind, with an anchor for each type and field."""

import re
from collections.abc import Iterator, Mapping
from itertools import chain

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    get_named_type,
)
from members import article, default, deprecation, inherited_fields, page_of, signature

PAGES = {
    "queries": ("Queries", "Fields of `Query`: what can be read. A query changes nothing."),
    "mutations": (
        "Mutations",
        "Fields of `Mutation`, each with its input and its payload: the result, or `errors` and nothing changed.",
    ),
    "subscriptions": (
        "Subscriptions",
        "Fields of `Subscription`, over WebSocket or HTTP. [How to resume](../guide/front-ends.md#resuming).",
    ),
    "objects": ("Objects", "What queries lead to. Payloads are with [their mutations](mutations.md)."),
    "events": (
        "Events",
        "What subscriptions deliver. `ProposalEvent`s are about one proposal, `WorkflowEvent`s about one workflow.",
    ),
    "error-types": (
        "Error types",
        "What mutations give in `errors`. When each comes, and what to do, is in [the table of codes](../errors.md).",
    ),
    "inputs": ("Inputs", "Arguments with fields of their own. Inputs of mutations are with [them](mutations.md)."),
    "enums": ("Enums", "Values to choose from. Clients should expect that values are added."),
    "interfaces": ("Interfaces", "What several types have in common. Clients should expect that types are added."),
    "scalars": ("Scalars", "Single values, and how they are written."),
}
"""Title and introduction of each page, by its name, in their order."""

Member = GraphQLField | GraphQLInputField


_ERRORS = re.compile(r"\s*Errors: (.+?)\.(?=\s|$)")
_NAMED_ERROR = re.compile(r"`(\w+)`(?: \(([^)]+)\))?")
_CODE = re.compile(r"\[(?:[^\[\]`]|`[^`]*`)*\]\([^)]*\)|^#.*$|`(\w+)(?:\.(\w+))?`")
"""What is a link already, or a heading; otherwise a name in code."""
_MOST_USES = 12


class Reference:
    """The pages of one schema.

    Args:
        schema: What they are about.
        advice: What to do about an error, by its code and by the name of its type.
    """

    def __init__(self, schema: GraphQLSchema, advice: Mapping[str, str]) -> None:
        self._advice = advice
        self._roots = {
            "queries": schema.query_type,
            "mutations": schema.mutation_type,
            "subscriptions": schema.subscription_type,
        }
        roots = {root.name for root in self._roots.values() if root}
        self._types = {
            name: type_
            for name, type_ in sorted(schema.type_map.items())
            if not name.startswith("__") and name not in roots
        }
        self._with_mutations = set(chain.from_iterable(map(self._parts, self._operations("mutations").values())))
        self._places = {
            name: "mutations" if name in self._with_mutations else page_of(type_) for name, type_ in self._types.items()
        }
        self._implementations = {
            name: sorted(it.name for it in schema.get_implementations(type_).objects)
            for name, type_ in self._types.items()
            if isinstance(type_, GraphQLInterfaceType)
        }
        self._uses = self._find_uses()

    def pages(self) -> dict[str, str]:
        """Write all pages, by their names; `index` lists every operation and type."""
        written = {"index": "\n".join(self._index())}
        for page, (title, introduction) in PAGES.items():
            blocks = self._operation_blocks(page) if page in self._roots else self._type_blocks(page)
            written[page] = "\n".join([f"# {title}", "", self.linked(introduction), "", *blocks])
        return written

    def _operations(self, page: str) -> Mapping[str, GraphQLField]:
        root = self._roots[page]
        return root.fields if root else {}

    def _parts(self, mutation: GraphQLField) -> Iterator[str]:
        """Name the types that are shown with a mutation."""
        for type_ in (*(argument.type for argument in mutation.args.values()), mutation.type):
            named = get_named_type(type_)
            if isinstance(named, GraphQLObjectType | GraphQLInputObjectType):
                yield named.name

    def _find_uses(self) -> dict[str, list[str]]:
        """Find which fields and arguments are of each type: `Type.field`."""
        uses: dict[str, list[str]] = {name: [] for name in self._types}
        owners = [*self._types.values(), *filter(None, self._roots.values())]
        for owner in owners:
            for name, member in getattr(owner, "fields", {}).items():
                for type_ in (member.type, *(argument.type for argument in getattr(member, "args", {}).values())):
                    used = uses[get_named_type(type_).name]
                    if (use := f"{owner.name}.{name}") not in used:
                        used.append(use)
        return uses

    def _index(self) -> Iterator[str]:
        yield from (
            "# Reference",
            "",
            "Written from [`schema.graphql`](../source/schema.graphql.md), which is the contract.",
        )
        yield from ("`GET /schema.graphql` of a server gives its own.", "")
        for page in PAGES:
            names = self._operations(page) if page in self._roots else self._named(page)
            if page in self._roots:
                links = [f"[`{name}`]({page}.md#{name})" for name in sorted(names)]
            else:
                links = [f"[`{name}`]({self._address(name)})" for name in names]
            yield from (f"## [{PAGES[page][0]}]({page}.md)", "", " · ".join(links), "")

    def _named(self, page: str) -> list[str]:
        return [name for name, place in self._places.items() if place == page]

    def _operation_blocks(self, page: str) -> Iterator[str]:
        for name, field in sorted(self._operations(page).items()):
            description, errors = self._without_errors(field.description or "")
            yield from (f"## {name} {{ #{name} data-toc-label='{name}' }}", "")
            yield from (f"```graphql\n{signature(name, field)}\n```", "", self.linked(description), "")
            yield from deprecation(field)
            yield from self._error_list(errors)
            parts = list(self._parts(field)) if page == "mutations" else []
            if parts:
                for part in parts:
                    composite = self._types[part]
                    yield from (f"### {part} {{ #{part} data-toc-label='{part}' }}", "")
                    yield from (self.linked(composite.description or ""), "")
                    yield from self._fields(composite)
            else:
                yield from self._arguments(field)
                yield from (f"Gives {self._type_link(field)}.", "")

    def _without_errors(self, description: str) -> tuple[str, list[tuple[str, str | None]]]:
        """Take what a description says of errors out of it: names, and when each comes if that is told."""
        told = _ERRORS.search(description)
        if told is None:
            return description, []
        return _ERRORS.sub("", description), [(it[1], it[2]) for it in _NAMED_ERROR.finditer(told[1])]

    def _error_list(self, errors: list[tuple[str, str | None]]) -> Iterator[str]:
        if not errors:
            return
        yield from ("**Errors**, beside those that [any operation](../errors.md#at-the-top-level) may meet:", "")
        for name, condition in errors:
            when = f" ({condition})" if condition else ""
            address = self._address(name) if name in self._places else f"../errors.md#{name}"
            yield f"- [`{name}`]({address}){when}: {self.linked(self._advice[name])}"
        yield ""

    def _arguments(self, field: GraphQLField) -> Iterator[str]:
        if field.args:
            yield from ("**Arguments**", "")
        for name, argument in field.args.items():
            yield f"`{name}` {self._type_link(argument)}{default(argument)}"
            yield from (f":   {self.linked(argument.description or '')}", "")

    def _type_blocks(self, page: str) -> Iterator[str]:
        for name in self._named(page):
            type_ = self._types[name]
            yield from (f"## {name} {{ #{name} data-toc-label='{name}' }}", "")
            yield from (self.linked(type_.description or ""), "")
            if isinstance(type_, GraphQLScalarType) and type_.specified_by_url:
                yield from (f"As [its specification]({type_.specified_by_url}) says.", "")
            if names := self._implementations.get(name):
                yield from (f"Types: {' · '.join(map(self._name_link, names))}", "")
            if isinstance(type_, GraphQLEnumType):
                yield from self._values(type_)
            else:
                yield from self._fields(type_)
            if page not in {"events", "error-types"}:
                yield from self._used_by(name)

    def _used_by(self, name: str) -> Iterator[str]:
        uses = self._uses[name]
        if not uses or len(uses) > _MOST_USES:
            return
        yield from (f"Used by {' · '.join(self._member_link(*use.split('.')) for use in uses)}", "{ .used-by }", "")

    def _values(self, type_: GraphQLEnumType) -> Iterator[str]:
        for name, value in type_.values.items():
            target = f"../errors.md#{name}" if type_.name == "ErrorCode" else f"#{type_.name}.{name}"
            yield f"[`{name}`]({target}){{ #{type_.name}.{name} .field }}"
            yield from (f":   {self.linked(value.description or '')}", "")
            yield from deprecation(value, indent="    ")

    def _fields(self, type_: GraphQLNamedType) -> Iterator[str]:
        """List the fields of a type; those that it has as its interface has them stand together, by name alone."""
        fields: Mapping[str, Member] = getattr(type_, "fields", {})
        inherited = inherited_fields(type_)
        for name, field in fields.items():
            if name in inherited:
                continue
            anchor = f"#{type_.name}.{name}"
            yield f"[`{name}`]({anchor}){{ {anchor} .field }} {self._type_link(field)}{default(field)}"
            yield from (f":   {self.linked(field.description or '')}", "")
            yield from deprecation(field, indent="    ")
            for argument, it in getattr(field, "args", {}).items():
                text = self.linked(it.description or "")
                yield from (f"    - `{argument}` {self._type_link(it)}{default(it)}: {text}", "")
        for owner in dict.fromkeys(inherited.values()):
            links = (
                f"[`{name}`]({self._address(owner)}.{name}){{ #{type_.name}.{name} }}"
                for name, it in inherited.items()
                if it == owner
            )
            yield from (f"As {article(owner)} {self._name_link(owner)}: {' · '.join(links)}", "")

    def _address(self, name: str) -> str:
        return f"{self._places[name]}.md#{name}"

    def _name_link(self, name: str) -> str:
        return f"[`{name}`]({self._address(name)})"

    def _type_link(self, member: Member | GraphQLArgument) -> str:
        return f"[`{member.type}`]({self._address(get_named_type(member.type).name)}){{ .type }}"

    def _member_link(self, owner: str, name: str) -> str:
        for page, root in self._roots.items():
            if root and root.name == owner:
                return f"[`{name}`]({page}.md#{name})"
        return f"[`{owner}.{name}`]({self._address(owner)}.{name})"

    def linked(self, text: str, base: str = "") -> str:
        """Make links of the operations, types, fields and values that a line of text names in code.

        Args:
            text: A line. Its headings and links stay as they are.
            base: Leads from its page to those of the reference: empty, or ending with a slash.
        """

        def link(found: re.Match[str]) -> str:
            owner, name = found[1], found[2]
            address = self._address_of(owner, name) if owner else None
            return f"[{found[0]}]({base}{address})" if address else found[0]

        return _CODE.sub(link, text)

    def _address_of(self, owner: str, name: str | None) -> str | None:
        """Find a type, a field or value of it, a mutation, a subscription or an error's code.

        Not queries, which are named as fields are.
        """
        for page in ("mutations", "subscriptions"):
            if name is None and owner in self._operations(page):
                return f"{page}.md#{owner}"
        if name is None and owner in getattr(self._types.get("ErrorCode"), "values", {}):
            return f"../errors.md#{owner}"
        if owner not in self._places:
            return None
        type_ = self._types[owner]
        if name is None:
            return self._address(owner)
        return (
            f"{self._address(owner)}.{name}"
            if name in {*getattr(type_, "fields", {}), *getattr(type_, "values", {})}
            else None
        )
