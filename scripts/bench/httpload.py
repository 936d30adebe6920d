"""What httpload.c does, with the same options and the same result, where that can't be compiled.

It takes as much CPU time as a server, so look at the server's own and not at requests a second.
"""

import argparse
import asyncio
import itertools
import json
import re
import sys
import time
from pathlib import Path

import psutil

_SIZE = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Load:
    """Asks a server on several connections, and counts the answers."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.bodies = Path(options.bodies).read_text(encoding="utf-8").splitlines()
        self.answers, self.wanted = 0, 0
        self.enough = asyncio.Event()

    async def ask(self, body: str) -> None:
        """Send one request after the other."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.options.port, limit=1 << 20)
        for number in itertools.count(1):
            writer.write(self._request(body.replace("#N", str(number)).encode()))
            head = await reader.readuntil(b"\r\n\r\n")
            size = _SIZE.search(head)
            answer = await (reader.readexactly(int(size[1])) if size else reader.readuntil(b"\r\n0\r\n\r\n"))
            if not head.startswith(b"HTTP/1.1 200") or self.options.expect.encode() not in answer:
                sys.exit(f"httpload: an answer is not what was expected: {head.decode()}{answer[:2000].decode()}")
            self.answers += 1
            if self.answers == self.wanted:
                self.enough.set()

    def _request(self, body: bytes) -> bytes:
        authorization = f"Authorization: Bearer {self.options.token}\r\n" if self.options.token else ""
        head = (
            f"POST {self.options.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.options.port}\r\nAccept: application/json\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{authorization}\r\n"
        )
        return head.encode() + body

    async def measure(self) -> dict[str, float]:
        """Get warm, and then measure."""
        options, server = self.options, psutil.Process(self.options.pid)
        async with asyncio.TaskGroup() as tasks:
            bodies = itertools.islice(itertools.cycle(self.bodies), options.connections)
            asking = [tasks.create_task(self.ask(body)) for body in bodies]
            await asyncio.sleep(options.warm)
            answers, began, cpu = self.answers, time.monotonic(), sum(server.cpu_times()[:2])
            self.wanted = answers + 2 * options.connections
            await asyncio.sleep(options.seconds)
            await self.enough.wait()
            measured = {
                "seconds": time.monotonic() - began,
                "answers": self.answers - answers,
                "cpu": sum(server.cpu_times()[:2]) - cpu,
                "all_answers": self.answers,
            }
            for task in asking:
                task.cancel()
        return measured


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("port", "pid", "connections"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("warm", "seconds"):
        parser.add_argument(f"--{name}", type=float, required=True)
    for name in ("bodies", "path"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("token", "expect"):
        parser.add_argument(f"--{name}", default="")
    print(json.dumps(asyncio.run(Load(parser.parse_args()).measure())))


if __name__ == "__main__":
    main()
