"""One PostgreSQL: short transactions, and raw connections for LISTEN."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast
from uuid import UUID

import asyncpg
import orjson
from sqlalchemy import URL, Executable, PoolProxiedConnection, Result, Select, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, EmulatedDBAPIException, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession as PlainSession
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.util.concurrency import await_only, greenlet_spawn
from sqlmodel.ext.asyncio.session import AsyncSession

from graphql_api.kit import tracing
from graphql_api.kit.pool import CountingPool, NoConnection, PoolState, check_waiting, try_idle_connections
from graphql_api.kit.prepared import prepared, prepared_together
from graphql_api.kit.statements import PlainTransaction, Statement
from graphql_api.kit.together import Together

_BROKEN_CONNECTION = (asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What asyncpg 0.32 gives on a connection that PostgreSQL ended; the second one until it has seen the socket close."""

DATABASE_ERRORS = (SQLAlchemyError, asyncpg.PostgresError, *_BROKEN_CONNECTION, OSError, TimeoutError)
"""What a statement may end with when the database is away, on a connection of the pool or a raw one."""

DRIVERS = {"postgres", "postgresql", "postgresql+asyncpg"}

_AWAY = ("08", "57P")
"""How the codes begin that PostgreSQL gives when a connection broke, or when it starts or stops."""

_TOO_MANY_CONNECTIONS = "53300"

STATEMENT_SECONDS = 15.0
"""What a statement of a transaction may take; PostgreSQL ends it then."""

_ANSWER_SECONDS = 5.0
"""How much longer the driver waits for the answer: a server that is cut off ends nothing."""


class DatabaseURLError(ValueError):
    """A URL that does not name a PostgreSQL database; the message has no secret."""


class Session(AsyncSession):
    """A session that remembers what to do once its transaction is committed."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - passes SQLAlchemy's own on
        super().__init__(*arguments, **options)
        self.after_commit: list[Callable[[], None]] = []

    async def execute(self, statement: Executable, params: Any = None, **options: Any) -> Result[*tuple[Any, ...]]:  # noqa: ANN401 - passes SQLAlchemy's own on
        """Run any statement; SQLModel deprecates this in favour of `exec`, which takes no plain SQL."""
        return await PlainSession.execute(self, statement, params, **options)

    async def rows(self, statement: Select[Any], **values: object) -> Sequence[Any]:
        """Read the rows of a statement, after what the session has to write; see `Rows`."""
        return (await self.execute(statement, values)).all()

    async def fetch(self, statement: Statement, **values: object) -> Sequence[Any]:
        """Run plain SQL, after what the session has to write; see `Transaction`."""
        await self.flush()
        connection = await self.connection()
        result = await connection.exec_driver_sql(statement.query, tuple(statement.arguments(**values)))
        return result.all() if result.returns_rows else []


def is_away(error: BaseException | None) -> bool:
    """Tell whether the database could not be reached, or had no connection to give: in a while it may go well."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or is_away(error.orig)
    if isinstance(error, asyncpg.InterfaceError):
        return "clos" in str(error)  # the others are mistakes of ours, such as a value of the wrong type
    code = str(getattr(error, "sqlstate", ""))
    return (
        isinstance(error, (NoConnection, OSError, asyncpg.InternalClientError))
        or code.startswith(_AWAY)
        or code == _TOO_MANY_CONNECTIONS
    )


def _is_answered(error: BaseException) -> bool:
    """Tell whether a connection on which something failed waits for nothing, and can be used again."""
    is_broken = isinstance(error, (*_BROKEN_CONNECTION, OSError, TimeoutError))
    return isinstance(error, Exception) and not is_broken


def _driver(connection: PoolProxiedConnection) -> asyncpg.Connection:
    return cast("asyncpg.Connection", connection.driver_connection)


def _give_back(connection: PoolProxiedConnection, error: BaseException | None = None) -> None:
    """Give a connection back to its pool, unless nobody knows what it waits for."""
    if error is not None and (not _is_answered(error) or _driver(connection).is_in_transaction()):
        connection.invalidate(error)
    connection.close()


