"""Wakes the followers of all processes. What it carries is a hint: the log's order decides what is delivered.

NOTIFY inside the appending transaction would end PostgreSQL's group commit, so one notifier per process sends after the
commit: coalesced, one statement in flight, on a connection of its own that does not wait for the disk.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import structlog

from graphql_api.events.hub import Hub
from graphql_api.events.records import LiveEvent, StoredEvent
from graphql_api.kit.database import DATABASE_ERRORS, Database

CHANNEL = "orchestrator_events"

MAX_NOTIFICATION_BYTES = 7900
"""PostgreSQL takes at most 7999."""

MAX_NOTIFICATIONS = 16
"""Sent in one statement, so that what was appended at once arrives at once."""

BACKLOG = 10_000
"""Notifications that wait while the connection is away; the oldest go first, and followers find the gap."""

RECONNECT_SECONDS = 0.5

_NOTIFY = "SELECT pg_notify($1, notification) FROM unnest($2::text[]) AS notification"

_log = structlog.get_logger()


QUIET_SECONDS = 20.0
"""After this long, the connection that listens is asked whether it is still there."""

ANSWER_SECONDS = 10.0
"""What PostgreSQL may take to answer; a connection that does not is given up for another."""


class Notifier:
    """Sends what this process appended, and hands what all processes sent to the hub."""

    def __init__(self, database: Database, hub: Hub) -> None:
        self._database = database
        self._hub = hub
        self._waiting: deque[bytes] = deque(maxlen=BACKLOG)
        self._arrived: dict[UUID, list[StoredEvent | LiveEvent]] = {}
        self._signals: set[str] = set()
        self._filled = asyncio.Event()
        self.listening = asyncio.Event()

    @property
    def backlog(self) -> int:
        """How many notifications wait to be sent."""
        return len(self._waiting)

    def publish(self, events: Iterable[StoredEvent | LiveEvent]) -> None:
        """Tell everybody of events that are committed, or that are live only."""
        self._waiting.extend(_encode(event) for event in events)
        self._filled.set()

    def signal(self, channel: str) -> None:
        """Wake whoever listens to a channel of their own; signals that wait together are one."""
        self._signals.add(channel)
        self._filled.set()

    async def run(self) -> None:
        """Send and listen until cancelled, on connections that are renewed when they break."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep(self._send))
            tasks.create_task(self._keep(self._listen))

    async def _keep(self, work: Any) -> None:  # noqa: ANN401 - one of the two methods below
        while True:
            try:
                connection = await self._database.connect()
                try:
                    await work(connection)
                finally:
                    connection.terminate()
            except DATABASE_ERRORS as error:
                _log.warning("notifier_disconnected", error=type(error).__name__)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _send(self, connection: asyncpg.Connection) -> None:
        await connection.execute("SET synchronous_commit = off")
        self._filled.set()  # by what was left when the last connection broke
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._signals or self._waiting:
                if connection.is_closed():  # seen before what waits is taken, which is then not lost with it
                    raise ConnectionResetError
                if self._signals:
                    await self._send_signal(connection, self._signals.pop())
                if self._waiting:
                    await connection.execute(_NOTIFY, CHANNEL, self._take_notifications(), timeout=ANSWER_SECONDS)

    async def _send_signal(self, connection: asyncpg.Connection, channel: str) -> None:
        try:
            await connection.execute("SELECT pg_notify($1, '')", channel, timeout=ANSWER_SECONDS)
        except BaseException:
            self._signals.add(channel)  # twice wakes no worse than once, and nobody looks for a signal that is lost
            raise

    def _take_notifications(self) -> list[str]:
        taken: list[str] = []
        while self._waiting and len(taken) < MAX_NOTIFICATIONS:
            taken.append(self._take_notification())
        return taken

    def _take_notification(self) -> str:
        entries = [self._waiting.popleft()]
        size = len(entries[0]) + 2
        while self._waiting and size + len(self._waiting[0]) + 1 <= MAX_NOTIFICATION_BYTES:
            entries.append(self._waiting.popleft())
            size += len(entries[-1]) + 1
        return (b"[" + b",".join(entries) + b"]").decode()

    async def _listen(self, connection: asyncpg.Connection) -> None:
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _connection: lost.set())
        await connection.add_listener(CHANNEL, self._receive)
        self._hub.miss_everything()
        self.listening.set()
        try:
            while not lost.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(QUIET_SECONDS):
                        await lost.wait()
                # A network that forgot the connection tells nobody.
                await connection.execute("SELECT 1", timeout=ANSWER_SECONDS)
        finally:
            self.listening.clear()

    def _receive(self, _connection: object, _pid: int, _channel: str, notification: object) -> None:
        if self._hub.is_empty:  # as in a worker, which nobody watches through
            return
        arrived: list[tuple[UUID, list[StoredEvent | LiveEvent]]] = []
        for subject, entries in groupby(orjson.loads(str(notification)), key=itemgetter(0)):
            key = UUID(subject)
            if not self._hub.follows(key):
                continue
            events: list[StoredEvent | LiveEvent] = []
            for _, sequence, *rest in entries:
                if rest:
                    events.append(_decode(key, sequence, *rest))
                else:
                    self._hub.point(key, sequence)
            arrived.append((key, events))
        if not self._arrived:
            # After the other notifications that were read from the connection with this one.
            asyncio.get_running_loop().call_soon(self._deliver)
        for key, events in arrived:
            self._arrived.setdefault(key, []).extend(events)

    def _deliver(self) -> None:
        arrived, self._arrived = self._arrived, {}
        for key, events in arrived.items():
            self._hub.deliver(key, events)


def _encode(event: StoredEvent | LiveEvent) -> bytes:
    is_terminal = event.is_terminal if isinstance(event, StoredEvent) else None
    head = [str(event.subject), event.sequence]
    entry = orjson.dumps([*head, event.type, event.occurred_at, event.payload, is_terminal])
    if len(entry) + 2 > MAX_NOTIFICATION_BYTES:
        entry = orjson.dumps(head)
    # What orjson 3.13 gives occupies 4 KB or more, whatever it holds, and many may wait: it is copied.
    return b"".join((b"", entry))


def _decode(
    subject: UUID,
    sequence: int,
    type_: str,
    occurred_at: str,
    payload: dict[str, Any],
    is_terminal: bool | None,  # noqa: FBT001 - a field of a row
) -> StoredEvent | LiveEvent:
    at = datetime.fromisoformat(occurred_at)
    if is_terminal is None:
        return LiveEvent(subject, sequence, type_, payload, at)
    return StoredEvent(subject, sequence, type_, payload, at, is_terminal)
