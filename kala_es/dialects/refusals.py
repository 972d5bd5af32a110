"""What is the same about errors in each dialect: the status that answers one, and the sentence that says why."""

from typing import Final

from kala_es.domain import errors
from kala_es.domain.errors import Invalid

_STATUSES: Final = (
    (errors.Invalid, 400),
    (errors.NotFound, 404),
    (errors.Gone, 410),
    (errors.Forbidden, 403),
    (errors.Conflict, 409),
    (errors.Overtaken, 412),
    (errors.Overloaded, 503),
    (errors.LogFull, 507),
    (errors.Unavailable, 503),
)


def status_of(error: Exception) -> int:
    """The status that answers an error; 500 for what is no refusal."""
    if isinstance(error, Invalid) and error.field == "Idempotency-Key":
        return 422
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def reason_of(error: Exception) -> str:
    """Why; of a bug not more than that it is one."""
    if isinstance(error, errors.Refusal):
        return error.reason
    if isinstance(error, errors.ActorCrashed):
        return f"the job met a bug and was read from the log again: {error}"
    return "an error of the server's own; its log has the details"
