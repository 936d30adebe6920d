"""GraphQL types of what is known of a proposal: failure, decision, usage."""

from datetime import datetime
from typing import Self
from uuid import UUID

import strawberry

from graphql_api.authoring.types.loading import loaded
from graphql_api.identity import models
from graphql_api.identity.types import User
from graphql_api.kit.errors import ErrorCode

MAX_INT = 2**31 - 1
"""GraphQL's greatest Int."""


@strawberry.type(description="Why a proposal failed.")
class ProposalFailure:
    """Why a proposal failed."""

    code: ErrorCode = strawberry.field(description="What went wrong, for programs.")
    message: str = strawberry.field(description="What went wrong, for people.")
    retryable: bool = strawberry.field(description="Whether `retryProposal` may succeed.")


@strawberry.type(description="Who decided about a proposal, and how.")
class ProposalDecision:
    """A decision about a proposal."""

    at: datetime = strawberry.field(description="When it was decided.")
    comment: str | None = strawberry.field(description="What they said about it.")
    draft_revision: int | None = strawberry.field(description="The draft's revision that approval made.")
    applied_paths: list[str] = strawberry.field(description="The files that approval changed in the draft.")
    by_id: strawberry.Private[UUID | None]

    @strawberry.field(description="Who decided; null for the system itself.")
    @loaded(lambda loaders: loaders.user, by=lambda decision: decision.by_id)
    def by(self, found: models.User) -> User | None:
        """Show who decided."""
        return User.of(found)


@strawberry.type(description="What language models were given and gave.")
class TokenUsage:
    """What language models were given and gave."""

    input_tokens: int = strawberry.field(description="Tokens that they were given.")
    output_tokens: int = strawberry.field(description="Tokens that they gave.")
    total_tokens: int = strawberry.field(description="Both together.")

    @classmethod
    def of(cls, input_tokens: int, output_tokens: int) -> Self:
        """Show a usage, at most as much as an Int holds."""
        return cls(
            input_tokens=min(input_tokens, MAX_INT),
            output_tokens=min(output_tokens, MAX_INT),
            total_tokens=min(input_tokens + output_tokens, MAX_INT),
        )
