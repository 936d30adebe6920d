"""Faults of runtimes: how they are asked for, and what they do to a play."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import chain
from typing import Any

from graphql_api.runtimes.fakes.cues import Cue, Effect, Play

FAILURE = "The fake runtime was asked to fail."

_WORD = re.compile(r"\[fault:([a-z0-9-]+)\]\s*")
_FOR_EVER = 1_000_000
_DROP_EVERY = 5


class Fault(Enum):
    """One way to misbehave, by the name that asks for it."""

    SLOW = "slow"
    REFUSES = "refuses"
    REFUSES_ONCE = "refuses-once"
    FAILS_TO_START = "500"
    FAILS_AFTER_START = "500-after-start"
    DROP_MID_FRAME = "drop-mid-frame"
    DROPS_ALWAYS = "drops-always"
    CLOSES_EARLY = "closes-early"
    DUPLICATES = "duplicates"
    REORDERS = "reorders"
    GARBAGE = "garbage"
    INVALID_UTF8 = "invalid-utf8"
    HUGE_FRAMES = "huge-frames"
    NEVER_ENDS = "never-ends"
    SILENT = "silent"
    ENDS_TWICE = "ends-twice"
    NO_FILES = "no-files"
    FILES_IN_STATE_ONLY = "files-in-state-only"
    CHANGES_THREAD_ID = "changes-thread-id"
    RESTARTS = "restarts"
    ERROR_THEN_END = "error-then-end"
    EVENTS_AFTER_END = "events-after-end"
    STATE_LIES = "state-lies"


MEANINGS: Mapping[Fault, str] = {
    Fault.SLOW: "every answer and every frame takes a while",
    Fault.REFUSES: "new runs are refused with 503",
    Fault.REFUSES_ONCE: "the first try to start a run is refused with 503, the next one works",
    Fault.FAILS_TO_START: "new runs are answered with 500, and not started",
    Fault.FAILS_AFTER_START: "the first answer is 500, although the run was started",
    Fault.DROP_MID_FRAME: "the stream is cut in the middle of a frame, once",
    Fault.DROPS_ALWAYS: "the stream is cut in the middle of a frame, again and again",
    Fault.CLOSES_EARLY: "the stream is closed politely before the run is over, once",
    Fault.DUPLICATES: "every frame is sent twice",
    Fault.REORDERS: "neighbouring frames change places; the end stays last",
    Fault.GARBAGE: "between the frames come some that nobody can read",
    Fault.INVALID_UTF8: "one frame is not UTF-8",
    Fault.HUGE_FRAMES: "one frame is far larger than any sensible one",
    Fault.NEVER_ENDS: "all is sent but the end, and the stream stays open",
    Fault.SILENT: "the run starts, and nothing is sent",
    Fault.ENDS_TWICE: "the end is sent twice",
    Fault.NO_FILES: "the run completes without any files",
    Fault.FILES_IN_STATE_ONLY: "the stream carries no files; the state has them",
    Fault.CHANGES_THREAD_ID: "the thread gets another id than the one that was asked for",
    Fault.RESTARTS: "the stream is cut, and nothing is known of the thread any more",
    Fault.ERROR_THEN_END: "the run fails, and the end is sent after the error",
    Fault.EVENTS_AFTER_END: "more is sent after the end, files among it",
    Fault.STATE_LIES: "the state says from the start that the run is complete, without files",
}
"""What a runtime does with each fault."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What some faults need to know of a protocol.

    Attributes:
        end: Says that the run succeeded.
        fail: Says why the run failed.
        noise: Frames that nobody can read.
        stray: A frame with a file that the run never wrote.
        large: Makes a frame of so many characters.
    """

    end: Cue
    fail: Callable[[str], Cue]
    noise: Sequence[Cue]
    stray: Cue
    large: Callable[[int], Cue]


def faults_in(text: str) -> frozenset[Fault]:
    """Find the faults that a text asks for, each as `[fault:NAME]`; names that are none are left alone."""
    known = {fault.value for fault in Fault}
    return frozenset(Fault(name) for name in _WORD.findall(text) if name in known)


def without_faults(prompt: str) -> str:
    """Take the words that ask for faults out of a prompt."""
    return _WORD.sub("", prompt)


@dataclass(frozen=True, slots=True)
class Means:
    """What faults are made with.

    Attributes:
        dialect: Of the protocol.
        slow_seconds: Before each frame of a slow runtime.
        huge: Characters of a huge frame.
    """

    dialect: Dialect
    slow_seconds: float
    huge: int


def spoilt(play: Play, faults: Collection[Fault], means: Means) -> Play:
    """Give a play as it is with some faults; those that have nothing to do with the stream change nothing."""
    for fault in Fault:
        if fault in faults and fault in _CHANGES:
            play = _CHANGES[fault](play, means)
    return play


def _slow(play: Play, means: Means) -> Play:
    return replace(play, cues=tuple(replace(cue, after=cue.after + means.slow_seconds) for cue in play.cues))


def _dropping_always(play: Play, _means: Means) -> Play:
    for index in range(_DROP_EVERY, len(play.cues), _DROP_EVERY):
        play = _struck(play, index, Effect.DROP, times=_FOR_EVER)
    return play


def _striking(effect: Effect) -> Callable[[Play, Means], Play]:
    return lambda play, _means: _struck(play, len(play.cues) // 2, effect)


def _doubled(play: Play, _means: Means) -> Play:
    return replace(play, cues=tuple(chain.from_iterable((cue, replace(cue, after=0)) for cue in play.cues)))


def _reordered(play: Play, _means: Means) -> Play:
    return replace(play, cues=tuple(_swapped(play.cues)))


def _noisy(play: Play, means: Means) -> Play:
    return _with(play, *means.dialect.noise)


def _not_utf8(play: Play, means: Means) -> Play:
    return _with(play, replace(means.dialect.end, raw=b'{"event_type": "\xff\xfe", "data": "\xc3\x28"}'))


def _huge(play: Play, means: Means) -> Play:
    return _with(play, means.dialect.large(means.huge))


def _endless(play: Play, _means: Means) -> Play:
    return replace(play, ending=(), ends=False)


def _silent(play: Play, _means: Means) -> Play:
    return replace(play, cues=(), ending=(), ends=False)


def _ending_twice(play: Play, means: Means) -> Play:
    return replace(play, ending=(means.dialect.end, means.dialect.end))


def _without(*, keep: bool) -> Callable[[Play, Means], Play]:
    return lambda play, _means: replace(play, cues=tuple(_bare(play.cues, keep=keep)))


def _failing(play: Play, means: Means) -> Play:
    return replace(play, ending=(means.dialect.fail(FAILURE), means.dialect.end), error=FAILURE)


def _going_on(play: Play, means: Means) -> Play:
    return replace(play, ending=(means.dialect.end,), late=(means.dialect.stray, *play.cues[-2:]))


_CHANGES: Mapping[Fault, Callable[[Play, Means], Play]] = {
    Fault.SLOW: _slow,
    Fault.DROP_MID_FRAME: _striking(Effect.DROP),
    Fault.DROPS_ALWAYS: _dropping_always,
    Fault.CLOSES_EARLY: _striking(Effect.CLOSE),
    Fault.DUPLICATES: _doubled,
    Fault.REORDERS: _reordered,
    Fault.GARBAGE: _noisy,
    Fault.INVALID_UTF8: _not_utf8,
    Fault.HUGE_FRAMES: _huge,
    Fault.NEVER_ENDS: _endless,
    Fault.SILENT: _silent,
    Fault.ENDS_TWICE: _ending_twice,
    Fault.NO_FILES: _without(keep=False),
    Fault.FILES_IN_STATE_ONLY: _without(keep=True),
    Fault.RESTARTS: _striking(Effect.FORGET),
    Fault.ERROR_THEN_END: _failing,
    Fault.EVENTS_AFTER_END: _going_on,
    Fault.STATE_LIES: lambda play, _means: replace(play, lies=True),
}


def _struck(play: Play, index: int, effect: Effect, times: int = 1) -> Play:
    return replace(
        play,
        cues=(
            *play.cues[:index],
            *(replace(cue, effect=effect, times=times) for cue in play.cues[index : index + 1]),
            *play.cues[index + 1 :],
        ),
    )


def _with(play: Play, *cues: Cue) -> Play:
    """Put frames into the middle of the run."""
    middle = len(play.cues) // 2
    return replace(play, cues=(*play.cues[:middle], *cues, *play.cues[middle:]))


def _swapped(cues: Sequence[Cue]) -> Iterator[Cue]:
    for index in range(0, len(cues), 2):
        yield from reversed(cues[index : index + 2])


def _bare(cues: Sequence[Cue], *, keep: bool) -> Iterator[Cue]:
    """Take the files out of what is sent, and also out of the thread unless they are to be kept."""
    for cue in cues:
        yield replace(cue, data=_without_files(cue.data), files=cue.files if keep else None)


def _without_files(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {key: _without_files(item) for key, item in value.items() if key != "files"}
    return value
