"""What a job may say of processors, what a handover goes through, and when it is tried again."""

import pytest

from kala_es import limits
from kala_es.domain import events as e
from kala_es.domain.errors import Invalid
from kala_es.domain.handovers import Handover, Handovers, failed, handed_over, note
from kala_es.domain.ids import SECOND, Instant, JobId, RunId
from kala_es.domain.job import evolve
from kala_es.domain.model import Job, JobSpec
from kala_es.domain.plan import check
from kala_es.domain.processing import NOTHING, Processors, Reached, stands_in

JOB, RUN, NOW = JobId("j"), RunId("r"), Instant(10**15)


def spec(*processors: tuple[str, dict[str, str]]) -> JobSpec:
    return JobSpec(name="n", command="true", processors=listed(*processors))


def listed(*processors: tuple[str, dict[str, str]]) -> Processors:
    return tuple((name, tuple(config.items())) for name, config in processors)


@pytest.mark.parametrize(
    ("processors", "field"),
    [
        ([(f"p{i}", {}) for i in range(limits.MAX_PROCESSORS + 1)], "processors"),
        ([("", {})], "processors"),
        ([("../log", {})], "processors"),
        ([("log", {"x": "y" * limits.MAX_PROCESSOR_CONFIG_CHARS})], "processors.log"),
        ([("log", {}), ("files", {"forward": "perhaps"})], "processors.files.forward"),
    ],
)
def test_what_cannot_be_is_refused(processors: list[tuple[str, dict[str, str]]], field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        check(spec(*processors), JOB)
    assert refusal.value.field == field


def test_what_can_be_is_not() -> None:
    check(spec(("log", {"forward": "true"}), ("my-own.one_2", {"forward": "F"}), ("files", {"log_dir": "x"})), JOB)
    check(spec(*[(f"p{i}", {}) for i in range(limits.MAX_PROCESSORS)]), JOB)


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        (["", "", ""], [None, None, None]),
        (["true", "TRUE", "1"], [None, None, None]),
        (["false", "", ""], [None, 0, 0]),
        (["", "False", ""], [None, None, 1]),
        (["f", "0", ""], [None, 0, 1]),
    ],
)
def test_whose_line_stands_for_the_output(says: list[str], expected: list[int | None]) -> None:
    processors = listed(*[(f"p{i}", {"forward": said} if said else {}) for i, said in enumerate(says)])
    assert [stands_in(processors, place) for place in range(3)] == expected


def begun(*names: str) -> tuple[Handovers, Job]:
    """The handovers of a job's run that began."""
    created = evolve(None, e.JobCreated(job=JOB, at=NOW, spec=spec(*[(name, {}) for name in names])))
    started = e.RunStarted(job=JOB, at=NOW, run=RUN, cause="manual", root=RUN)
    job = evolve(created, started)
    assert job is not None
    handovers = Handovers()
    note(handovers, started, job)
    return handovers, job


def test_a_run_that_begins_has_a_handover_for_each_processor() -> None:
    handovers, job = begun("a", "b")
    assert [(h.place, h.processor, h.name, h.started) for h in handovers] == [(0, "a", "n", NOW), (1, "b", "n", NOW)]
    assert handovers.count == 2
    note(handovers, e.JobUpdated(job=JOB, at=NOW, spec=spec(("c", {}))), job)
    assert [h.processor for h in handovers.of(RUN)] == ["a", "b"]


def test_a_handover_goes_on_from_what_is_recorded_to_its_end() -> None:
    handovers, _ = begun("a", "b")
    first, second = handovers.of(RUN)
    reached = Reached(position=7, cut=3, attempt=2, offset=20)
    note(handovers, failed(first, NOW, "why"), None)
    assert (known(handovers, 0).failures, known(handovers, 0).next_at) == (1, NOW + 5 * SECOND)
    note(handovers, handed_over(first, NOW, reached), None)
    assert known(handovers, 0) == Handover(
        job=JOB, run=RUN, place=0, started=NOW, name="n", processors=first.processors, reached=reached
    )
    note(handovers, handed_over(first, NOW, reached, over=True), None)
    assert [h.place for h in handovers] == [1]
    note(handovers, failed(second, NOW, "why", for_good=True), None)
    assert (handovers.count, handovers.by_run) == (0, {})
    note(handovers, handed_over(second, NOW, NOTHING), None)
    assert handovers.count == 0


def known(handovers: Handovers, place: int) -> Handover:
    handover = handovers.get(RUN, place)
    assert handover is not None
    return handover


def test_failures_are_further_and_further_apart_and_then_it_is_given_up() -> None:
    handovers, _ = begun("a")
    delays = list[int]()
    for number in range(1, limits.PROCESSOR_ATTEMPTS + 1):
        event = failed(known(handovers, 0), NOW, "x" * 10_000)
        assert (event.failures, len(event.reason)) == (number, limits.PROCESSOR_REASON_CHARS)
        if event.next_at is not None:
            delays.append((event.next_at - NOW) // SECOND)
        note(handovers, event, None)
    assert delays[:4] == [5, 10, 20, 40]
    assert delays[-4:] == [3600] * 4
    assert len(delays) == limits.PROCESSOR_ATTEMPTS - 1
    assert handovers.count == 0
