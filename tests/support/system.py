"""The system as it runs in earnest: API processes and workers on one database."""

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

from graphql_api.identity import users
from graphql_api.kit.database import Database
from support.graphql_client import GraphQLClient
from support.people import PASSWORD
from support.processes import Process, answers, free_port, started
from support.waiting import until


class System:
    """Processes on one database."""

    def __init__(self, database: Database, directory: Path, stack: ExitStack) -> None:
        self._stack = stack
        self._directory = directory
        self._count = Counter[str]()
        self.database = database
        self.environment = {
            "DATABASE_URL": database.url.render_as_string(hide_password=False),
            "EMBEDDED_RUNTIME_PACE_MS": "1",
            "ORCHESTRATOR_HOME": str(directory),
        }

    def start(self, *arguments: str, **environment: str) -> Process:
        """Start a process; it ends with the test."""
        self._count[arguments[0]] += 1
        log = self._directory / f"{arguments[0]}-{self._count[arguments[0]]}.log"
        return self._stack.enter_context(started(*arguments, environment={**self.environment, **environment}, log=log))

    async def serve(self) -> GraphQLClient:
        """Start an API process, and sign somebody new in there."""
        port = free_port()
        await self.serve_on(port)
        return await self.sign_in(port)

    async def serve_on(self, port: int) -> Process:
        """Start an API process on a port, and wait until it is ready."""
        process = self.start("serve", "--port", str(port))
        await answers(f"http://127.0.0.1:{port}")
        return process

    async def sign_in(self, port: int) -> GraphQLClient:
        """Sign somebody new in at the API process on a port."""
        client = GraphQLClient(f"http://127.0.0.1:{port}")
        email = f"{uuid4().hex}@example.com"
        await users.create(self.database, email=email, name="Ada", password=PASSWORD)
        await client.sign_in(email, PASSWORD)
        return client

    async def work(self, **environment: str) -> Process:
        """Start a worker, and wait until it works."""
        worker = self.start("worker", **environment)
        await until(lambda: worker.said("working"))
        return worker