def parse_url(text: str) -> URL:
    """Read a database URL in any of the forms that people use.

    Args:
        text: `postgres://`, `postgresql://` or `postgresql+asyncpg://`.

    Raises:
        DatabaseURLError: When it is none of them.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # The cause is left out: it may quote what stands after an @ in a password.
        raise DatabaseURLError("It is not a URL; write postgresql://user:password@host:5432/name.") from None
    if url.drivername not in DRIVERS:
        raise DatabaseURLError(f"It starts with {url.drivername}://; only PostgreSQL is supported (postgresql://…).")
    if not url.database:
        raise DatabaseURLError("It names no database; write postgresql://user:password@host:5432/name.")
    return url.set(drivername="postgresql+asyncpg")


class Database:
    """The database as use cases see it.

    Args:
        url: From `parse_url`.
        pool_size: Half of the connections that it opens at most, when there is so much to do; it keeps them.
        pool_seconds: How long a transaction waits for a connection.
        statement_seconds: What a statement may take; None for as long as it needs, as migrations do.
    """

    def __init__(
        self,
        url: URL,
        *,
        pool_size: int = 10,
        pool_seconds: float = 10,
        statement_seconds: float | None = STATEMENT_SECONDS,
    ) -> None:
        self.url = url
        self._aside: Database | None = None
        self._together: dict[Select[Any], Together[UUID, Any]] = {}
        options: dict[str, Any] = {}
        if statement_seconds is not None:
            options = {
                "command_timeout": statement_seconds + _ANSWER_SECONDS,
                "statement_timeout": f"{statement_seconds * 1000:.0f}",
            }
        self.engine = create_async_engine(
            url,
            poolclass=CountingPool,
            # Those of a rush are kept: to open one costs both sides more than a hundred statements do.
            pool_size=2 * pool_size,
            max_overflow=0,
            pool_use_lifo=True,
            pool_timeout=pool_seconds,
            hide_parameters=True,
            json_serializer=lambda value: orjson.dumps(value).decode(),
            json_deserializer=orjson.loads,
            async_creator=partial(self._connect, application_name="orchestrator", jit="off", **options),
        )

        try_idle_connections(self.engine.sync_engine)
        self._reading = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """Open a transaction: committed at the end, rolled back on an error.

        Callables in `session.after_commit` run once the commit is durable. Never hold one over a network call.
        """
        async with Session(self.engine, expire_on_commit=False) as session:
            async with session.begin():
                yield session
            for callback in session.after_commit:
                callback()

    @asynccontextmanager
    async def plain_transaction(self) -> AsyncIterator[PlainTransaction]:
        """Open a transaction as `transaction` does, but of plain SQL, which costs a fraction of what a session does."""
        async with self._driving() as driver:
            plain = PlainTransaction(driver)
            await driver.execute("BEGIN")
            try:
                yield plain
            except Exception as error:
                if _is_answered(error):
                    await driver.execute("ROLLBACK")
                raise
            if await driver.execute("COMMIT") != "COMMIT":
                raise RuntimeError("Nothing was written: a statement of the transaction failed, and nobody was told.")
        for callback in plain.after_commit:
            callback()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Session]:
        """Read without a transaction: each statement sees what is committed when it begins, as it would in one of ours.

        It spares the server two of three messages. What is written here is committed at once, so write nothing.
        """
        async with Session(self._reading, expire_on_commit=False) as session:
            yield session

    async def rows(self, statement: Select[Any], **values: object) -> Sequence[Any]:
        """Read the rows of one statement, as `reading` does, for a fraction of what a session costs.

        They are tuples with the columns as attributes: a row of a table reads like the object of its model.

        Args:
            statement: Of columns, not of models; the same object each time, since it is prepared once.
            **values: Of its parameters, by name.
        """
        known = prepared(statement)
        return known.rows(await self.fetch(known.text, *known.arguments(values)))

    async def rows_together(
        self, selects: Sequence[Select[Any]], values: Sequence[Mapping[str, object]]
    ) -> Sequence[Sequence[Any]]:
        """Read the rows of several statements in one, as `rows` does.

        Args:
            selects: The same objects each time.
            values: For each, those of its parameters, by name.
        """
        if len(selects) == 1:
            return [await self.rows(selects[0], **values[0])]
        known = prepared_together(tuple(selects))
        return known.rows(await self.fetch(known.text, *known.arguments(values)))

    async def row(self, statement: Select[Any], key: UUID) -> Any:  # noqa: ANN401 - a row of any columns
        """Read the row of a key, as `rows` does; None when there is none. Those who ask at the same time share a read.

        Args:
            statement: Of columns, `id` among them, with the parameter `ids`; always the same object.
            key: The wanted `id`.
        """
        together = self._together.get(statement)
        if together is None:

            async def read(ids: list[UUID]) -> dict[UUID, Any]:
                return {row.id: row for row in await self.rows(statement, ids=ids)}

            together = self._together[statement] = Together(read)
        check_waiting(together.waiting)
        return await together.find(key)

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Run one statement in the driver's words, which is committed when its rows are there.

        It is a single message to the server, where a transaction takes three or more.
        """
        with tracing.statement(query):
            return await greenlet_spawn(self._fetch, query, arguments)

    def _fetch(self, query: str, arguments: Sequence[object]) -> list[asyncpg.Record]:
        connection = self._take()
        try:
            rows: list[asyncpg.Record] = await_only(_driver(connection).fetch(query, *arguments))
        except BaseException as error:
            _give_back(connection, error)
            raise
        _give_back(connection)
        return rows

    @asynccontextmanager
    async def _driving(self) -> AsyncIterator[asyncpg.Connection]:
        """Take a connection of the pool for several statements."""
        connection = await greenlet_spawn(self._take)
        try:
            yield _driver(connection)
        except BaseException as error:
            await greenlet_spawn(_give_back, connection, error)
            raise
        await greenlet_spawn(_give_back, connection)

    def _take(self) -> PoolProxiedConnection:
        try:
            return self.engine.sync_engine.raw_connection()
        except EmulatedDBAPIException as error:  # which SQLAlchemy wraps everywhere else
            raise error.driver_exception from None

    async def connect(self) -> asyncpg.Connection:
        """Open a raw connection outside the pool, for LISTEN, NOTIFY and session locks."""
        return await self._connect(application_name="orchestrator-notifier")

    @property
    def aside(self) -> "Database":
        """The same database on connections of its own: for probes, which answer while the pool is exhausted."""
        if self._aside is None:
            self._aside = Database(self.url, pool_size=1, pool_seconds=2)
        return self._aside

    @property
    def pool(self) -> PoolState:
        """How the pool stands."""
        pool = self.engine.pool
        if not isinstance(pool, CountingPool):  # it was made above
            raise TypeError(type(pool).__name__)
        return pool.state

    async def close(self) -> None:
        """Close the pool."""
        if self._aside is not None:
            await self._aside.close()
        await self.engine.dispose()

    async def _connect(self, command_timeout: float | None = None, **settings: str) -> asyncpg.Connection:
        """Let the driver read the address, so that `sslmode` and its kin mean what they mean to psql."""
        dsn = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
        return await asyncpg.connect(dsn, timeout=10, command_timeout=command_timeout, server_settings=settings)
