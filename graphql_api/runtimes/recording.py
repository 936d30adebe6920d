"""Recording: what the frames of a runtime mean, in the log and among the files."""

from collections.abc import Sequence

from graphql_api.events.log import EventLog
from graphql_api.events.records import NewEvent, NewLiveEvent
from graphql_api.kit.database import Database
from graphql_api.runtimes import executions, snapshots
from graphql_api.runtimes.executions import Claim
from graphql_api.runtimes.progress import Progress
from graphql_api.runtimes.protocol import FilesSnapshot, MessageDelta, Normalized, RunEnded, TokensUsed
from graphql_api.runtimes.snapshots import FilesRead, Written


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
        """Store one batch in one statement; live events follow the stored ones that they belong to.

        Raises:
            AppendRefused: When the claim is over.
            LeaseLost: For the same reason, when there was nothing to append.
        """
        if all(isinstance(item, MessageDelta) for item in normalized):
            deltas = [progress.delta(item) for item in normalized if isinstance(item, MessageDelta)]
            self._log.publish_live(claim.execution_id, progress.position, deltas)
            return
        used = [item for item in normalized if isinstance(item, TokensUsed)]
        events: list[NewEvent | NewLiveEvent] = []
        files: Written | None = None
        for item in normalized:
            if isinstance(item, FilesSnapshot):
                read = await self._read(item, progress)
                events += progress.refusals(read)
                if read.changes:
                    events.append(snapshots.files_changed(read.changes))
                    files = files or Written(progress.unsaved.values())
                    files.add(read.changes, sum(isinstance(event, NewEvent) for event in events))
            elif not isinstance(item, RunEnded):
                events.append(progress.event(item))
        if not any(isinstance(event, NewEvent) for event in events):
            await executions.note(self._database, claim, frames=progress.ingested)
            live = [event for event in events if isinstance(event, NewLiveEvent)]
            self._log.publish_live(claim.execution_id, progress.position, live)
            return
        stored = await executions.tell(
            self._log,
            claim,
            events,
            frames=progress.ingested,
            input_tokens=sum(item.input_tokens for item in used),
            output_tokens=sum(item.output_tokens for item in used),
            files=files,
        )
        progress.position = stored[-1].sequence
        progress.unsaved.clear()

    async def _read(self, snapshot: FilesSnapshot, progress: Progress) -> FilesRead:
        """Compare files with those that are stored, or will be with the batch at hand."""
        read = await snapshots.read_files(self._database, progress.files, snapshot, known=progress.unsaved)
        progress.files = read.entries
        progress.unsaved |= read.texts
        return read
