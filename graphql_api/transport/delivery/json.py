"""JSON as it goes over the wire."""

from collections.abc import Mapping

import orjson


def to_json(value: object) -> bytes:
    """Write a value.

    Raises:
        TypeError: When it, or a part of it, is nothing that JSON has.
    """
    return orjson.dumps(value, default=_mapping)


def _mapping(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value).__name__)
