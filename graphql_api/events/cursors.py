"""Cursors: an opaque position in one log."""

import base64
import binascii
from uuid import UUID

from graphql_api.kit.errors import CursorInvalid

_LENGTH = 24
"""Bytes: the subject's 16, the sequence's 8."""

_URL_SAFE = bytes.maketrans(b"+/", b"-_")

_GREATEST = 2**63 - 1
"""What a bigint holds."""


def encode_cursor(subject: UUID, sequence: int) -> str:
    """Name a position of a log for clients; it stays valid for ever."""
    position = (subject.int << 64 | sequence).to_bytes(_LENGTH, "big")
    return binascii.b2a_base64(position, newline=False).translate(_URL_SAFE).decode()


def decode_cursor(cursor: str | None, subject: UUID) -> int:
    """Read the sequence in a cursor of this log; 0, the beginning, for None.

    Raises:
        CursorInvalid: When it is no cursor, or one of another log.
    """
    if cursor is None:
        return 0
    try:
        decoded = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeError) as error:
        raise CursorInvalid("This is not a cursor. Hand back one that an event carried, unchanged.") from error
    if len(decoded) != _LENGTH or decoded[:16] != subject.bytes:
        raise CursorInvalid("This cursor is not one of this log. Hand back one that an event of it carried.")
    sequence = int.from_bytes(decoded[16:], "big")
    if sequence > _GREATEST:
        raise CursorInvalid("This cursor is of the future: no log is that far.")
    return sequence
