"""Operations that clients name instead of sending their text.

Automatic persisted queries are those of Apollo: a client names an operation by the SHA-256 of its text, and sends the
text along once when the server does not know it yet. Trusted documents are known beforehand, from a manifest that a
build of the clients has written; in production nothing else runs then.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from graphql_api.context import Context
from graphql_api.kit.errors import DocumentNotTrusted, Invalid, PersistedQueryNotFound

MAX_CHARACTERS = 1024 * 1024
"""Of the texts of all automatic persisted queries that are kept; one has an eighth of them at most."""

_PREFIX = "sha256:"
_VERSION = 1


class ManifestError(ValueError):
    """A manifest of trusted documents can't be read; the message says why."""


def read_manifest(path: Path) -> dict[str, str]:
    """Read a manifest as Apollo's `generate-persisted-query-manifest`, graphql-codegen or Relay write it.

    Returns:
        Texts by their id.

    Raises:
        ManifestError: When there is none, or it is of another form.
    """
    try:
        manifest = orjson.loads(path.read_bytes())
    except OSError as error:
        raise ManifestError(f"{path} can't be read: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise ManifestError(f"{path} is no JSON: {error}") from error
    if isinstance(manifest, dict) and isinstance(manifest.get("operations"), list):
        entries = manifest["operations"]
        is_whole = all(isinstance(entry, dict) and {"id", "body"} <= entry.keys() for entry in entries)
        manifest = {entry["id"]: entry["body"] for entry in entries} if is_whole else None
    if not isinstance(manifest, dict) or not all(isinstance(text, str) for item in manifest.items() for text in item):
        raise ManifestError(f"{path} is no manifest: it has neither Apollo's `operations` nor texts by their hash")
    return {id_.removeprefix(_PREFIX): text for id_, text in manifest.items()}


class PersistedOperations:
    """The texts of operations by their names.

    Args:
        trusted: Texts by their id; None when there is no manifest.
        is_exclusive: Whether only these run.
        max_characters: Of the texts of all automatic persisted queries together.
    """

    def __init__(
        self,
        trusted: Mapping[str, str] | None = None,
        *,
        is_exclusive: bool = False,
        max_characters: int = MAX_CHARACTERS,
    ) -> None:
        self._trusted = trusted or {}
        self._trusted_texts = frozenset(self._trusted.values())
        self._is_exclusive = is_exclusive
        self._known: OrderedDict[str, str] = OrderedDict()
        self._characters = 0
        self._max_characters = max_characters

    def text(
        self, query: str | None, document_id: str | None, extensions: Mapping[str, Any] | None, context: Context
    ) -> str | None:
        """Find the text of an operation, and note on its context whether it is trusted.

        Args:
            query: As it was sent, if it was.
            document_id: The id in a manifest, with or without the prefix `sha256:`.
            extensions: Of the request; `persistedQuery` has the hash.
            context: Of the operation.

        Returns:
            The text; None when none was sent or named.

        Raises:
            DocumentNotTrusted: When it is none of the manifest, and no other runs.
            PersistedQueryNotFound: When it is named by a hash that nobody sent the text for.
            Invalid: When the hash is none, or is not that of the text.
        """
        name = _named(document_id, extensions)
        found = query if name is None or name not in self._trusted else self._trusted[name]
        if found is not None and (found in self._trusted_texts):
            context.is_trusted = True
            return found
        if self._is_exclusive:
            raise DocumentNotTrusted
        return query if name is None else self._automatic(name, query)

    def _automatic(self, name: str, query: str | None) -> str:
        if not query:
            if name not in self._known:
                raise PersistedQueryNotFound
            self._known.move_to_end(name)
            return self._known[name]
        if hashlib.sha256(query.encode()).hexdigest() != name:
            raise Invalid("The hash is not that of the text: send the SHA-256 of `query`, in hexadecimal digits.")
        if name not in self._known and len(query) <= self._max_characters // 8:
            self._known[name] = query
            self._characters += len(query)
            while self._characters > self._max_characters:
                self._characters -= len(self._known.popitem(last=False)[1])
        return query


def _named(document_id: str | None, extensions: Mapping[str, Any] | None) -> str | None:
    """Read the name of an operation."""
    if document_id is not None:
        return document_id.removeprefix(_PREFIX)
    persisted = (extensions or {}).get("persistedQuery")
    if persisted is None:
        return None
    name = persisted.get("sha256Hash") if isinstance(persisted, dict) else None
    if not isinstance(name, str) or persisted.get("version", _VERSION) != _VERSION:
        raise Invalid("`persistedQuery` has `version` 1 and a text as `sha256Hash`.")
    return name
