"""What becomes of wall clock times when a zone's clock is changed: those that it jumps over, and those that come twice.

A job says it by two words, and they hold for its times of day. What goes on and on, each minute or hour, is due
whenever the clock shows a matching time: none in a gap, and both times round.
"""

from typing import Final, Literal, NamedTuple

from kala_es.domain.offsets import Stretch

Gap = Literal["run-after", "skip"]
"""A time that the clock jumps over: due once, the moment the gap ends, or not at all."""
Fold = Literal["first", "second", "both"]
"""Of a time that the clock shows twice: which are due."""


class OnChange(NamedTuple):
    """What is done about both."""

    gap: Gap = "run-after"
    fold: Fold = "first"


USUAL: Final = OnChange()
AS_SHOWN: Final = OnChange("skip", "both")
"""The clock alone decides."""


def opening(stretch: Stretch, on_change: OnChange) -> int:
    """The earliest wall time that is due in the stretch. One that was jumped over is due when the stretch begins, one
    that was shown before is not due again, unless it is to be otherwise."""
    forward = stretch.ahead > stretch.before
    from_before = on_change.gap == "run-after" if forward else on_change.fold == "first"
    return stretch.begins + (stretch.before if from_before else stretch.ahead)


def closing(stretch: Stretch, on_change: OnChange) -> int:
    """The wall time before which those are that are due in the stretch: what is shown again after it may be left."""
    left = on_change.fold == "second" and stretch.after < stretch.ahead
    return stretch.ends + (stretch.after if left else stretch.ahead)
