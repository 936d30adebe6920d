"""GraphQL types of the agent graph."""

from typing import Self

import strawberry
from strawberry.scalars import JSON

from graphql_api.authoring import definitions
from graphql_api.authoring.definitions import DEFINITION_PATH
from graphql_api.authoring.loaders import Loaders
from graphql_api.authoring.types.enums import Severity
from graphql_api.authoring.types.info import Info
from graphql_api.kit.files import FileEntry


@strawberry.type(description="A language model and its settings.")
class LlmConfig:
    """A language model."""

    provider: str = strawberry.field(description="Who serves the model, such as `openai`.")
    model: str = strawberry.field(description="Name of the model at the provider.")
    temperature: float | None = strawberry.field(description="Randomness; null for the provider's own.")
    max_tokens: int | None = strawberry.field(description="Tokens of one answer at most; null for the provider's own.")


@strawberry.type(description="An agent of the graph.")
class DefinitionNode:
    """An agent."""

    key: str = strawberry.field(description="Unique within the definition.")
    type: str = strawberry.field(description="What kind of agent, such as `orchestrator` or `specialist`.")
    name: str | None = strawberry.field(description="How people call it.")
    role: str | None = strawberry.field(description="What it is there for.")
    system_prompt: str | None = strawberry.field(description="What it is told before each conversation.")
    tools: list[str] = strawberry.field(description="Names of the tools that it may use.")
    llm: LlmConfig | None = strawberry.field(description="The model that it runs on; null for the runtime's own.")

    @classmethod
    def of(cls, node: definitions.DefinitionNode) -> Self:
        """Show an agent."""
        llm = None
        if node.llm is not None:
            llm = LlmConfig(
                provider=node.llm.provider,
                model=node.llm.model,
                temperature=node.llm.temperature,
                max_tokens=node.llm.max_tokens,
            )
        return cls(
            key=node.key,
            type=node.type,
            name=node.name,
            role=node.role,
            system_prompt=node.system_prompt,
            tools=list(node.tools),
            llm=llm,
        )


@strawberry.type(description="A way between two agents.")
class DefinitionEdge:
    """A way between two agents."""

    key: str = strawberry.field(description="Unique within the definition.")
    source: str = strawberry.field(description="Key of the agent that it leads from.")
    target: str = strawberry.field(description="Key of the agent that it leads to.")
    type: str = strawberry.field(description="What it is for, such as `delegation`.")


@strawberry.type(description="The agent graph compiled from `definition.json`.")
class WorkflowDefinition:
    """The agent graph."""

    entry_point: str = strawberry.field(description="Key of the agent that starts.")
    nodes: list[DefinitionNode] = strawberry.field(description="The agents, in the file's order.")
    edges: list[DefinitionEdge] = strawberry.field(description="The ways between them, in the file's order.")
    raw: JSON = strawberry.field(description="The whole file, with what this API has no field for.")

    @classmethod
    def of(cls, definition: definitions.Definition) -> Self:
        """Show an agent graph."""
        return cls(
            entry_point=definition.entry_point,
            nodes=[DefinitionNode.of(node) for node in definition.nodes],
            edges=[
                DefinitionEdge(key=edge.key, source=edge.source, target=edge.target, type=edge.type)
                for edge in definition.edges
            ],
            raw=JSON(definition.raw),
        )


@strawberry.type(description="Something about a draft's definition that its authors should know.")
class Diagnostic:
    """A finding about a definition."""

    severity: Severity = strawberry.field(description="Whether it stops publishing.")
    code: str = strawberry.field(description="What was found, for programs, such as `DANGLING_EDGE`.")
    message: str = strawberry.field(description="What was found, for people.")
    path: str | None = strawberry.field(
        description="Where: a file, and a JSON pointer into it, such as `definition.json#/nodes/2/key`."
    )

    @classmethod
    def of(cls, diagnostic: definitions.Diagnostic) -> Self:
        """Show a finding."""
        return cls(
            severity=diagnostic.severity,
            code=diagnostic.code,
            message=diagnostic.message,
            path=diagnostic.path,
        )


async def definition_text(info: Info, files: dict[str, FileEntry]) -> str | None:
    """Read the text of the definition among some files; None when it is not there."""
    entry = files.get(DEFINITION_PATH)
    return None if entry is None else await info.context.loader(Loaders).content.load(entry.digest)


async def read_definition(info: Info, files: dict[str, FileEntry]) -> WorkflowDefinition | None:
    """Read the agent graph among some files; None when it is not there or not readable."""
    text = await definition_text(info, files)
    parsed = None if text is None else definitions.parse(text)
    return None if parsed is None else WorkflowDefinition.of(parsed)
