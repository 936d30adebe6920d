"""What callers are told when the database gives them no answer for now."""

import structlog
from sqlalchemy.exc import DBAPIError

from graphql_api.kit.database import is_away
from graphql_api.kit.errors import Overloaded

DATABASE_AWAY = (
    "The database can't be reached right now. Try again in a second or two; a change with an idempotencyKey is never "
    "made twice."
)
DATABASE_SLOW = (
    "The database took too long over this. Try again in a second or two, or ask for less at once; a change with an "
    "idempotencyKey is never made twice."
)

_CANCELED, _TIMEOUT = "57014", "statement timeout"
"""How PostgreSQL says that a statement took too long; the code alone is that of whatever cancels one."""

_log = structlog.get_logger()


def overload(error: BaseException | None, **where: object) -> Overloaded | None:
    """Give what a caller is told when the database is away or too slow, and note that; None for any other error.

    Args:
        error: What broke an operation.
        **where: For the log.
    """
    if is_away(error):
        _log.warning("database_away", error=type(error).__name__, **where)
        return Overloaded(DATABASE_AWAY)
    if _is_timed_out(error):
        _log.warning("statement_timed_out", exc_info=error, **where)
        return Overloaded(DATABASE_SLOW)
    return None


def _is_timed_out(error: BaseException | None) -> bool:
    """Tell whether PostgreSQL ended a statement that took too long; it has to say so in English."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return getattr(cause, "sqlstate", None) == _CANCELED and _TIMEOUT in str(cause)
