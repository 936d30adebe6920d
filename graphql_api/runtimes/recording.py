"""Recording: what the frames of a runtime mean, in the log and among the files."""

from collections.abc import Sequence
from typing import TypedDict

from graphql_api.events.log import EventLog
from graphql_api.events.records import NewEvent, NewLiveEvent
from graphql_api.kit import contents
from graphql_api.kit.database import Database, Session
from graphql_api.runtimes import executions, snapshots
from graphql_api.runtimes.executions import Claim
from graphql_api.runtimes.progress import Progress
from graphql_api.runtimes.protocol import FilesSnapshot, MessageDelta, Normalized, RunEnded, TokensUsed
from graphql_api.runtimes.snapshots import FilesRead

_Step = NewEvent | NewLiveEvent | FilesRead


class _Noted(TypedDict):
    """What is noted of an execution with its events."""

    frames: int
    input_tokens: int
    output_tokens: int


class Recorder:
    """Stores what is normalized of the runs that a worker works on.

    Args:
        database: Where everything is stored.
        log: Where events go.
    """

    def __init__(self, database: Database, log: EventLog) -> None:
        self._database = database
        self._log = log

    async def record(self, claim: Claim, progress: Progress, normalized: Sequence[Normalized]) -> None:
        """Store one batch in one transaction, which is one statement unless files changed.

        Live events follow the stored ones that they belong to.

        Raises:
            LeaseLost: When the claim is over.
            AppendRefused: For the same reason, found by the log.
        """
        used = [item for item in normalized if isinstance(item, TokensUsed)]
        noted: _Noted = {
            "frames": progress.ingested,
            "input_tokens": sum(item.input_tokens for item in used),
            "output_tokens": sum(item.output_tokens for item in used),
        }
        steps = [await self._step(item, progress) for item in normalized if not isinstance(item, RunEnded)]
        if any(isinstance(step, FilesRead) and step.changes for step in steps):
            await self._store(claim, progress, steps, noted)
            progress.unsaved.clear()
            return
        events = [event for step in steps for event in _events(step, progress)]
        if any(isinstance(event, NewEvent) for event in events):
            stored = await executions.tell(self._log, claim, events, **noted)
            progress.position = stored[-1].sequence
        else:
            live = [event for event in events if isinstance(event, NewLiveEvent)]
            self._log.publish_live(claim.execution_id, progress.position, live)

    async def _store(self, claim: Claim, progress: Progress, steps: Sequence[_Step], noted: _Noted) -> None:
        """Store events with files that changed between them."""
        async with self._database.transaction() as session:
            await executions.progress(session, claim, **noted)
            # All at once: in one order for everybody, so that two executions that write the same can't deadlock.
            await contents.store(session, progress.unsaved.values())
            events: list[NewEvent | NewLiveEvent] = []
            for step in steps:
                events += _events(step, progress)
                if isinstance(step, FilesRead) and step.changes:
                    await self._append(session, claim, progress, [*events, snapshots.files_changed(step.changes)])
                    await snapshots.record(session, claim.execution_id, progress.position, step.changes)
                    events = []
            await self._append(session, claim, progress, events)

    async def _step(self, item: NewEvent | MessageDelta | FilesSnapshot | TokensUsed, progress: Progress) -> _Step:
        if not isinstance(item, FilesSnapshot):
            return progress.event(item)
        read = await snapshots.read_files(self._database, progress.files, item, known=progress.unsaved)
        progress.files = read.entries
        progress.unsaved |= read.texts
        return read

    async def _append(
        self, session: Session, claim: Claim, progress: Progress, events: list[NewEvent | NewLiveEvent]
    ) -> None:
        if any(isinstance(event, NewEvent) for event in events):
            stored = await self._log.append(session, claim.execution_id, events, epoch=claim.epoch)
            progress.position = stored[-1].sequence
        elif events:
            live, position = [event for event in events if isinstance(event, NewLiveEvent)], progress.position
            session.after_commit.append(lambda: self._log.publish_live(claim.execution_id, position, live))


def _events(step: _Step, progress: Progress) -> Sequence[NewEvent | NewLiveEvent]:
    """Give the events of a step, without that of the files that changed."""
    return progress.refusals(step) if isinstance(step, FilesRead) else [step]
