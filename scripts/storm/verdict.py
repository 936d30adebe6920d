"""What has to hold once the storm is over, seen from outside: by clients, in the database, at the processes."""

import asyncio
import base64
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from uuid import UUID

import asyncpg
import psutil
from callers import TERMINAL, Tally, Watch
from crowd import Board
from house import House

SETTLE_SECONDS = 90
"""How long the system may take to come to rest once nothing breaks any more."""

MEMORY_BYTES = 400 * 1024 * 1024
"""What a process may take at most."""

CONNECTIONS = 26
"""Of one process to the database: its pool with overflow, the probes', the listener, the notifier, the worker's."""

_LOGS = """
SELECT p.id, p.status, l.last_sequence, l.is_closed, count(e.sequence) AS events, max(e.sequence) AS newest,
       count(*) FILTER (WHERE e.is_terminal) AS terminals, max(e.sequence) FILTER (WHERE e.is_terminal) AS terminal_at,
       array_agg(e.type ORDER BY e.sequence) AS types
FROM proposals p JOIN event_logs l ON l.subject_id = p.id LEFT JOIN events e ON e.subject_id = p.id
GROUP BY p.id, l.subject_id
"""
_BAD_POINTERS = """
SELECT w.id FROM workflows w LEFT JOIN versions v
  ON v.workflow_id = w.id AND v.number = w.production_version_number AND v.status = 'PUBLISHED'
WHERE w.production_version_number IS NOT NULL
  AND (v.id IS NULL OR NOT EXISTS (SELECT FROM version_files f WHERE f.version_id = v.id))
"""
_FINAL = {"COMPLETED", "FAILED", "CANCELLED", "APPROVED", "REJECTED", "SUPERSEDED", "EXPIRED"}


async def check(house: House, board: Board, tally: Tally) -> dict[str, list[str]]:
    """Check everything; give the violations by rule, also those rules that hold."""
    connection = await house.postgres.connect()
    try:
        logs = {row["id"]: row for row in await connection.fetch(_LOGS)}
        return {
            "nobody was refused without reason": list(tally.violations),
            "each subscriber's sequence is whole and without repeats": [
                problem for watch in board.watches for problem in _whole(watch)
            ],
            "all subscribers saw what the log says": list(_agree(board.watches, logs)),
            "each proposal has one terminal state, last": list(_terminal(board, logs)),
            "decisions and deployments that were acknowledged stand": await _kept(connection, board, logs),
            "production pointers are valid": [f"workflow {row['id']}" for row in await connection.fetch(_BAD_POINTERS)],
            "no execution is left, no lease, no worker's lock": await _settled(lambda: _leases(connection, house)),
            "no connection is left": await _settled(lambda: _connections(connection, house)),
            "memory is bounded": list(_memory(house)),
        }
    finally:
        await connection.close()


def key_of(global_id: str) -> UUID:
    """Read the key in a global id."""
    return UUID(base64.b64decode(global_id).decode().partition(":")[2])


def _whole(watch: Watch) -> Iterator[str]:
    sequences = [seen.sequence for seen in watch.got]
    wanted = list(range(watch.after + 1, watch.after + 1 + len(sequences)))
    name = f"{watch.proposal} from {watch.after} over {watch.connections} connections"
    if sequences != wanted:
        odd = next(n for n, (got, want) in enumerate(zip(sequences, wanted, strict=True)) if got != want)
        yield f"{name}: {sequences[max(0, odd - 2) : odd + 3]} where {wanted[odd]} was due"
    if not watch.is_over:
        yield f"{name}: never completed; the last was {sequences[-1] if sequences else None}"
    elif sequences and watch.got[-1].type not in TERMINAL:
        yield f"{name}: completed after {watch.got[-1].type}"
    if any(seen.type in TERMINAL for seen in watch.got[:-1]):
        yield f"{name}: something came after the terminal event"


