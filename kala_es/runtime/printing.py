"""Prints a line for each event once it is recorded: what `--verbose` is for."""

from collections.abc import Callable

from kala_es.projections.folds import Folds
from kala_es.projections.recorded import Recorded
from kala_es.runtime.broadcaster import ALL, Broadcaster


async def print_events(folds: Folds, broadcaster: Broadcaster, say: Callable[[str], None]) -> None:
    """Say each event, until cancelled. Who is too slow misses some."""
    position = folds.position
    with broadcaster.follow(ALL) as topic:
        while True:
            for entry in topic.after(position) or ():
                say(_line(entry.recorded))
            position = folds.position
            await topic.wait()


def _line(recorded: Recorded) -> str:
    event = recorded.event
    subject = " ".join(f"{name}={getattr(event, name)}" for name in ("job", "run", "outcome") if hasattr(event, name))
    return f"{recorded.position} {type(event).__name__} {subject}"
