"""The stream of a LangGraph graph, from its server or from this process: what each frame means."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from graphql_api.events.records import NewEvent
from graphql_api.runtimes.normalizing.endings import interrupt_of, run_ended
from graphql_api.runtimes.normalizing.files import read_files
from graphql_api.runtimes.normalizing.messages import Conversation, role_of
from graphql_api.runtimes.normalizing.plans import Plan
from graphql_api.runtimes.normalizing.texts import list_of, mapping_of, name_of
from graphql_api.runtimes.protocol import FilesSnapshot, Frame, Normalized, RunRequest

RUN = "run"
"""Kind of the frame that an adapter adds when the stream is over.

It holds what the runtime says of the run: `status` in the words of LangGraph (or `lost`), `error`, a list `interrupts`,
and `values`, the final state.
"""

_PROGRESS_KEYS = ("progress", "message", "status", "text")
_INTERRUPT = "__interrupt__"
_READ_KEYS = {"messages", "todos", "files", _INTERRUPT}


class GraphNormalizer:
    """Turns the frames of one run into events.

    A frame's kind is a stream mode of LangGraph, followed by `|` and a namespace when a subgraph sent it; the last
    frame is a `RUN`. Subgraphs are agents: they have the name that the stream gives them, or else that of their node.

    Args:
        request: What the run was asked.
    """

    def __init__(self, request: RunRequest) -> None:
        self._known = set(request.files)
        self._has_files = False
        self._conversation = Conversation()
        self._plan = Plan()
        self._plans: defaultdict[str, Plan] = defaultdict(Plan, {"": self._plan})
        self._agents: dict[str, str] = {}
        self._origins: dict[str, str] = {}
        self._interrupts: dict[str, Any] = {}
        self._error: Any = None
        self._summary: str | None = None

    def normalize(self, frame: Frame) -> Iterator[Normalized]:
        """Give what a frame means; one that can't be read becomes a `RuntimeEventReceived`."""
        kind, _, namespace = frame.kind.partition("|")
        match kind, frame.content:
            case "metadata", dict(content):
                yield from _metadata(content)
            case "messages", [dict(message), *rest] if role_of(message):
                yield from self._streamed(message, mapping_of(rest[0] if rest else None), namespace)
            case "updates", dict(content):
                for node, update in content.items():
                    yield from self._update(frame.kind, node, update, namespace)
            case "values", dict(content):
                yield from self._part(frame.kind, None, content, namespace, is_whole=not namespace)
            case "custom", content:
                yield from _custom(frame.kind, content)
            case "error", content:
                self._error = content  # the run's status says whether it was the end
            case "run", dict(content):
                yield from self._end(content)
            case _:
                yield _received(frame.kind, frame.content)

    def missed(self) -> None:
        """Take it that frames may be missing from here."""
        self._conversation.missed()

    def _streamed(
        self, message: Mapping[str, Any], metadata: Mapping[str, Any], namespace: str
    ) -> Iterator[Normalized]:
        """Read a message, or a piece of one, as the language model or a tool gives it."""
        if not namespace:
            # Some servers name it in the metadata alone; its last part is the node that speaks.
            path, _, _ = str(metadata.get("langgraph_checkpoint_ns") or "").rpartition("|")
            namespace = path
        if name := name_of(metadata.get("lc_agent_name")):
            self._agents[namespace] = name
        yield from self._message(message, namespace, model=name_of(metadata.get("ls_model_name")))

    def _update(self, kind: str, node: str, update: Any, namespace: str) -> Iterator[Normalized]:  # noqa: ANN401 - any JSON value
        """Read what a node wrote into the state; it may have written several times, or nothing."""
        if node == _INTERRUPT:
            yield from self._interrupt(update)
            return
        for part in update if isinstance(update, list | tuple) else [update]:
            if isinstance(part, Mapping):
                yield from self._part(kind, node, part, namespace)
            elif part is not None:
                yield _received(kind, {node: part})

    def _part(
        self, kind: str, node: str | None, part: Mapping[str, Any], namespace: str, *, is_whole: bool = False
    ) -> Iterator[Normalized]:
        """Read a part of the state, or all of it; what has no meaning of its own is passed on."""
        rest = {key: value for key, value in part.items() if key not in _READ_KEYS}
        unread = []
        for message in _messages(part.get("messages")):
            if role_of(message) is None:
                unread.append(message)
            else:
                yield from self._message(message, namespace)
        if unread:
            rest["messages"] = unread
        if isinstance(part.get("todos"), list | tuple):
            # The plan that is shown is the main agent's; that of another is seen in its calls of the tool.
            yield from () if namespace else self._plan.update(part["todos"])
        elif part.get("todos") is not None:
            rest["todos"] = part["todos"]
        if isinstance(part.get("files"), Mapping):
            yield self._files(part["files"], is_whole=is_whole)
        elif part.get("files") is not None:
            rest["files"] = part["files"]
        if _INTERRUPT in part:
            yield from self._interrupt(part[_INTERRUPT])
        if rest:
            yield _received(kind, rest if node is None else {node: rest})

    def _message(self, message: Mapping[str, Any], namespace: str, *, model: str | None = None) -> Iterator[Normalized]:
        if (message_id := name_of(message.get("id"))) is not None:
            # A graph repeats what its subgraph said; it stays the subgraph's.
            namespace = self._origins.setdefault(message_id, namespace)
        if role_of(message) == "ASSISTANT" and namespace and (name := name_of(message.get("name"))):
            self._agents[namespace] = name
        self._conversation.plan = self._plans[namespace]
        for item in self._conversation.read(_scoped(message, namespace), agent=self._agent(namespace), model=model):
            if isinstance(item, NewEvent) and namespace and item.type == "PlanUpdated":
                continue
            self._remember(item, namespace)
            yield item

    def _remember(self, item: Normalized, namespace: str) -> None:
        match item:
            case NewEvent(type="AgentMessageCompleted", payload={"role": "ASSISTANT", "text": text}) if not namespace:
                self._summary = text

    def _files(self, files: Mapping[str, Any], *, is_whole: bool) -> FilesSnapshot:
        """Read files; a state that has none of those that are known is not the one that the agent works on."""
        texts = read_files(files)
        is_partial = not is_whole or self._known.isdisjoint(texts)
        self._known.update(texts)
        self._has_files = self._has_files or bool(texts)
        return FilesSnapshot(texts, is_partial=is_partial)

    def _interrupt(self, interrupts: Any) -> Iterator[Normalized]:  # noqa: ANN401 - any JSON value
        """Tell of questions, each once: the graphs above a subgraph repeat its own."""
        for interrupt in interrupts if isinstance(interrupts, list | tuple) else [interrupts]:
            interrupt_id, value = interrupt_of(interrupt)
            if interrupt_id not in self._interrupts:
                self._interrupts[interrupt_id] = value
                yield _received("interrupt", {"id": interrupt_id, "value": value})

    def _end(self, content: Mapping[str, Any]) -> Iterator[Normalized]:
        for item in self._conversation.close():
            self._remember(item, "")
            yield item
        values = mapping_of(content.get("values"))
        if isinstance(values.get("todos"), list):
            yield from self._plan.update(values["todos"])
        if isinstance(values.get("files"), Mapping):
            yield self._files(values["files"], is_whole=True)
        yield from self._interrupt(list_of(content.get("interrupts")))
        status = name_of(content.get("status"))
        if status == "success" and self._error is not None:
            yield _received("error", self._error)
        yield run_ended(
            status,
            error=self._error or content.get("error"),
            interrupts=self._interrupts,
            summary=self._summary,
            has_files=self._has_files,
        )

    def _agent(self, namespace: str) -> str | None:
        if namespace in self._agents or not namespace:
            return self._agents.get(namespace)
        return "/".join(segment.partition(":")[0] for segment in namespace.split("|"))


