"""GraphQL type of templates."""

from typing import Self

import strawberry
from strawberry.scalars import JSON

from graphql_api.authoring import templates
from graphql_api.authoring.types.definitions import WorkflowDefinition
from graphql_api.kit.ids import to_global_id
from graphql_api.kit.types import Node


@strawberry.type(description="A ready-made set of files to start a workflow from.")
class Template(Node):
    """A ready-made set of files."""

    slug: str = strawberry.field(description="Its name in `createWorkflow(templateSlug:)`.")
    name: str = strawberry.field(description="Its name for people.")
    description: str = strawberry.field(description="What one gets, in a sentence.")
    version: str = strawberry.field(description="Semantic version of its files.")
    tags: list[str] = strawberry.field(description="What to find it by.")
    use_cases: list[str] = strawberry.field(description="What it is good for.")
    definition: WorkflowDefinition = strawberry.field(description="The agent graph when nothing is customized.")
    customization_schema: JSON = strawberry.field(
        description="JSON Schema (draft 2020-12) of `createWorkflow(customization:)`; every property has a default."
    )

    @classmethod
    def of(cls, template: templates.Template) -> Self:
        """Show a template."""
        return cls(
            id=strawberry.ID(to_global_id("Template", template.id)),
            slug=template.slug,
            name=template.name,
            description=template.description,
            version=template.version,
            tags=list(template.tags),
            use_cases=list(template.use_cases),
            definition=WorkflowDefinition.of(template.definition),
            customization_schema=JSON(template.customization_schema),
        )
