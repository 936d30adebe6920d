"""Approval: the draft's base, the draft now and the proposal, merged three ways."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from graphql_api.authoring import access, drafts, filesets, merging, proposals
from graphql_api.authoring.errors import MergeConflict, StaleRevision, proposal_transition
from graphql_api.authoring.filesets import FileSet
from graphql_api.authoring.idempotency import Repeatable
from graphql_api.authoring.merging import Merge, Resolution
from graphql_api.authoring.models import AccessRole, Draft, Proposal, ProposalStatus
from graphql_api.authoring.previews import Preview
from graphql_api.context import Context
from graphql_api.kit import contents
from graphql_api.kit.columns import among, columns_of, now, select_rows
from graphql_api.kit.conflicts import tried_again
from graphql_api.kit.database import Session
from graphql_api.kit.files import FileEntry, changed_digests, changes_between, entry_of
from graphql_api.kit.statements import Rows
from graphql_api.kit.texts import checked_text
from graphql_api.runtimes import snapshots


@dataclass(frozen=True, slots=True)
class _Sides:
    base: Mapping[str, FileEntry]
    ours: Mapping[str, FileEntry]
    theirs: Mapping[str, FileEntry]


@dataclass(frozen=True, slots=True)
class _Merging:
    draft_revision: int
    sides: _Sides
    merge: Merge


class _Waiting(NamedTuple):
    """A proposal that waits for a decision, and its draft."""

    proposal_id: UUID
    base_revision: int
    draft_id: UUID
    draft_revision: int


_proposal, _draft = columns_of(Proposal), columns_of(Draft)
_WAITING = select_rows(
    _proposal.id, _proposal.base_revision, _draft.id.label("draft_id"), _draft.revision.label("draft_revision")
).where(
    among(_proposal.id),
    _draft.id == _proposal.draft_id,
    _proposal.status == ProposalStatus.COMPLETED,
    _draft.closed_at.is_(None),
)


@tried_again
async def approve(
    context: Context,
    *,
    proposal_id: UUID | None,
    expected_digest: str | None,
    paths: Sequence[str] | None,
    resolutions: Sequence[Resolution],
    comment: str | None,
    idempotency_key: str | None,
) -> tuple[Proposal, Draft]:
    """Merge a proposal into its draft; files, status, decision, events and audit entry are one transaction.

    Args:
        context: Who asks.
        proposal_id: Which proposal.
        expected_digest: The digest of the preview that was looked at.
        paths: The files to take; all when None.
        resolutions: What files in conflict shall be.
        comment: For the record.
        idempotency_key: Makes the call repeatable.

    Raises:
        NotFound, Forbidden, Locked, Invalid: See `access.hold_proposal`; it takes an editor.
        InvalidTransition: When the proposal does not wait for a decision.
        StaleRevision: When the draft moved since the preview.
        MergeConflict: When files stay in conflict.
        IdempotencyMismatch: When the key was used for another input.
    """
    kept_comment = checked_text(comment, path=["input", "comment"], maximum=10_000) if comment is not None else None
    arguments = {
        "proposal": str(proposal_id),
        "digest": expected_digest,
        "paths": None if paths is None else sorted(paths),
        "resolutions": [[each.path, each.side and each.side.value, each.content] for each in resolutions],
        "comment": kept_comment,
    }
    repeatable = Repeatable(context.actor, idempotency_key, "approveProposal", arguments)
    async with context.database.transaction() as session:
        earlier = await repeatable.first_result(session)
        if earlier is not None:
            proposal = await session.get_one(Proposal, earlier)
            await access.check_seen(session, context.actor, proposal.workflow_id, path=["input", "proposalId"])
            return proposal, await drafts.of_key(session, proposal.draft_id)
        workflow, proposal = await access.hold_proposal(session, context.actor, proposal_id, AccessRole.EDITOR)
        draft = await _waiting_draft(session, proposal)
        waiting = _Waiting(proposal.id, proposal.base_revision, draft.id, draft.revision)
        sides = (await _all_sides(session, [waiting]))[proposal.id]
        _check_digest(expected_digest, sides, proposal, draft)
        merge = await _merge(session, sides, resolutions, paths)
        if merge.conflicts:
            names = ", ".join(conflict.path for conflict in merge.conflicts[:5])
            preview = (await _shown(session, {proposal.id: _Merging(draft.revision, sides, merge)}))[proposal.id]
            raise MergeConflict(
                f"The draft and the proposal changed the same lines of {names}. Give resolutions for them.",
                preview=preview,
            )
        result = _result(merge)
        filesets.check_count(sides.ours, result.entries, path=["input"])
        changes = await drafts.revise(session, context, workflow, draft, FileSet(sides.ours), result)
        await proposals.move(
            session,
            context,
            workflow,
            proposal,
            ProposalStatus.APPROVED,
            comment=kept_comment,
            draft_revision=draft.revision,
            applied_paths=[change.path for change in changes],
        )
        await repeatable.keep(session, proposal.id)
    return proposal, draft


async def previews(reader: Rows, proposal_ids: Sequence[UUID]) -> dict[UUID, Preview]:
    """Tell what approving proposals would do now, each on its own; those that wait for no decision are left out."""
    waiting = [_Waiting(*row) for row in await reader.rows(_WAITING, ids=list(proposal_ids))]
    if not waiting:
        return {}
    sides = await _all_sides(reader, waiting)
    needed = [merging.needed_digests(each.base, each.ours, each.theirs) for each in sides.values()]
    texts = await contents.load(reader, set().union(*needed))
    return await _shown(
        reader,
        {
            each.proposal_id: _Merging(
                each.draft_revision,
                sides[each.proposal_id],
                _merged(sides[each.proposal_id], texts, (), None),
            )
            for each in waiting
        },
    )


async def _shown(reader: Rows, mergings: Mapping[UUID, _Merging]) -> dict[UUID, Preview]:
    """List what merges would change in their drafts; files in conflict are not among it."""
    results = {id_: _result(each.merge) for id_, each in mergings.items()}
    missing = [
        changed_digests(mergings[id_].sides.ours, result.entries) - result.texts.keys()
        for id_, result in results.items()
    ]
    texts = await contents.load(reader, set().union(*missing))
    return {
        id_: Preview(
            each.merge,
            each.draft_revision,
            changes_between(each.sides.ours, results[id_].entries, {**texts, **results[id_].texts}),
            results[id_].texts,
        )
        for id_, each in mergings.items()
    }


async def _waiting_draft(session: Session, proposal: Proposal) -> Draft:
    draft = await drafts.of_key(session, proposal.draft_id)
    allowed = proposals.TRANSITIONS.get(proposal.status, ())
    if ProposalStatus.APPROVED not in allowed:
        raise proposal_transition(
            proposal.status,
            ProposalStatus.APPROVED,
            allowed,
            f"Only a COMPLETED proposal can be approved; this one is {proposal.status.value}.",
        )
    return draft


async def _all_sides(reader: Rows, waiting: Sequence[_Waiting]) -> dict[UUID, _Sides]:
    """Read the sides of merges; the draft at the revision that was read with it, whatever happens meanwhile."""
    revisions = {
        (each.draft_id, revision) for each in waiting for revision in (each.base_revision, each.draft_revision)
    }
    drafts_then = await filesets.at_revisions(reader, revisions)
    theirs = await snapshots.files_now(reader, [each.proposal_id for each in waiting])
    return {
        each.proposal_id: _Sides(
            base=drafts_then[each.draft_id, each.base_revision],
            ours=drafts_then[each.draft_id, each.draft_revision],
            theirs=theirs[each.proposal_id],
        )
        for each in waiting
    }


async def _merge(
    session: Session, sides: _Sides, resolutions: Sequence[Resolution], paths: Sequence[str] | None
) -> Merge:
    needed = merging.needed_digests(sides.base, sides.ours, sides.theirs, paths)
    return _merged(sides, await contents.load(session, needed), resolutions, paths)


def _merged(
    sides: _Sides, texts: Mapping[str, str], resolutions: Sequence[Resolution], paths: Sequence[str] | None
) -> Merge:
    return merging.merge(sides.base, sides.ours, sides.theirs, texts, resolutions=resolutions, paths=paths)


def _check_digest(expected: str | None, sides: _Sides, proposal: Proposal, draft: Draft) -> None:
    if expected is not None and expected != merging.digest_of_sides(sides.base, sides.ours, sides.theirs):
        raise StaleRevision(
            "The draft moved since this merge was previewed. Look at the preview again.",
            expected=proposal.base_revision,
            actual=draft.revision,
            path=["input", "expectedMergeDigest"],
        )


def _result(merge: Merge) -> FileSet:
    """Describe the merged files; those that no side has are new contents."""
    moment = now()
    entries: dict[str, FileEntry] = {}
    texts: dict[str, str] = {}
    for path, file in merge.files.items():
        if file.entry is not None:
            entries[path] = file.entry
        elif file.content is not None:
            entry = entries[path] = entry_of(path, file.content, moment, file.type)
            texts[entry.digest] = file.content
    return FileSet(entries, texts)
