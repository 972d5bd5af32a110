"""Whatever is missing from a log or an archive has a reason in it, or is named."""

from collections.abc import Sequence
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from kala_es import codec
from kala_es.domain import events as e
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.model import JobSpec
from kala_es.domain.trimming import BaseTaken, RunRedacted, RunsTrimmed, TrimmedRun
from kala_es.event_log import LogDamaged
from kala_es.event_logs.lmdb_reader import LogReader
from kala_es.replay import views
from kala_es.replay.exporting import export
from kala_es.replay.fold_check import compare
from kala_es.replay.hole_check import NO_REASONS, HoleCheck, Reasons
from kala_es.replay.moments import Moment
from kala_es.replay.verify import prove_archive
from kala_es.runtime.rebuilding import import_into, restore
from tests.replay.logs import opened

JOB = JobId("a")
AT = Instant(1_700_000_000_000_000)


def started(run: str) -> e.RunStarted:
    return e.RunStarted(job=JOB, at=AT, run=RunId(run), cause="manual", root=RunId(run))


def printed(run: str, content: bytes = b"so it was") -> e.OutputChunk:
    place = {"attempt": 1, "sequence": 1, "offset": 0}
    return e.OutputChunk(job=JOB, at=AT, run=RunId(run), channel="stdout", content=content, **place)


def ended(run: str) -> e.RunFinished:
    return e.RunFinished(job=JOB, at=AT, run=RunId(run), outcome="succeeded", attempts=1, root=RunId(run))


def of(run: str, chunks: int, size: int = 9) -> TrimmedRun:
    return TrimmedRun(run=RunId(run), digest=b"", stdout_bytes=size, chunks=chunks)


def trimmed(run: str, chunks: int, size: int = 9) -> RunsTrimmed:
    return RunsTrimmed(job=JOB, at=AT, runs=(of(run, chunks, size),))


CREATED = e.JobCreated(job=JOB, at=AT, spec=JobSpec(name="a", command="backup a"))
EDITED = e.JobUpdated(job=JOB, at=AT, spec=JobSpec(name="a", command="rm -rf x"))
REDACTED = RunRedacted(job=JOB, at=AT, run=of("x", 1), reason="a secret")
ONE = (CREATED, started("x"), EDITED, printed("x"), printed("x"), ended("x"), EDITED)
"""Positions 1 to 7."""


def judge(events: Sequence[e.Event], erased: set[int], **rules: int) -> Reasons:
    check = HoleCheck(**rules)
    for position, event in enumerate(events, 1):
        check.look([(position, 1)] if position in erased else [], [] if position in erased else [(position, event)])
    return check.end()


@pytest.mark.parametrize(
    ("events", "erased"),
    [
        ((*ONE, trimmed("x", 2)), {4, 5}),
        ((*ONE, trimmed("x", 2)), {5}),
        ((*ONE, trimmed("x", 0)), {4, 5}),
        ((*ONE, RunRedacted(job=JOB, at=AT, run=of("x", 2), reason="a secret")), {4, 5}),
        ((*ONE, trimmed("x", 2), RunRedacted(job=JOB, at=AT, run=of("x", 0), reason="a secret")), {4, 5}),
        ((started("x"), started("y"), printed("x"), printed("y"), ended("y"), printed("x"), ended("x"), trimmed("x", 2),
          trimmed("y", 1)), {3, 4, 6}),
    ],
)  # fmt: skip
def test_output_of_a_run_that_lost_it_is_accounted_for(events: Sequence[e.Event], erased: set[int]) -> None:
    assert judge(events, erased) == NO_REASONS


@pytest.mark.parametrize(
    ("events", "erased", "named"),
    [
        (ONE, {7}, 7),
        (ONE, {4}, 4),
        ((*ONE, trimmed("x", 2)), {4, 5, 7}, 7),
        ((*ONE, trimmed("x", 2)), {3, 4, 5}, 5),
        ((*ONE, trimmed("x", 2)), {3, 5}, 5),
        ((*ONE, trimmed("x", 0, size=2)), {3, 4, 5}, 5),
        ((*ONE, trimmed("y", 2)), {4}, 4),
        ((*ONE, REDACTED), {4, 5}, 5),
        ((*ONE, REDACTED, trimmed("x", 2)), {4, 5}, 5),
        ((trimmed("x", 2), *ONE), {5}, 5),
    ],
)
def test_what_nothing_accounts_for_is_named(events: Sequence[e.Event], erased: set[int], named: int) -> None:
    with pytest.raises(LogDamaged, match=f"^Position {named} was erased, and nothing in the log says why"):
        judge(events, erased)


def base(position: int) -> BaseTaken:
    return BaseTaken(at=AT, base=position, parts=0, digest=b"")


def test_a_base_stands_for_what_lies_before_it_and_for_nothing_else() -> None:
    assert judge((*ONE, base(4)), {1, 3, 4}) == Reasons(base=4, swept=3)
    with pytest.raises(LogDamaged, match="Position 5 was erased"):
        judge((*ONE, base(4)), {3, 4, 5})
    with pytest.raises(LogDamaged, match="Position 9 was erased"):
        judge((*ONE, base(99), EDITED), {9})


def test_a_hole_goes_on_beyond_the_base() -> None:
    check = HoleCheck()
    check.look([(3, 4)], [(1, CREATED), (2, started("x")), (7, ended("x")), (8, trimmed("x", 2)), (9, base(4))])
    assert check.end() == Reasons(base=4, swept=2)


def test_what_was_left_out_may_be_missing_while_a_run_was_in_flight() -> None:
    assert judge(ONE, {4, 5}, left_out=6) == Reasons(left_out=2)
    for erased, left_out in ({5}, 4), ({7}, 9):
        with pytest.raises(LogDamaged, match="was erased"):
            judge(ONE, erased, left_out=left_out)


