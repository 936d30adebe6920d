"""Approval: the draft's base, the draft now and the proposal, merged three ways."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from graphql_api.kit.columns import now
from graphql_api.kit.database import Session
from graphql_api.kit.errors import Invalid
from graphql_api.kit.files import MAX_FILES, FileEntry, changed_digests, changes_between, entry_of
from graphql_api.kit.texts import checked_text
from graphql_api.runtimes import executions


@dataclass(frozen=True, slots=True)
class _Sides:
    base: Mapping[str, FileEntry]
    ours: Mapping[str, FileEntry]
    theirs: Mapping[str, FileEntry]


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
            return proposal, await session.get_one(Draft, proposal.draft_id)
        workflow, proposal = await access.hold_proposal(session, context.actor, proposal_id, AccessRole.EDITOR)
        draft = await _waiting_draft(session, proposal)
        sides = await _sides(session, proposal, draft)
        _check_digest(expected_digest, sides, proposal, draft)
        merge = await _merge(session, sides, resolutions, paths)
        if merge.conflicts:
            names = ", ".join(conflict.path for conflict in merge.conflicts[:5])
            raise MergeConflict(
                f"The draft and the proposal changed the same lines of {names}. Give resolutions for them.",
                preview=await preview_of(session, merge, draft),
            )
        result = _result(merge)
        if len(result.entries) > MAX_FILES:
            raise Invalid(f"The draft would have {len(result.entries)} files; {MAX_FILES} are allowed.", path=["input"])
        changes = await drafts.revise(session, context, workflow, draft, dict(sides.ours), result)
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


async def preview(session: Session, proposal: Proposal) -> Preview | None:
    """Tell what approving would do now; None when the proposal does not wait for a decision."""
    draft = await session.get_one(Draft, proposal.draft_id)
    if proposal.status is not ProposalStatus.COMPLETED or draft.closed_at is not None:
        return None
    sides = await _sides(session, proposal, draft)
    return await preview_of(session, await _merge(session, sides, (), None), draft)


async def preview_of(session: Session, merge: Merge, draft: Draft) -> Preview:
    """List what a merge would change in a draft; files in conflict are not among it."""
    before = await filesets.of_draft(session, draft.id)
    after = _result(merge)
    missing = changed_digests(before, after.entries) - after.texts.keys()
    texts = {**await contents.load(session, missing), **after.texts}
    return Preview(merge, draft, changes_between(before, after.entries, texts), after.texts)


async def _waiting_draft(session: Session, proposal: Proposal) -> Draft:
    draft = await session.get_one(Draft, proposal.draft_id)
    allowed = proposals.TRANSITIONS.get(proposal.status, ())
    if ProposalStatus.APPROVED not in allowed:
        raise proposal_transition(
            proposal.status,
            ProposalStatus.APPROVED,
            allowed,
            f"Only a COMPLETED proposal can be approved; this one is {proposal.status.value}.",
        )
    if draft.closed_at is not None:
        raise proposal_transition(
            proposal.status,
            ProposalStatus.APPROVED,
            [ProposalStatus.REJECTED],
            "The draft that this proposal is for was discarded. Reject it, or retry it on the draft as it is now.",
        )
    return draft


async def _sides(session: Session, proposal: Proposal, draft: Draft) -> _Sides:
    return _Sides(
        base=await filesets.of_draft(session, draft.id, proposal.base_revision),
        ours=await filesets.of_draft(session, draft.id),
        theirs=await executions.files_at(session, proposal.id),
    )


async def _merge(
    session: Session, sides: _Sides, resolutions: Sequence[Resolution], paths: Sequence[str] | None
) -> Merge:
    needed = merging.needed_digests(sides.base, sides.ours, sides.theirs, paths)
    texts = await contents.load(session, needed)
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
