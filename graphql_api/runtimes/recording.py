"""Recording: what the frames of a runtime mean, in the log and among the files."""

from collections.abc import Sequence

from graphql_api.events.log import EventLog
from graphql_api.events.records import NewEvent, NewLiveEvent
from graphql_api.kit import contents
from graphql_api.kit.database import Database, Session
from graphql_api.runtimes import executions, snapshots
from graphql_api.runtimes.executions import Claim
from graphql_api.runtimes.progress import Progress
from graphql_api.runtimes.protocol import FilesSnapshot, MessageDelta, Normalized, RunEnded, TokensUsed
from graphql_api.runtimes.snapshots import FilesRead


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
        """Store one batch in one transaction; live events follow the stored ones that they belong to.

        Raises:
            LeaseLost: When the claim is over.
            AppendRefused: For the same reason, found by the log.
        """
        if all(isinstance(item, MessageDelta) for item in normalized):
            deltas = [progress.delta(item) for item in normalized if isinstance(item, MessageDelta)]
            self._log.publish_live(claim.execution_id, progress.position, deltas)
            return
        used = [item for item in normalized if isinstance(item, TokensUsed)]
        steps = [await self._step(item, progress) for item in normalized if not isinstance(item, RunEnded)]
        async with self._database.transaction() as session:
            await executions.progress(
                session,
                claim,
                frames=progress.ingested,
                input_tokens=sum(item.input_tokens for item in used),
                output_tokens=sum(item.output_tokens for item in used),
            )
            # All at once: in one order for everybody, so that two executions that write the same can't deadlock.
            await contents.store(session, progress.unsaved.values())
            events: list[NewEvent | NewLiveEvent] = []
            for step in steps:
                if not isinstance(step, FilesRead):
                    events.append(step)
                    continue
                events += progress.refusals(step)
                if step.changes:
                    await self._append(session, claim, progress, [*events, snapshots.files_changed(step.changes)])
                    await snapshots.record(session, claim.execution_id, progress.position, step.changes)
                    events = []
            await self._append(session, claim, progress, events)
        progress.unsaved.clear()

    async def _step(
        self, item: NewEvent | MessageDelta | FilesSnapshot | TokensUsed, progress: Progress
    ) -> NewEvent | NewLiveEvent | FilesRead:
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
