"""What a fake runtime sends on one thread, and when."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Effect(Enum):
    """What happens to a stream when it comes to a cue."""

    DROP = "DROP"
    """The connection is cut in the middle of the frame."""
    CLOSE = "CLOSE"
    """The stream is closed politely in place of the frame."""
    FORGET = "FORGET"
    """The connection is cut, and the runtime knows nothing of the thread any more, as after a restart."""


@dataclass(frozen=True, slots=True)
class Cue:
    """One frame of a stream.

    Attributes:
        event: The runtime's name for the kind of frame.
        data: What it carries: JSON values.
        after: Seconds since the cue before, at speed 1.
        files: All files of the thread from here on, as the runtime writes them; None when they stay as they are.
        raw: Sent in place of what `data` would be, whatever it is.
        is_binary: Whether `raw` is sent as binary, where the protocol knows that.
        effect: What happens to a stream that comes here.
        times: How often the effect happens on one thread; later streams get the frame.
    """

    event: str
    data: Any = None
    after: float = 0.0
    files: Mapping[str, Any] | None = None
    raw: bytes | None = None
    is_binary: bool = False
    effect: Effect | None = None
    times: int = 1


@dataclass(frozen=True, slots=True)
class Play:
    """Everything that happens on one thread.

    Attributes:
        cues: What is sent while the run lasts, in order.
        ending: What is sent to say that the run is over.
        late: What is sent all the same after that.
        result: What the agent says last.
        error: Why the run fails; None when it succeeds.
        is_interrupted: Whether the run stops to ask a person.
        ends: Whether the run is ever over.
        lies: Whether the state says that the run is complete, without files, whatever it is.
        is_closed_politely: Whether the stream is closed as its protocol wants it.
    """

    cues: tuple[Cue, ...]
    ending: tuple[Cue, ...] = ()
    late: tuple[Cue, ...] = ()
    result: str | None = None
    error: str | None = None
    is_interrupted: bool = False
    ends: bool = True
    lies: bool = False
    is_closed_politely: bool = False
