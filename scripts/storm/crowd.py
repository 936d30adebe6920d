"""Those who use the system while it breaks: authors who have agents work, and subscribers who watch them."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from callers import TERMINAL, Caller, Refused, Seen, Tally, Watch

CREATE = """mutation($input: CreateWorkflowInput!) {
  createWorkflow(input: $input) { workflow { id } errors { code } } }"""
REFINE = """mutation($input: RefineWorkflowInput!) {
  refineWorkflow(input: $input) { proposal { id } errors { code } } }"""
APPROVE = """mutation($input: ApproveProposalInput!) {
  approveProposal(input: $input) { proposal { status } errors { code } } }"""
REJECT = """mutation($input: RejectProposalInput!) {
  rejectProposal(input: $input) { proposal { status } errors { code } } }"""
PUBLISH = """mutation($input: PublishDraftInput!) {
  publishDraft(input: $input) { version { number } errors { code } } }"""
DEPLOY = """mutation($input: DeployVersionInput!) {
  deployVersion(input: $input) { version { number } errors { code } } }"""

PROMPT = "Add a reviewer agent that checks every answer for tone"


@dataclass(slots=True)
class Board:
    """What all of them did, as they were told by the API.

    Attributes:
        proposals: All that were acknowledged, by the author's caller.
        running: Those that are not over, as far as the authors know.
        watches: All views of all subscribers.
        marks: Some event of each proposal, to begin after.
        deployed: The version that a workflow's deployment acknowledged.
        approved: Proposals whose approval was acknowledged; those whose rejection was.
        stopping: No new work is to begin.
    """

    proposals: dict[str, Caller] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    watches: list[Watch] = field(default_factory=list)
    marks: dict[str, list[Seen]] = field(default_factory=dict)
    deployed: dict[str, int] = field(default_factory=dict)
    approved: set[str] = field(default_factory=set)
    rejected: set[str] = field(default_factory=set)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


class Crowd:
    """Authors and subscribers.

    Args:
        callers: Who they sign in as; authors and subscribers of one caller see the same workflows.
        tally: What happened to them.
        luck: Decides what they do.
        cues: Faults that some prompts ask the runtime for.
    """

    def __init__(self, callers: Sequence[Caller], tally: Tally, luck: random.Random, cues: Sequence[str] = ()) -> None:
        self._cues = cues
        self.board = Board()
        self._callers = callers
        self._tally = tally
        self._luck = luck

    async def write(self, number: int) -> None:
        """Have one agent after another work, until it is time to stop; then finish."""
        caller = self._callers[number % len(self._callers)]
        while not self.board.stopping.is_set():
            try:
                await self._journey(caller)
            except Refused as refusal:
                self._tally.violations.append(f"An author was refused: {refusal}")

    async def _journey(self, caller: Caller) -> None:
        board = self.board
        given = {"name": "Support desk", "templateSlug": "multi-agent", "idempotencyKey": uuid4().hex}
        workflow = (await caller.call(CREATE, **given))["workflow"]["id"]
        order = {"workflowId": workflow, "prompt": self._prompt(), "idempotencyKey": uuid4().hex}
        proposal = (await caller.call(REFINE, **order))["proposal"]["id"]
        board.proposals[proposal] = caller
        board.running.add(proposal)
        self._tally.counts["proposals"] += 1
        last = await self._follow(caller, proposal)
        board.running.discard(proposal)
        if last == "ProposalCompleted":
            await self._decide(caller, workflow, proposal)

    def _prompt(self) -> str:
        if not self._cues or self._luck.random() < 0.6:  # noqa: PLR2004 - most runs go well
            return PROMPT
        cue = self._luck.choice(self._cues)
        self._tally.counts[f"runtime: {cue}"] += 1
        return f"{PROMPT} [fault:{cue}]"

    async def _decide(self, caller: Caller, workflow: str, proposal: str) -> None:
        choice = self._luck.random()
        if choice < 0.3:  # noqa: PLR2004 - three in ten
            try:
                await caller.call(REJECT, proposalId=proposal)
            except Refused as refusal:
                # Nobody else decides about it: the first answer was lost, and a rejection takes no key.
                if str(refusal) != "INVALID_TRANSITION":
                    raise
            self.board.rejected.add(proposal)
        elif choice < 0.8:  # noqa: PLR2004 - half of them
            await caller.call(APPROVE, proposalId=proposal, idempotencyKey=uuid4().hex)
            self.board.approved.add(proposal)
            key = uuid4().hex
            number = (await caller.call(PUBLISH, workflowId=workflow, idempotencyKey=key))["version"]["number"]
            await caller.call(DEPLOY, workflowId=workflow, number=number)
            self.board.deployed[workflow] = number
            self._tally.counts["deployments"] += 1

    async def look(self, number: int) -> None:
        """Watch one proposal after another, from its beginning or from somewhere later."""
        caller = self._callers[number % len(self._callers)]
        while not self.board.stopping.is_set():
            mine = [proposal for proposal in self.board.running if self.board.proposals[proposal] is caller]
            if not mine:
                await asyncio.sleep(0.05)
                continue
            proposal = self._luck.choice(mine)
            marks = self.board.marks.get(proposal, [])
            start = self._luck.choice(marks) if marks and self._luck.random() < 0.5 else None  # noqa: PLR2004 - half
            await self._follow(caller, proposal, start)

    async def _follow(self, caller: Caller, proposal: str, start: Seen | None = None) -> str:
        """Watch a proposal to its end; give the type of its last event."""
        listed, last = False, ""
        async for watch in caller.watch(proposal, start=start):
            if not listed:
                self.board.watches.append(watch)
                listed = True
            if watch.got:
                last = watch.got[-1].type
                if last not in TERMINAL:
                    self.board.marks.setdefault(proposal, []).append(watch.got[-1])
        return last