def _agree(watches: Sequence[Watch], logs: dict[UUID, asyncpg.Record]) -> Iterator[str]:
    for watch in watches:
        row = logs.get(key_of(watch.proposal))
        if row is None:
            continue
        for seen in watch.got:
            if seen.sequence > row["newest"] or row["types"][seen.sequence - 1] != seen.type:
                yield f"{watch.proposal}: {seen.type} at {seen.sequence} is not what the log has there"


def _terminal(board: Board, logs: dict[UUID, asyncpg.Record]) -> Iterator[str]:
    for proposal in board.proposals:
        if key_of(proposal) not in logs:
            yield f"{proposal} was acknowledged and is gone"
    for id_, row in logs.items():
        if row["status"] not in _FINAL:
            yield f"{id_} is {row['status']}"
        elif not (row["terminals"] == 1 and row["is_closed"] and row["terminal_at"] == row["newest"]):
            yield f"{id_} is {row['status']}, with {row['terminals']} terminal events"
        if not row["last_sequence"] == row["events"] == row["newest"]:
            yield f"{id_}: {row['events']} events to {row['newest']}, and the head says {row['last_sequence']}"


async def _kept(connection: asyncpg.Connection, board: Board, logs: dict[UUID, asyncpg.Record]) -> list[str]:
    wrong = []
    for status, proposals in (("APPROVED", board.approved), ("REJECTED", board.rejected)):
        wrong += [
            f"{each} was {status}, and is {logs[key_of(each)]['status']}"
            for each in proposals
            if key_of(each) in logs and logs[key_of(each)]["status"] != status
        ]
    rows = await connection.fetch("SELECT id, production_version_number FROM workflows")
    production = {row["id"]: row["production_version_number"] for row in rows}
    for workflow, number in board.deployed.items():
        if production.get(key_of(workflow)) != number:
            wrong.append(f"{workflow}: {number} was deployed, and {production.get(key_of(workflow))} is in production")
    return wrong


async def _leases(connection: asyncpg.Connection, house: House) -> list[str]:
    states = await connection.fetch(
        "SELECT state, count(*) AS n, count(lease_owner) AS leases FROM executions "
        "WHERE state NOT IN ('ENDED', 'FORGOTTEN') OR lease_owner IS NOT NULL GROUP BY state"
    )
    left = [f"{row['n']} executions are {row['state']}, {row['leases']} of them leased" for row in states]
    locks = await connection.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 3524")
    if locks != len(house.workers):
        left.append(f"{locks} workers' locks, and {len(house.workers)} workers")
    return left


async def _connections(connection: asyncpg.Connection, house: House) -> list[str]:
    rows = await connection.fetch(
        "SELECT state, now() - state_change > interval '2 s' AS old FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    left = []
    bound = CONNECTIONS * (len(house.apis) + len(house.workers))
    if len(rows) > bound or len(rows) > house.database.connections:
        left.append(f"{len(rows)} connections to the database, of which {house.database.connections} have a client")
    stuck = Counter(row["state"] for row in rows if row["old"] and row["state"] != "idle")
    if stuck:
        left.append(f"connections that are neither idle nor young: {dict(stuck)}")
    for api in house.apis:
        process = api.process
        served = [
            each
            for each in (process.net_connections("tcp") if process else ())
            if each.laddr.port == api.port and each.status == psutil.CONN_ESTABLISHED
        ]
        if served:
            left.append(f"{api.name} holds {len(served)} connections of clients who are gone")
    return left


def _memory(house: House) -> Iterator[str]:
    for member in house.members:
        member.measure()
        if member.process is None:
            yield f"{member.name} does not run; see {member.log}"
        elif member.largest > MEMORY_BYTES:
            yield f"{member.name} took {member.largest / 2**20:.0f} MiB"


async def _settled(look: Callable[[], Awaitable[list[str]]]) -> list[str]:
    """Look again until nothing is left, for a while; give what is left then."""
    left = await look()
    for _ in range(SETTLE_SECONDS * 5):
        if not left:
            break
        await asyncio.sleep(0.2)
        left = await look()
    return left
