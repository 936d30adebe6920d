"""Opaque global ids: base64 of `TypeName:uuid`, as Relay has them."""

import base64
import binascii
from uuid import UUID

MAX_GLOBAL_ID_LENGTH = 128
"""Characters; a longer id was not issued here."""


def to_global_id(type_name: str, id_: UUID) -> str:
    """Name an object for clients."""
    return base64.b64encode(f"{type_name}:{id_}".encode()).decode()


def parse_global_id(global_id: str) -> tuple[str, UUID] | None:
    """Split a global id into its type and key; None for what was never issued.

    Malformed and unknown ids read the same to a caller, so there is no error to tell them apart.
    """
    if len(global_id) > MAX_GLOBAL_ID_LENGTH:
        return None
    try:
        type_name, _, key = base64.b64decode(global_id.encode("ascii"), validate=True).decode("ascii").partition(":")
        parsed = type_name, UUID(key)
    except (binascii.Error, UnicodeError, ValueError):
        return None
    return parsed if to_global_id(*parsed) == global_id else None


def key_of(global_id: str, type_name: str) -> UUID | None:
    """Return the key in a global id of one type; None for an id of another type or of none."""
    parsed = parse_global_id(global_id)
    return parsed[1] if parsed is not None and parsed[0] == type_name else None
