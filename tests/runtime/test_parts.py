"""Parts: of which bytes they are, where they are cut, and up to where the handover is after each."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala_es import limits
from kala_es.domain import events as e
from kala_es.domain.handovers import Handover
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.processing import NOTHING, Reached
from kala_es.processor import Part
from kala_es.projections.recorded import Recorded
from kala_es.runtime.parts import Assembly

JOB, RUN, OTHER, NOW = JobId("j"), RunId("r"), RunId("another"), Instant(7)
HANDOVER = Handover(job=JOB, run=RUN, place=0, started=NOW, name="n", processors=(("p", ()),))


def chunk(content: bytes, attempt: int = 1, channel: str = "stdout", run: RunId = RUN) -> e.OutputChunk:
    return e.OutputChunk(
        job=JOB, at=NOW, run=run, attempt=attempt, sequence=1, channel=channel, offset=0, content=content
    )


def failure(attempt: int, *, retrying: bool = True) -> e.AttemptFailed:
    return e.AttemptFailed(
        job=JOB, at=NOW, run=RUN, attempt=attempt, outcome="failed", retrying=retrying, exit_code=3, stderr_dropped=9
    )


def finish(attempts: int, outcome: str = "succeeded") -> e.RunFinished:
    return e.RunFinished(job=JOB, at=NOW, run=RUN, outcome=outcome, attempts=attempts, root=RUN)  # type: ignore[arg-type]


START = e.RunStarted(job=JOB, at=NOW, run=RUN, cause="manual", root=RUN)


def parts(
    log: Sequence[Any], *, reached: Reached = NOTHING, whole: bool = True, output: bool = True
) -> list[tuple[Part, Reached]]:
    """The parts of a log, whose positions are 1, 2, 3..., with how far the handover is after each."""
    recorded = [Recorded(position, event) for position, event in enumerate(log, 1)]
    found: list[tuple[Part, Reached]] = []
    while True:
        assembly = Assembly(HANDOVER, reached, output=output)
        assembly.take(r for r in recorded if r.position > reached.position)
        if whole:
            assembly.shorten()
        part = assembly.part()
        if part is None:
            return found
        reached = assembly.reached()
        found.append((part, reached))
        if part.end is not None and part.end.over:
            return found


def shape(part: Part) -> tuple[int, int, bool, bytes, str]:
    """An attempt, the offset, whether it begins there, its bytes, how it ended."""
    return part.attempt, part.offset, part.first, part.content, part.end.outcome if part.end else ""


def test_whole_lines_are_handed_over_and_the_rest_is_left() -> None:
    log = [START, chunk(b"one\ntw"), chunk(b"o\nth"), chunk(b"other\n", run=OTHER)]
    ((part, reached),) = parts(log)
    assert shape(part) == (1, 0, True, b"one\ntwo\n", "")
    assert reached == Reached(position=2, cut=2, offset=8)
    ((part, reached),) = parts(log, whole=False)
    assert shape(part) == (1, 0, True, b"one\ntwo\nth", "")
    assert reached == Reached(position=3, offset=10)
    ((part, reached),) = parts([*log, chunk(b"ree\nfo"), chunk(b"ur")])
    assert shape(part) == (1, 0, True, b"one\ntwo\nthree\n", "")
    assert reached == Reached(position=4, cut=4, offset=14)


def test_a_part_begins_within_a_chunk() -> None:
    log = [START, chunk(b"one\ntw"), chunk(b"o\n"), finish(1)]
    ((part, reached),) = parts(log, reached=Reached(position=1, cut=4, offset=4))
    assert shape(part) == (1, 4, False, b"two\n", "succeeded")
    assert reached.position == 4


def test_an_attempt_s_end_is_with_its_last_output_and_the_next_one_begins_anew() -> None:
    log = [START, chunk(b"a"), failure(1), failure(2), chunk(b"c\n", 3), chunk(b"d", 3), finish(3)]
    found = parts(log)
    assert [shape(part) for part, _ in found] == [
        (1, 0, True, b"a", "failed"),
        (2, 0, True, b"", "failed"),
        (3, 0, True, b"c\nd", "succeeded"),
    ]
    assert [reached for _, reached in found][:2] == [
        Reached(position=3, attempt=2, previous=1),
        Reached(position=4, attempt=3),
    ]
    end = found[0][0].end
    assert end is not None
    assert (end.exit_code, end.dropped, end.over) == (3, 9, False)


def test_the_end_of_a_run_that_failed_says_it_once() -> None:
    log = [START, chunk(b"a"), failure(1, retrying=False), finish(1, "failed")]
    ((part, _),) = parts(log)
    assert shape(part) == (1, 0, True, b"a", "failed")
    assert part.end is not None
    assert part.end.over


def test_a_run_that_is_given_up_before_its_next_attempt_ends_with_the_last() -> None:
    found = parts([START, chunk(b"a"), failure(1), finish(1, "cancelled")])
    assert [shape(part) for part, _ in found] == [(1, 0, True, b"a", "failed"), (1, 1, False, b"", "cancelled")]


def test_long_lines_are_cut_and_parts_are_never_larger() -> None:
    some = limits.CHUNK_BYTES
    log = [START, *[chunk(b"x" * some)] * 5, chunk(b"\n" + b"y" * (some - 1)), finish(1)]
    found = [part for part, _ in parts(log)]
    assert [(part.offset, len(part.content)) for part in found] == [(0, 4 * some), (4 * some, 2 * some)]
    log = [START, chunk(b"x" * 10 + b"\n"), *[chunk(b"y" * some)] * 4, finish(1)]
    assert [len(part.content) for part, _ in parts(log)] == [11, limits.PART_BYTES, 0]


def test_without_the_output_only_ends_are_parts() -> None:
    log = [START, chunk(b"a\n"), failure(1), chunk(b"b\n", 2), finish(2)]
    assert [shape(part) for part, _ in parts(log, output=False)] == [
        (1, 0, True, b"", "failed"),
        (2, 0, True, b"", "succeeded"),
    ]
    assert parts(log[:2], output=False) == []


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=9).map(lambda b: b.replace(b"\1", b"\n")), max_size=9),
    whole=st.booleans(),
)
def test_all_bytes_come_once_and_in_order(chunks: list[bytes], *, whole: bool) -> None:
    found = [part for part, _ in parts([START, *map(chunk, chunks), finish(1)], whole=whole)]
    assert b"".join(part.content for part in found) == b"".join(chunks)
    places = [(part.offset, part.offset + len(part.content)) for part in found]
    assert [start for start, _ in places[1:]] == [stop for _, stop in places[:-1]]


@pytest.mark.parametrize("cut", range(1, 8))
def test_it_goes_on_from_anywhere(cut: int) -> None:
    reached = Reached(position=1, cut=cut, offset=cut)
    assert (
        b"".join(part.content for part, _ in parts([START, chunk(b"one\ntwo"), finish(1)], reached=reached))
        == (b"one\ntwo"[cut:])
    )
