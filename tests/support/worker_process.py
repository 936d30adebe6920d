"""A worker in a process of its own, until SIGTERM: `python -m support.worker_process URL PACE LEASE`, in seconds."""

import asyncio
import signal
import sys
from datetime import timedelta

from graphql_api.events.log import EventLog
from graphql_api.kit.database import Database, parse_url
from graphql_api.runtimes.embedded.adapter import EmbeddedRuntime
from graphql_api.runtimes.worker import Worker
from support.executions import Listener


async def main(url: str, pace_seconds: float, lease_seconds: float) -> None:
    """Work, and hand over what is left."""
    database = Database(parse_url(url))
    log = EventLog(database)
    runtime = EmbeddedRuntime(pace_seconds)
    worker = Worker(database, log, runtime, Listener(log), lease=timedelta(seconds=lease_seconds))
    async with log.running():
        task = asyncio.create_task(worker.run())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await asyncio.gather(task, return_exceptions=True)
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
