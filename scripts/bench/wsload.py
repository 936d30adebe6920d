"""What wsload.c does, with the same options and the same result, where that can't be compiled.

It takes more CPU time than most servers, so look at the server's own and not at events a second.
"""

import argparse
import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import psutil
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

_SENT = re.compile(r'"(?:toolCallId|messageId)":"(\d+)"')
_OPENING, _GIVE_UP_SECONDS = 64, 30


class Load:
    """Subscribes on several connections, and counts what arrives."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.query = Path(options.query).read_text(encoding="utf-8")
        self.logs = Path(options.logs).read_text(encoding="utf-8").split() if options.logs else []
        self.running, self.counts = 0, [0] * options.connections
        self.bytes, self.latencies, self.is_measuring = 0, list[float](), False
        self.opening, self.begun, self.flowing = asyncio.Semaphore(_OPENING), asyncio.Event(), asyncio.Event()

    def log(self, index: int) -> str:
        """Name the log that a connection follows; see source.py."""
        options = self.options
        own = index if options.distinct or options.idle or options.paced else 0
        expected = 9999999 if options.idle else options.connections
        if self.logs:
            return self.logs[index % len(self.logs)]
        return f"{expected:07}{int(options.paced)}-0000-4000-8000-{own:012}"

    async def follow(self, index: int) -> None:
        """Subscribe, and count."""
        url, protocols = f"ws://127.0.0.1:{self.options.port}/graphql", [Subprotocol("graphql-transport-ws")]
        token = self.options.token
        init = {"type": "connection_init", "payload": {"authorization": f"Bearer {token}"} if token else {}}
        payload = {"query": self.query, "variables": {"proposalId": self.log(index)}, "operationName": "Run"}
        async with self.opening:
            connection = await connect(url, subprotocols=protocols, compression=None, proxy=None, open_timeout=60)
            await connection.send(json.dumps(init))
            await connection.recv()
            await connection.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
            await connection.recv()
        self.running += 1
        if self.running == self.options.connections:
            self.begun.set()
        async for message in connection:
            self.flowing.set()
            if self.is_measuring:
                self.counts[index] += 1
                self.bytes += len(message)
                if self.options.paced and (sent := _SENT.search(str(message))):
                    self.latencies.append((time.monotonic_ns() - int(sent[1])) / 1e3)

    async def measure(self) -> dict[str, Any]:
        """Wait until all subscriptions have begun, get warm, and then measure."""
        options, server = self.options, psutil.Process(self.options.pid)
        memory, began, cpu = _memory(server), time.monotonic(), _cpu(server)
        following = [asyncio.create_task(self.follow(index)) for index in range(options.connections)]
        await self.begun.wait()
        print("all have subscribed", flush=True)
        measured = {"subscribe_seconds": time.monotonic() - began, "subscribe_cpu": _cpu(server) - cpu}
        if not options.idle:
            self.flowing.clear()
            async with asyncio.timeout(_GIVE_UP_SECONDS):
                await self.flowing.wait()
            await asyncio.sleep(options.warm)
            self.is_measuring, began, cpu = True, time.monotonic(), _cpu(server)
            await asyncio.sleep(options.seconds)
        self.latencies.sort()
        measured |= {
            "memory_kilobytes": (_memory(server) - memory) / 1024,
            "seconds": time.monotonic() - began,
            "messages": sum(self.counts),
            "bytes": self.bytes,
            "cpu": _cpu(server) - cpu,
            "least_messages": min(self.counts),
            "latency_50": self._latency_at(0.5),
            "latency_99": self._latency_at(0.99),
        }
        for task in following:
            task.cancel()
        return measured

    def _latency_at(self, share: float) -> float:
        return self.latencies[int(share * (len(self.latencies) - 1))] if self.latencies else 0.0


def _memory(process: psutil.Process) -> int:
    """Tell how many bytes a process holds, without what it has of files where the system tells them apart."""
    memory = process.memory_info()
    return int(memory.rss - getattr(memory, "shared", 0))


def _cpu(process: psutil.Process) -> float:
    return float(sum(process.cpu_times()[:2]))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("port", "pid", "connections"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("warm", "seconds"):
        parser.add_argument(f"--{name}", type=float, required=True)
    parser.add_argument("--query", required=True)
    for name in ("logs", "token"):
        parser.add_argument(f"--{name}", default="")
    for name in ("distinct", "idle", "paced"):
        parser.add_argument(f"--{name}", action="store_true")
    print(json.dumps(asyncio.run(Load(parser.parse_args()).measure())))


if __name__ == "__main__":
    main()
