"""deepagents-runtime: started and asked over HTTP, heard over a WebSocket.

It has no way to cancel a run, so that what comes of a cancelled one is fenced off here.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx

from graphql_api.runtimes.addresses import RuntimeAddress
from graphql_api.runtimes.deepagents.invocation import invocation
from graphql_api.runtimes.deepagents.normalizer import DeepAgentsNormalizer
from graphql_api.runtimes.deepagents.streams import Streams
from graphql_api.runtimes.deepagents.texts import error_of, first_of, result_of
from graphql_api.runtimes.http import authorization_of, calling, make_client, retrying, thread_named
from graphql_api.runtimes.normalizing.files import read_files
from graphql_api.runtimes.normalizing.texts import mapping_of, name_of
from graphql_api.runtimes.protocol import (
    Capabilities,
    Frame,
    Health,
    Normalizer,
    Resume,
    RunRequest,
    RuntimeFailure,
    Snapshot,
    ThreadRef,
    ThreadStatus,
)

PREFIX = "/deepagents-runtime"
DEFAULT_MODEL = "openai:gpt-4.1-mini"
"""Of agents whose definition names none, unless the URL has a `model`."""

_HEALTH_SECONDS = 5.0
_STATUSES = {
    "completed": ThreadStatus.COMPLETED,
    "success": ThreadStatus.COMPLETED,
    "failed": ThreadStatus.FAILED,
    "error": ThreadStatus.FAILED,
}


class DeepAgentsRuntime:
    """Speaks to one deepagents-runtime.

    Args:
        address: Its URL, with or without `/deepagents-runtime`; the option `model` is `provider:name`.

    Raises:
        ValueError: When the URL has another option, or a model without a provider.
    """

    name = "deepagents"
    capabilities = Capabilities(
        tokens=True,
        tools=True,
        files_in_stream=True,
        files_in_state=True,
        resume=Resume.NONE,
        cancel=False,
        interrupts=False,
    )

    def __init__(self, address: RuntimeAddress) -> None:
        provider, colon, model = address.known_options({"model"}).get("model", DEFAULT_MODEL).partition(":")
        if not (provider and colon and model):
            raise ValueError("the option model is provider:name, such as openai:gpt-4.1-mini")
        self._model = {"provider": provider, "model": model}
        root = address.url.removesuffix(PREFIX)
        headers = authorization_of(address)
        self._client = make_client(replace(address, url=root, credentials=None))
        self._client.headers.update(headers)
        self._streams = Streams(f"{root.replace('http', 'ws', 1)}{PREFIX}/stream", headers)

    async def health(self) -> Health:
        """Ask whether the runtime takes work; one that is busy takes seconds to answer."""
        try:
            answer = await self._client.get("/health", timeout=_HEALTH_SECONDS)
        except httpx.ReadTimeout:
            return Health(is_healthy=False, detail="It does not answer in time.", is_slow=True)
        except httpx.HTTPError as error:
            return Health(is_healthy=False, detail=f"It can't be reached: {type(error).__name__}.")
        return Health(answer.is_success, None if answer.is_success else f"It answers {answer.status_code}.")

    async def start(self, request: RunRequest) -> ThreadRef:
        """Start a run, listening before it starts; one that may have been started is looked for first.

        Raises:
            RuntimeFailure: When the runtime refuses or can't be reached.
        """
        job_id = str(request.execution_id)
        await self._streams.attach(job_id)
        try:
            thread = await self._started(request)
        except BaseException:
            self._streams.detach(job_id)
            raise
        if thread.thread_id != job_id:
            self._streams.detach(job_id)
        return thread

    async def events(self, request: RunRequest, thread: ThreadRef) -> AsyncIterator[Frame]:  # noqa: ARG002 - the thread says it all
        """Give the frames of a thread from when the run started, or else from now on, up to the first `end`.

        Raises:
            RuntimeFailure: When the stream can't be opened, or is closed before the end.
        """
        async with aclosing(self._streams.listen(thread.thread_id)) as frames:
            async for frame in frames:
                yield frame
                if frame.kind == "end":
                    return

    def normalizer(self, request: RunRequest) -> Normalizer:  # noqa: ARG002 - frames stand for themselves
        """Make the normalizer of one thread."""
        return DeepAgentsNormalizer()

    async def snapshot(self, thread: ThreadRef) -> Snapshot:
        """Ask for the state of a thread; what it says of success may be wrong.

        Raises:
            RuntimeFailure: When the runtime can't be reached.
        """
        async for attempt in retrying():
            with attempt:
                return await self._state(thread.thread_id)
        raise AssertionError  # retrying() ends with a return or an error

    async def cancel(self, thread: ThreadRef) -> bool:
        """Stop listening; the runtime can't be told to stop."""
        self._streams.detach(thread.thread_id)
        return False

    async def forget(self, thread: ThreadRef) -> bool:
        """Ask the runtime to drop a thread; False when it has no way to, as builds so far.

        Raises:
            RuntimeFailure: When the runtime can't be reached.
        """
        async with calling():
            answer = await self._client.delete(_path("state", thread.thread_id))
            if answer.is_client_error or answer.status_code == httpx.codes.NOT_IMPLEMENTED:
                return False
            answer.raise_for_status()
        return True

    async def close(self) -> None:
        """Let go of connections."""
        await self._streams.close()
        await self._client.aclose()

    async def _started(self, request: RunRequest) -> ThreadRef:
        may_be_started = request.is_repeated
        async for attempt in retrying():
            with attempt:
                if may_be_started and await self._knows(str(request.execution_id)):
                    return ThreadRef(str(request.execution_id))
                # Once it is on its way nobody knows whether it arrived, whatever the answer.
                may_be_started = True
                return await self._invoke(request)
        raise AssertionError  # retrying() ends with a return or an error

    async def _invoke(self, request: RunRequest) -> ThreadRef:
        async with calling():
            answer = await self._client.post(f"{PREFIX}/invoke", json=invocation(request, model=self._model))
            answer.raise_for_status()
        body = _json(answer)
        if _STATUSES.get(str(body.get("status")).lower()) is ThreadStatus.FAILED:
            reason = error_of(body.get("error")) or "it did not say why"
            raise RuntimeFailure(f"The runtime did not start the run: {reason}", is_retryable=False)
        return ThreadRef(thread_named(name_of(body.get("thread_id")) or str(request.execution_id)))

    async def _knows(self, job_id: str) -> bool:
        """Tell whether a run was started, believing a runtime only that does not claim to know any job."""
        known = await self._state(job_id)
        if known.status is ThreadStatus.UNKNOWN:
            return False
        return (await self._state(str(uuid4()))).status is ThreadStatus.UNKNOWN

    async def _state(self, thread_id: str) -> Snapshot:
        async with calling():
            answer = await self._client.get(_path("state", thread_id))
            if answer.status_code == httpx.codes.NOT_FOUND:
                return Snapshot(ThreadStatus.UNKNOWN)
            answer.raise_for_status()
        state = _json(answer)
        result = state.get("result")
        files = read_files(first_of(state, "generated_files", "files") or first_of(result, "files"))
        return Snapshot(
            _STATUSES.get(str(state.get("status")).lower(), ThreadStatus.RUNNING),
            files or None,
            result_of(result),
            error_of(state.get("error")),
        )


def _path(what: str, thread_id: str) -> str:
    return f"{PREFIX}/{what}/{quote(thread_id, safe='')}"


def _json(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        return mapping_of(answer.json())
    except (ValueError, RecursionError):
        return {}
