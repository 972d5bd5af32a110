"""Runs of elsewhere: which can be taken, and what is recorded of them. Nothing in their job's state changes."""

from typing import Any

import pytest

from kala_es import limits
from kala_es.domain import commands as c
from kala_es.domain import events as e
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import SECOND, Instant, JobId, RunId, run_imported
from kala_es.domain.imported_runs import ImportedRun, RefusedRun, RunImport, check, judge, output_of
from kala_es.domain.job import decide, evolve
from kala_es.domain.model import Job, JobSpec
from kala_es.domain.values import replace

J = JobId("j")
NOW = Instant(1_000 * SECOND)
RUN = ImportedRun(id=RunId("r"), execution="x", started=Instant(10), ended=Instant(20), outcome="succeeded")
SPEC = JobSpec(name="n", command="true", schedule="R/1970-01-02T00:00:00Z/P1D")


def job() -> Job:
    (created,) = decide(None, c.CreateJob(job=J, at=NOW, spec=SPEC))
    made = evolve(None, created)
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"execution": ""}, "id"),
        ({"execution": "x" * (limits.MAX_NAME_CHARS + 1)}, "id"),
        ({"started": Instant(-1)}, "ran_at"),
        ({"started": Instant(21)}, "ended_at"),
        ({"ended": Instant(NOW + 1)}, "ended_at"),
        ({"attempts": 0}, "number_of_retries"),
        ({"attempts": limits.MAX_RETRIES + 2}, "number_of_retries"),
        ({"reason": "x" * (limits.MAX_REASON_CHARS + 1)}, "reason"),
        ({"output": b"x" * (limits.MAX_IMPORTED_OUTPUT_BYTES + 1)}, "output"),
    ],
)
def test_what_cannot_have_been_is_refused(wrong: dict[str, Any], field: str) -> None:
    check(RUN, NOW)
    bad = replace(RUN, **wrong)
    with pytest.raises(Invalid) as refused:
        check(bad, NOW)
    assert refused.value.field == field
    with pytest.raises(Invalid):
        decide(job(), c.ImportRuns(job=J, at=NOW, source="s", runs=(RUN, bad)))
    unread = RefusedRun(execution="y", field="", reason="why")
    sound, refusals = judge(RunImport(job=J, source="s", runs=(RUN, bad), refused=(unread,)), NOW)
    assert (sound, [r.field for r in refusals]) == ((RUN,), ["", field])


def test_a_run_at_the_edges_is_taken() -> None:
    check(replace(RUN, started=Instant(0), ended=Instant(0)), NOW)
    check(replace(RUN, ended=NOW, attempts=limits.MAX_RETRIES + 1), NOW)


def test_a_fact_a_run_and_the_job_stays_as_it_is() -> None:
    before = job()
    run = replace(RUN, attempts=3, exit_code=4, reason="why", outcome="failed", output=b"x" * limits.CHUNK_BYTES + b"y")
    (event,) = decide(before, c.ImportRuns(job=J, at=NOW, source="s", runs=(run,)))
    assert event == e.RunImported(
        job=J,
        at=NOW,
        run=RunId("r"),
        source="s",
        execution="x",
        started=Instant(10),
        ended=Instant(20),
        outcome="failed",
        attempts=3,
        chunks=2,
        exit_code=4,
        reason="why",
    )
    assert evolve(before, event) is before
    assert decide(before, c.ImportRuns(job=J, at=NOW, source="s", runs=())) == ()


@pytest.mark.parametrize("size", [0, 1, limits.CHUNK_BYTES, limits.CHUNK_BYTES + 1, 3 * limits.CHUNK_BYTES])
def test_the_chunks_are_the_output_and_as_many_as_the_fact_says(size: int) -> None:
    run = replace(RUN, output=bytes(n % 251 for n in range(size)), attempts=2)
    chunks = list(output_of(run, J, at=NOW))
    assert b"".join(chunk.content for chunk in chunks) == run.output
    assert [chunk.sequence for chunk in chunks] == list(range(1, len(chunks) + 1))
    assert all((chunk.run, chunk.attempt, chunk.at) == (run.id, 2, NOW) for chunk in chunks)
    place = 0
    for chunk in chunks:
        assert chunk.offset == place
        place += len(chunk.content)
    (event,) = decide(job(), c.ImportRuns(job=J, at=NOW, source="s", runs=(run,)))
    assert isinstance(event, e.RunImported)
    assert event.chunks == len(chunks)


def test_an_id_is_of_the_job_the_source_and_the_execution() -> None:
    ids = {
        run_imported(JobId(job), source, execution)
        for job in "jk"
        for source in ("a", "a b")
        for execution in ("c", "b c")
    }
    assert len(ids) == 8
    assert run_imported(J, "a", "c") in ids
