"""Where a run's output has gaps, because it was more than its job allows; told to whoever reads it."""

from kala_es.projections.runs import RunSummary
from kala_es.web.site import Site

Places = list[tuple[int, int]]
"""Offsets, and how many bytes were left out there."""


def places(site: Site, run: RunSummary, channel: str | None) -> Places:
    """The gaps of one channel or of both together, in order. What no chunk followed is at the end."""
    dropped, size = _of(run, channel)
    if not dropped and run.outcome is not None:
        return []
    found = [
        (gap.offset if channel else gap.total, gap.dropped)
        for gap in site.scheduler.folds.output.gaps(run.id)
        if channel in (None, gap.channel)
    ]
    rest = dropped - sum(count for _, count in found)
    return [*found, (size, rest)] if rest > 0 else found


def _of(run: RunSummary, channel: str | None) -> tuple[int, int]:
    """What was left out, and what there is."""
    stdout, stderr = (run.stdout_dropped, run.stdout_bytes), (run.stderr_dropped, run.stderr_bytes)
    if channel is None:
        return stdout[0] + stderr[0], stdout[1] + stderr[1]
    return stdout if channel == "stdout" else stderr


def headers(found: Places) -> tuple[tuple[str, str], ...]:
    """The headers that go with raw output: how much was left out, and after how many of its bytes."""
    if not found:
        return ()
    where = ", ".join(f"{offset}+{dropped}" for offset, dropped in found)
    return ("Output-Dropped-Bytes", str(sum(dropped for _, dropped in found))), ("Output-Gaps", where)


def marked(output: bytearray, found: Places) -> bytes:
    """Output as people read it, with a line in each gap that it reaches."""
    for offset, dropped in reversed(found):
        if offset <= len(output):
            output[offset:offset] = b"\n[%d bytes left out]\n" % dropped
    return bytes(output)
