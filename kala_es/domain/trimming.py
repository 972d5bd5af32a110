"""Facts about the log itself: which runs were trimmed and forgotten, and the bases that older facts are not needed for.

A run that is trimmed has lost its output and keeps its summary; one that is forgotten has lost that too, and with it go
the notices of it, and of its job from before the newest such run.
"""

from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.values import Value


class TrimmedRun(Value, frozen=True):
    """A run that loses its output: `chunks` records (0: not said). `digest` is BLAKE2b (32 bytes) of both channels."""

    run: RunId
    digest: bytes
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    chunks: int = 0


class RunsTrimmed(Value, frozen=True):
    """The output of these runs is no longer kept; their summaries are."""

    job: JobId
    at: Instant
    runs: tuple[TrimmedRun, ...]


class RunRedacted(Value, frozen=True):
    """The output of a run is erased because somebody asked for it: `by`, the principal, for a reason."""

    job: JobId
    at: Instant
    run: TrimmedRun
    reason: str
    by: str = ""


class Redaction(Value, frozen=True):
    """Why a run has lost its output. The event that says so is at `position`."""

    at: Instant
    position: int
    reason: str
    by: str = ""


class RunsForgotten(Value, frozen=True):
    """The trimmed runs of the job that began before `run`, at `started`, and it itself, are known no more.

    Of all that were ever forgotten of the job: how many, how many bytes of output, the `first` and `last` start.
    """

    job: JobId
    at: Instant
    run: RunId
    started: Instant
    count: int
    output_bytes: int
    first: Instant
    last: Instant


class BasePart(Value, frozen=True):
    """A part of the state of everything at the position `base`. It counts once `BaseTaken` names that position."""

    at: Instant
    base: int
    number: int
    content: bytes


class BaseTaken(Value, frozen=True):
    """The parts of `base`, so many, are whole: no state is folded from records up to there any more.

    `digest` is BLAKE2b (32 bytes) of their content; `forgotten` counts the runs that had been forgotten by then.
    """

    at: Instant
    base: int
    parts: int
    digest: bytes
    forgotten: int = 0


HistoryEvent = RunsTrimmed | RunRedacted | RunsForgotten | BasePart | BaseTaken
OF_HISTORY = (RunsTrimmed, RunRedacted, RunsForgotten, BasePart, BaseTaken)
"""They change no job's state."""
