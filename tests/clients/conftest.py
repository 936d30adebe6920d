import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from support import readme
from support.databases import Server
from support.node import Workspace
from support.server import quick_settings, site

from graphql_api.identity import users


def loop_of_the_readme() -> str:
    """Make a module of the loop that the README prints."""
    (loop,) = readme.blocks("ts")
    return f"""import {{ createClient as create, type ClientOptions }} from "graphql-ws";
type Event = {{ __typename: string; cursor: string; sequence: number }};
type Client = {{ iterate(payload: object): AsyncIterable<{{ data?: {{ proposalEvents: Event }} }}> }};
const createClient = (options: ClientOptions) => create(options) as unknown as Client;
const query = `subscription($proposalId: ID!, $after: EventCursor) {{
  proposalEvents(proposalId: $proposalId, after: $after) {{ __typename cursor sequence }}
}}`;
export async function follow(url: string, connectionParams: {{}}, proposalId: string, show: (event: Event) => void) {{
{loop}}}
"""


def write_modules(directory: Path, operations: Iterable[str]) -> None:
    """Put each operation, as it is printed, into a module for Relay, named like it without the kind."""
    for operation in operations:
        match = re.match(r"\s*(query|mutation|subscription) (\w+)", operation)
        assert match is not None, operation
        module = directory / f"{match[2].removesuffix(match[1].capitalize())}.ts"
        module.write_text(f'import {{ graphql }} from "relay-runtime";\ngraphql`{operation}`;\n', encoding="utf-8")


@pytest.fixture(scope="session")
async def workspace(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The clients and the examples, with the types that graphql-codegen and relay-compiler make from the schema."""
    workspace = Workspace(tmp_path_factory.mktemp("clients"))
    (workspace.clients / "loop.ts").write_text(loop_of_the_readme(), encoding="utf-8")
    (workspace.clients / "readme").mkdir()
    journey = readme.operations().values()
    (workspace.clients / "readme" / "journey.graphql").write_text("\n".join(journey), encoding="utf-8")
    relay, relay_readme = workspace.clients / "relay", workspace.clients / "relay-readme"
    relay_readme.mkdir()
    shutil.copy(relay / "relay.config.json", relay_readme)
    write_modules(relay_readme, journey)
    examples = (workspace.examples / "documents.ts").read_text(encoding="utf-8")
    write_modules(relay, re.findall(r"graphql\(`(.+?)`\)", examples, re.DOTALL))
    await asyncio.gather(
        workspace.run("graphql-codegen", "--config", "codegen.ts", cwd=workspace.examples),
        workspace.run("graphql-codegen", "--config", "readme.codegen.ts", cwd=workspace.clients),
        workspace.run("relay-compiler", "relay.config.json", cwd=relay),
        workspace.run("relay-compiler", "relay.config.json", cwd=relay_readme),
    )
    return workspace


@pytest.fixture(scope="session")
async def address(anyio_backend: str, database_server: Server) -> AsyncIterator[str]:
    """Serve the application with a worker and the demo account."""
    database = await database_server.create()
    await users.create(database, email="demo@example.com", name="Demo", password="demo-password")
    async with site(database, settings=quick_settings(max_concurrent_refinements=50), with_worker=True) as running:
        yield f"{running.url}/graphql"
    await database_server.drop(database)
