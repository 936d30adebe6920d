"""Imports the modules of its arguments, and runs one module in a fork of itself for each line of its input.

To import the product takes longer than a short measurement. A line is JSON: which module's `main` is called, the words
of its command line, variables of its environment, and whether its output is thrown away. A fork prints its process id
before anything else, and an empty line when it fails.
"""

import json
import os
import signal
import sys
from importlib import import_module
from typing import Any

from graphql_api.kit import logs


def run(order: dict[str, Any]) -> None:
    """Be the program that was asked for."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    print(os.getpid(), flush=True)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2) if order["is_quiet"] else (0,):
        os.dup2(nothing, number)
    sys.argv[1:] = order["words"]
    os.environ.update(order["settings"])
    try:
        import_module(order["module"]).main()
    except BaseException:
        # Nobody is to wait for a line that never comes.
        print(flush=True)
        raise


def main() -> None:
    """Fork until there are no more lines."""
    for name in sys.argv[1:]:
        import_module(name)
    logs.configure("error", is_json=True)
    print("ready", flush=True)
    # Who has ended leaves nothing behind that somebody has to wait for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        if os.fork() == 0:
            run(json.loads(line))
            return


if __name__ == "__main__":
    main()
