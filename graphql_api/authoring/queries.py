"""Queries of the product."""

from typing import Annotated

import strawberry

from graphql_api.authoring import listing, templates
from graphql_api.authoring.nodes import find_node, find_nodes
from graphql_api.authoring.types.arguments import After, Before, First, Last
from graphql_api.authoring.types.info import Info
from graphql_api.authoring.types.inputs import OrderDirection, ProposalFilter, WorkflowFilter, WorkflowOrder
from graphql_api.authoring.types.proposals import Proposal
from graphql_api.authoring.types.templates import Template
from graphql_api.authoring.types.workflows import Workflow
from graphql_api.kit.ids import key_of
from graphql_api.kit.pagination import PageRequest
from graphql_api.kit.types import Connection, Node, connection_of

GlobalId = Annotated[strawberry.ID, strawberry.argument(description="Global id.")]


@strawberry.type
class AuthoringQueries:
    """Queries of the product."""

    @strawberry.field(description="Any object by its global id; null when it is not there or not yours to see.")
    async def node(self, info: Info, id: GlobalId) -> Node | None:  # noqa: A002 - the argument's GraphQL name
        """Read any object."""
        return await find_node(info, id)

    @strawberry.field(
        description="Up to 100 objects by their global ids, in this order; null for each that `node` does not find."
    )
    async def nodes(
        self, info: Info, ids: Annotated[list[strawberry.ID], strawberry.argument(description="Global ids.")]
    ) -> list[Node | None]:
        """Read several objects."""
        return await find_nodes(info, ids)

    @strawberry.field(description="A workflow; null when it is not there or not yours to see.")
    async def workflow(self, info: Info, id: GlobalId) -> Workflow | None:  # noqa: A002 - the argument's GraphQL name
        """Read a workflow."""
        info.context.actor  # noqa: B018 - refuses anonymous callers
        key = key_of(id, "Workflow")
        return None if key is None else await Workflow.load(info, key)

    @strawberry.field(description="The workflows that you may see; the ones that changed last come first.")
    async def workflows(
        self,
        info: Info,
        filter: Annotated[WorkflowFilter | None, strawberry.argument(description="Only some.")] = None,  # noqa: A002 - the argument's GraphQL name
        order_by: Annotated[WorkflowOrder | None, strawberry.argument(description="In another order.")] = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[Workflow]:
        """List workflows."""
        wanted = filter or WorkflowFilter()
        order = order_by or WorkflowOrder(field=listing.WorkflowOrderField.UPDATED_AT)
        page = await listing.workflows(
            info.context,
            PageRequest(first, after, last, before),
            search=wanted.search,
            is_archived=wanted.is_archived,
            role=wanted.role,
            order=order.field,
            is_descending=order.direction is OrderDirection.DESC,
        )
        return connection_of(page, lambda row: Workflow.of(row, row.viewer_role))

    @strawberry.field(description="A proposal; null when it is not there or not yours to see.")
    async def proposal(self, info: Info, id: GlobalId) -> Proposal | None:  # noqa: A002 - the argument's GraphQL name
        """Read a proposal."""
        info.context.actor  # noqa: B018 - refuses anonymous callers
        key = key_of(id, "Proposal")
        return None if key is None else await Proposal.load(info, key)

    @strawberry.field(description="The proposals of all workflows that you may see, newest first: the review inbox.")
    async def proposals(
        self,
        info: Info,
        filter: Annotated[ProposalFilter | None, strawberry.argument(description="Only some.")] = None,  # noqa: A002 - the argument's GraphQL name
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[Proposal]:
        """List proposals."""
        wanted = (filter or ProposalFilter()).to_list(PageRequest(first, after, last, before))
        page = await listing.seen_proposals(info.context, wanted)
        return connection_of(page, Proposal.of)

    @strawberry.field(description="All templates.")
    async def templates(self, info: Info) -> list[Template]:
        """List the templates."""
        info.context.actor  # noqa: B018 - refuses anonymous callers
        return [Template.of(template) for template in templates.all_templates()]

    @strawberry.field(description="One template; null when there is none of that name.")
    async def template(
        self, info: Info, slug: Annotated[str, strawberry.argument(description="Its name, such as `single-agent`.")]
    ) -> Template | None:
        """Read a template."""
        info.context.actor  # noqa: B018 - refuses anonymous callers
        template = templates.find(slug)
        return None if template is None else Template.of(template)
