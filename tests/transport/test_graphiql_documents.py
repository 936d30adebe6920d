"""The tabs that GraphiQL opens with, against the schema, and the committed build against its sources."""

import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    DocumentNode,
    GraphQLSchema,
    OperationDefinitionNode,
    build_schema,
    get_variable_values,
    parse,
    validate,
)

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "scripts" / "graphiql"
BUILD = ROOT / "graphql_api" / "transport" / "graphiql"
DOCUMENTS = sorted((PROJECT / "src" / "journey").glob("*.graphql"))
# What pack.js digests.
SOURCES = ("build", "index.html", "mit.txt", "pack.js", "package-lock.json", "package.json", "src", "vite.config.js")


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema((ROOT / "schema.graphql").read_text(encoding="utf-8"))


def document_of(path: Path) -> DocumentNode:
    return parse(path.read_text(encoding="utf-8"))


def operation_of(path: Path) -> OperationDefinitionNode:
    (operation,) = document_of(path).definitions
    assert isinstance(operation, OperationDefinitionNode)
    return operation


def variables_of(path: Path) -> dict[str, Any]:
    variables: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return variables


def digest_of_sources() -> str:
    paths = [path for name in SOURCES for path in (PROJECT / name, *(PROJECT / name).rglob("*")) if path.is_file()]
    digest = hashlib.sha256()
    for name in sorted(path.relative_to(PROJECT).as_posix() for path in paths):
        digest.update(name.encode() + b"\0" + (PROJECT / name).read_bytes() + b"\0")
    return digest.hexdigest()


class TestJourney:
    @pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
    def test_every_document_is_valid(self, path: Path, schema: GraphQLSchema) -> None:
        assert validate(schema, document_of(path)) == []

    @pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
    def test_the_variables_are_what_the_operation_takes(self, path: Path, schema: GraphQLSchema) -> None:
        definitions = operation_of(path).variable_definitions or ()

        variables = variables_of(path)

        assert not isinstance(get_variable_values(schema, list(definitions), variables), list)
        assert set(variables) <= {definition.variable.name.value for definition in definitions}

    def test_the_steps_are_counted_without_a_hole(self) -> None:
        first_lines = [path.read_text(encoding="utf-8").splitlines()[0] for path in DOCUMENTS]

        assert [line.split(":")[0] for line in first_lines] == [f"# Step {n} of 9" for n in range(1, 10)]
        assert [path.name[:2] for path in DOCUMENTS] == [f"{n}-" for n in range(1, 10)]

    def test_each_tab_sends_the_reader_to_the_next(self) -> None:
        names = [name.value for path in DOCUMENTS if (name := operation_of(path).name)]

        announced = [re.search(r"# Next: the tab (\w+)", path.read_text(encoding="utf-8")) for path in DOCUMENTS]

        assert [match[1] for match in announced if match] == names[1:]

    def test_something_fills_every_placeholder(self) -> None:
        filled = set(re.findall(r'"(<[^>"]+>)":', (PROJECT / "src" / "carry.js").read_text(encoding="utf-8")))
        used = {
            placeholder
            for path in DOCUMENTS
            for placeholder in re.findall(r"<[^>]+>", path.with_suffix(".json").read_text(encoding="utf-8"))
        }

        assert used == filled - {"<access token from step 1>"}


class TestBuild:
    def test_the_committed_build_is_one_of_the_committed_sources(self) -> None:
        assert (BUILD / "source.sha256").read_text(encoding="ascii").strip() == digest_of_sources()

    def test_the_page_has_one_place_for_its_configuration_and_no_other_inline_script(self) -> None:
        page = (BUILD / "index.html").read_text(encoding="utf-8")

        inline = re.findall(r"<script(?![^>]*\ssrc=)[^>]*>[^<]*</script>", page)

        assert inline == ['<script type="application/json" id="orchestrator-config">{}</script>']

    def test_everything_that_the_page_names_is_there(self) -> None:
        page = (BUILD / "index.html").read_text(encoding="utf-8")
        names = re.findall(r'(?:src|href)="/graphiql/([^"]+)"', page)

        assert len(names) >= 3
        assert [name for name in names if not (BUILD / f"{name}.gz").is_file()] == []

    def test_its_first_script_is_small_and_asks_for_both_others_at_once(self) -> None:
        page = (BUILD / "index.html").read_text(encoding="utf-8")
        (first,) = re.findall(r'<script type="module" crossorigin src="/graphiql/([^"]+)">', page)

        text = gzip.decompress((BUILD / f"{first}.gz").read_bytes()).decode()

        assert len(text) < 10_000
        assert re.findall(r"import\(`\./(\w+)-", text) == ["main", "editor"]

    def test_every_text_has_both_compressed_forms_and_the_same_bytes_each_time(self) -> None:
        compressed = sorted(path for path in (BUILD / "assets").iterdir() if path.suffix == ".gz")

        assert {path.stem for path in compressed} == {path.stem for path in (BUILD / "assets").glob("*.br")}
        assert all(gzip.decompress(path.read_bytes()) for path in compressed)
        # Bytes 4 to 7 of the header are the time of the compression.
        assert {path.read_bytes()[4:8] for path in compressed} == {bytes(4)}

    def test_the_page_loads_nothing_from_another_host(self) -> None:
        texts = [(BUILD / "index.html").read_bytes()]
        texts += [gzip.decompress(path.read_bytes()) for path in (BUILD / "assets").glob("*.css.gz")]

        assert [match for text in texts for match in re.findall(rb"(?:src=\"|href=\"|url\([\"']?)https?:", text)] == []
