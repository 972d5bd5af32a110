"""The one tree of refusals.

Refusal                     an expected no; a caller's or the world's, never a bug
├── Invalid                 a field's value is wrong             (field, reason)
├── NotFound                no such job or run
├── Gone                    it was there, and is kept no longer
├── Forbidden               allowed by no setting of this node
├── Conflict                right in itself, wrong now
├── Overtaken               it was meant for what somebody else has changed meanwhile
├── Overloaded              a limit was reached; try again
├── LogFull                 the disk has no room for new work
└── Unavailable             the node is stopping or its log has failed
ActorCrashed                a bug in one job's actor; the job is read from the log again
"""


class Refusal(Exception):
    """An expected no, with the sentence that says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Invalid(Refusal):
    """`field` (a domain field's name, "" for the whole) is wrong for `reason`, from its character `column` on (the
    first is 1) if that is known."""

    def __init__(self, field: str, reason: str, column: int | None = None) -> None:
        super().__init__(reason)
        self.field = field
        self.column = column


class NotFound(Refusal):
    """There is no such job or run."""


class Gone(Refusal):
    """It was there, and is kept no longer."""


class Forbidden(Refusal):
    """A setting of this node forbids it."""


class Conflict(Refusal):
    """The state of things forbids it now."""


class Overtaken(Refusal):
    """It was meant for a state that is no more: somebody else was faster."""


class Overloaded(Refusal):
    """A limit was reached; the same request may pass later."""


class LogFull(Refusal):
    """The log's disk has no room; nothing was recorded."""


class Unavailable(Refusal):
    """The node is stopping, or its log failed."""


class ActorCrashed(Exception):
    """A job's actor met a bug; it has been recorded and the job comes back from the log."""
