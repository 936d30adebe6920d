"""The garbage collector of a process that serves for long."""

import gc

THRESHOLDS = 10_000, 10, 10
"""Python looks after 700 new containers, and one connection has more of them, all in use."""


def spare() -> None:
    """Let the collector look less often, and never again at what the process has loaded.

    Its pauses were a third of the time in which a thousand clients subscribe.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


def retire() -> None:
    """Let the collector look at nothing any more, since the process ends: its memory goes with it.

    Python looks once more at its end, which takes half a second where a thousand subscriptions were open.
    """
    gc.freeze()