def _metadata(content: Mapping[str, Any]) -> Iterator[Normalized]:
    attempt = content.get("attempt")
    if isinstance(attempt, int) and attempt > 1:
        message = f"The runtime begins the run once more: attempt {attempt}."
        yield NewEvent("ProposalProgressed", {"message": message})


def _custom(kind: str, content: Any) -> Iterator[Normalized]:  # noqa: ANN401 - any JSON value
    """Read what a graph wrote to its stream: progress, where it looks like it."""
    fields = mapping_of(content)
    words = [content, *(fields.get(key) for key in _PROGRESS_KEYS)]
    message = next((word for word in words if isinstance(word, str) and word.strip()), None)
    if message is not None:
        yield NewEvent("ProposalProgressed", {"message": message})
    if message is None or len(fields) > 1:
        yield _received(kind, content)


def _messages(messages: Any) -> list[Any]:  # noqa: ANN401 - any JSON value
    """List the messages that were written: one, several, or several in place of all that were there."""
    if isinstance(messages, Mapping):
        return list_of(messages["value"]) if "value" in messages and role_of(messages) is None else [messages]
    return list_of(messages) if isinstance(messages, list | tuple) else [] if messages is None else [messages]


def _scoped(message: Mapping[str, Any], namespace: str) -> Mapping[str, Any]:
    """Make the ids of a subgraph's tool calls its own: language models that count them count from the start."""
    if not namespace:
        return message
    scope = namespace.rpartition("|")[2].rpartition(":")[2]

    def scoped(call: Any) -> Any:  # noqa: ANN401 - any JSON value
        call_id = name_of(mapping_of(call).get("id"))
        return call if call_id is None else {**call, "id": f"{scope}/{call_id}"}

    own = {key: [scoped(call) for call in list_of(message.get(key))] for key in ("tool_calls", "tool_call_chunks")}
    if (call_id := name_of(message.get("tool_call_id"))) is not None:
        return {**message, **own, "tool_call_id": f"{scope}/{call_id}"}
    return {**message, **own}


def _received(kind: str, content: Any) -> NewEvent:  # noqa: ANN401 - any JSON value
    return NewEvent("RuntimeEventReceived", {"event_type": kind, "data": content})
