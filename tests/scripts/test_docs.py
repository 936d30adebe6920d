"""The documentation: nothing is missing, nothing leads nowhere."""

import html
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLSchema,
    build_schema,
)
from support.docs_site import ROOT, build, program

from graphql_api.authoring.models import ProposalStatus
from graphql_api.authoring.proposals import TRANSITIONS

READ_IN_THE_REPOSITORY = sorted(
    path
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "scripts").glob("*.md"))
    if "node_modules" not in path.parts
)
ROOTS = {"Query", "Mutation", "Subscription"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    assert build(directory) == ""
    return directory


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema((ROOT / "schema.graphql").read_text(encoding="utf-8"))


def own_types(schema: GraphQLSchema) -> Iterator[GraphQLNamedType]:
    yield from (type_ for name, type_ in schema.type_map.items() if not name.startswith("__"))


def anchors(page: Path) -> list[str]:
    return re.findall(r'\bid="([^"]+)"', page.read_text(encoding="utf-8"))


def plain(text: str) -> str:
    """Cut a text down to its words, in Markdown as in HTML."""
    without_links = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return " ".join(re.sub(r"`|\s*Errors: .+?\.(?=\s|$)", " ", without_links).split())


def words(page: Path) -> str:
    text = page.read_text(encoding="utf-8").partition("<article")[2].partition("</article>")[0]
    return re.sub(r" (?=[.,;:!?)])", "", plain(html.unescape(re.sub(r"<[^>]+>", " ", text))))


class TestReference:
    def test_every_type_field_and_value_has_its_place(self, site: Path, schema: GraphQLSchema) -> None:
        found = [anchor for page in (site / "reference").glob("*.html") for anchor in anchors(page)]
        wanted = []
        for type_ in own_types(schema):
            members = [*getattr(type_, "fields", {}), *getattr(type_, "values", {})]
            wanted += members if type_.name in ROOTS else [type_.name, *(f"{type_.name}.{it}" for it in members)]

        assert len(wanted) > 600
        assert [name for name in wanted if found.count(name) != 1] == []

    def test_every_description_is_told(self, site: Path, schema: GraphQLSchema) -> None:
        told = " ".join(words(page) for page in (site / "reference").glob("*.html"))
        missing = []
        for type_ in own_types(schema):
            descriptions = {} if type_.name in ROOTS else {type_.name: type_.description}
            for name, member in {**getattr(type_, "fields", {}), **getattr(type_, "values", {})}.items():
                descriptions[f"{type_.name}.{name}"] = member.description
                for argument, it in getattr(member, "args", {}).items():
                    if argument != "input":  # is the description of its type, which stands there
                        descriptions[f"{type_.name}.{name}({argument})"] = it.description
            missing += [
                name
                for name, text in descriptions.items()
                if not text or re.sub(r" (?=[.,;:!?)])", "", plain(text)) not in told
            ]

        assert missing == []

    def test_an_operation_tells_what_to_do_about_its_errors(self, site: Path) -> None:
        told = words(site / "reference" / "mutations.html")
        edit = told.partition("editDraft(")[2].partition("EditDraftPayload")[2]

        assert "StaleRevisionError: read the draft again, show what changed" in edit

    def test_what_is_deprecated_is_marked(self) -> None:
        schema = build_schema(
            '"It."\ntype Query { "Old." old("How many." first: Int = 3): Kind @deprecated(reason: "Use new.") }\n'
            '"Of it."\nenum Kind { "One." ONE @deprecated(reason: "Use TWO.") "Two." TWO }'
        )
        pages = program("reference").Reference(schema, {}).pages()

        assert "**Deprecated.** Use new." in pages["queries"]
        assert "    **Deprecated.** Use TWO." in pages["enums"]
        assert "old(first: Int = 3): Kind" in pages["queries"]
        assert "[`Int`](scalars.md#Int){ .type } = `3`" in pages["queries"]


class TestErrorTable:
    def rows(self) -> list[list[str]]:
        page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
        return [row.strip("| ").split(" | ") for row in page.splitlines() if re.match(r"\| `[A-Z_]+`(<br>| \|)", row)]

    def test_every_code_has_a_row(self, schema: GraphQLSchema) -> None:
        codes = schema.type_map["ErrorCode"]
        assert isinstance(codes, GraphQLEnumType)

        assert {re.findall(r"`(\w+)`", row[0])[0] for row in self.rows()} == set(codes.values)

    def test_every_error_type_has_a_row(self, schema: GraphQLSchema) -> None:
        interface = schema.type_map["UserError"]
        assert isinstance(interface, GraphQLInterfaceType)
        types = [name for row in self.rows() for name in re.findall(r"<br>`(\w+)`", row[0])]

        assert sorted(types) == sorted(it.name for it in schema.get_implementations(interface).objects)

    def test_a_row_tells_when_and_what_to_do(self) -> None:
        assert [row[0] for row in self.rows() if len(row) != 3 or not all(map(str.strip, row))] == []

    def test_every_code_has_an_anchor(self, site: Path, schema: GraphQLSchema) -> None:
        codes = schema.type_map["ErrorCode"]
        assert isinstance(codes, GraphQLEnumType)

        assert [code for code in codes.values if anchors(site / "errors.html").count(code) != 1] == []


class TestConcepts:
    def test_proposals_go_where_the_page_says(self) -> None:
        page = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| `(\w+)` \| .* \| (`.*`) \|$", page, re.MULTILINE)

        told = {ProposalStatus(status): {ProposalStatus(it) for it in re.findall(r"\w+", to)} for status, to in rows}
        assert told == {status: set(to) for status, to in TRANSITIONS.items()}


class TestLinks:
    @pytest.mark.parametrize("page", READ_IN_THE_REPOSITORY, ids=lambda page: page.relative_to(ROOT).as_posix())
    def test_what_is_read_in_the_repository_leads_somewhere(self, page: Path) -> None:
        slug = program("links").slug
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        broken = []
        for target in re.findall(r"\]\(([^)\s]+)", text):
            if re.match(r"[a-z]+:", target):
                continue
            file, _, anchor = target.partition("#")
            leads_to = (page.parent / file).resolve() if file else page
            if not leads_to.exists():
                broken.append(target)
            elif anchor and leads_to.suffix == ".md" and not anchor.isupper():
                headings = re.findall(r"^#+ +(.+)$", leads_to.read_text(encoding="utf-8"), re.MULTILINE)
                broken += [] if anchor in map(slug, headings) else [target]

        assert broken == []

    @pytest.mark.parametrize(
        ("broken", "complaint"),
        [
            ("[gone](gone.md)", "docs/concepts.md leads to gone.md, which is not there."),
            ('[part](../README.md#gone "include")', "README.md has no heading gone."),
            ('[all](../GONE.md "include")', "GONE.md is not there, so nothing of it can be included."),
            ("[anchor](errors.md#gone)", "gone"),
            ("[type](reference/objects.md#Draft)", "docs/concepts.md leads to reference/objects.md#Draft, which"),
        ],
    )
    def test_a_broken_one_fails_the_build(self, tmp_path: Path, broken: str, complaint: str) -> None:
        checkout = tmp_path / "checkout"
        checkout.mkdir()
        for entry in ROOT.iterdir():
            if entry.name in {"docs", "scripts"}:
                unwanted = shutil.ignore_patterns("node_modules", "__pycache__")
                shutil.copytree(entry, checkout / entry.name, ignore=unwanted)
            else:
                (checkout / entry.name).symlink_to(entry)
        with (checkout / "docs" / "concepts.md").open("a", encoding="utf-8") as page:
            page.write(f"\n\n{broken}\n")

        assert complaint in build(tmp_path / "site", root=checkout)