async def made(directory: Path, events: Sequence[e.Event], erased: Sequence[int]) -> bytes:
    """A log in a directory; and an archive of it."""
    log, parts = opened(directory), list[bytes]()
    for event in events:
        await log.append([codec.encode(event)])
    await log.trim(erased)
    await log.close()
    export(directory, parts.append)
    return b"".join(parts)


def reasons(directory: Path) -> Reasons:
    return compare(directory, tell=lambda *_: None).reasons


async def test_a_log_and_its_archive_are_judged(tmp_path: Path) -> None:
    right = await made(tmp_path / "right", (*ONE, trimmed("x", 2)), [4, 5])
    wrong = await made(tmp_path / "wrong", (*ONE, trimmed("x", 2)), [3, 4, 5])
    assert reasons(tmp_path / "right") == prove_archive(BytesIO(right)).reasons == NO_REASONS
    with pytest.raises(LogDamaged, match="Position 5 was erased"):
        reasons(tmp_path / "wrong")
    with pytest.raises(LogDamaged, match="Position 5 was erased"):
        prove_archive(BytesIO(wrong))


async def test_a_log_without_output_says_so_and_so_does_what_is_made_of_it(tmp_path: Path) -> None:
    await made(tmp_path / "whole", ONE, [])
    first, again, more = list[bytes](), list[bytes](), list[bytes]()
    export(tmp_path / "whole", first.append, output=False)
    import_into(BytesIO(b"".join(first)), tmp_path / "copy")
    assert reasons(tmp_path / "copy") == Reasons(left_out=2)
    await made(tmp_path / "copy", (started("y"), printed("y"), ended("y"), trimmed("y", 1)), [9])
    export(tmp_path / "copy", again.append)
    export(tmp_path / "copy", more.append, after=7)
    assert reasons(tmp_path / "copy") == Reasons(left_out=2)
    assert prove_archive(BytesIO(b"".join(more))).reasons == NO_REASONS
    for archive, missing in (first, 2), (again, 3):  # of an archive only all of it can be told to lack some
        assert prove_archive(BytesIO(b"".join(archive))).reasons == Reasons(left_out=missing)
    import_into(BytesIO(b"".join(again)), tmp_path / "other")
    assert reasons(tmp_path / "other") == Reasons(left_out=3)


async def test_a_run_whose_output_an_archive_left_out_says_so(tmp_path: Path) -> None:
    silent = (started("y"), ended("y"))
    await made(tmp_path / "whole", (*ONE, *silent), [])
    archive: list[bytes] = []
    export(tmp_path / "whole", archive.append, output=False)
    import_into(BytesIO(b"".join(archive)), tmp_path / "copy")
    await made(tmp_path / "copy", (started("z"), EDITED, ended("z")), [11])  # not erased by that archive

    def shown(directory: Path, run: str, until: int = 12) -> Any:
        with closing(LogReader(directory)) as reader:
            said = views.run(reader, run, until)["run"]
        return said["output_trimmed"], said["output"]

    assert shown(tmp_path / "whole", "x") == (False, "so it wasso it was")
    assert [shown(tmp_path / "copy", run) for run in "xyz"] == [(True, ""), (False, ""), (False, "")]
    assert shown(tmp_path / "copy", "x", 3) == (False, "")  # it had printed nothing by then


def imported(run: str, chunks: int) -> e.RunImported:
    return e.RunImported(
        job=JobId("j"),
        at=Instant(9),
        run=RunId(run),
        started=Instant(1),
        ended=Instant(2),
        outcome="succeeded",
        attempts=1,
        source="dkron",
        execution=run,
        chunks=chunks,
    )


@pytest.mark.parametrize(
    ("events", "gone", "names"),
    [
        ([imported("x", 2), trimmed("x", 2)], [(1, 2)], None),
        ([imported("x", 2)], [(1, 2)], 1),
        ([imported("x", 1), trimmed("x", 1)], [(1, 2)], 1),
        ([imported("x", 2), imported("y", 1), trimmed("x", 2), trimmed("y", 1)], [(1, 2), (4, 1)], None),
        ([imported("x", 2), imported("y", 1), trimmed("y", 1)], [(1, 2), (4, 1)], 1),
    ],
)
def test_output_of_an_imported_run_stands_right_before_it(
    events: list[e.Event], gone: list[tuple[int, int]], names: int | None
) -> None:
    check, position = HoleCheck(), 1
    missing = {place for first, count in gone for place in range(first, first + count)}
    for event in events:
        while position in missing:
            position += 1
        holes = [(first, count) for first, count in gone if first + count == position]
        check.look(holes, [(position, event)])
        position += 1
    if names is None:
        assert check.end() == NO_REASONS
    else:
        with pytest.raises(LogDamaged, match=f"Position {names} was erased"):
            check.end()


def test_output_of_an_imported_run_may_be_left_out_of_an_archive() -> None:
    check = HoleCheck(left_out=3)
    check.look([(1, 2)], [(3, imported("x", 2))])
    assert check.end() == Reasons(left_out=2)


async def test_a_restored_log_may_lack_what_its_source_lost_later(tmp_path: Path) -> None:
    await made(tmp_path / "source", (*ONE, trimmed("x", 2)), [4, 5])
    restore(tmp_path / "source", tmp_path / "restored", Moment(position=7))
    restore(tmp_path / "source", tmp_path / "whole", Moment(position=8))
    restore(tmp_path / "source", tmp_path / "early", Moment(position=3))
    assert reasons(tmp_path / "restored") == Reasons(left_out=2)
    assert reasons(tmp_path / "whole") == reasons(tmp_path / "early") == NO_REASONS
