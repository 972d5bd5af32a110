"""What is rubbish, record by record."""

from kala_es import codec
from kala_es.domain import events as e
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.model import JobSpec
from kala_es.domain.notify import NoticeId
from kala_es.domain.trimming import BasePart, BaseTaken, RunsForgotten, RunsTrimmed, TrimmedRun
from kala_es.event_log import Record
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.projections.folds import Folds
from kala_es.projections.recorded import Recorded
from kala_es.runtime.sweep import Rubbish

J = JobId("j")


def run_of(run: str, at: int) -> list[e.Event]:
    """A whole run."""
    name = RunId(run)
    return [
        e.RunStarted(job=J, at=Instant(at), run=name, cause="manual", root=name),
        e.OutputChunk(
            job=J, at=Instant(at), run=name, attempt=1, sequence=1, channel="stdout", offset=0, content=b"some"
        ),
        e.RunFinished(job=J, at=Instant(at), run=name, outcome="succeeded", attempts=1, root=name),
    ]


def trimmed(*runs: str) -> RunsTrimmed:
    return RunsTrimmed(
        job=J, at=Instant(50), runs=tuple(TrimmedRun(run=RunId(r), digest=b"d", stdout_bytes=4) for r in runs)
    )


def forgotten(run: str, at: int, count: int) -> RunsForgotten:
    return RunsForgotten(
        job=J,
        at=Instant(60),
        run=RunId(run),
        started=Instant(at),
        count=count,
        output_bytes=4 * count,
        first=Instant(10),
        last=Instant(at),
    )


def rubbish(events: list[e.Event], base: int, taken: int) -> list[int]:
    """The positions of rubbish in a log of these events."""
    folds = Folds(MemoryFoldStore())
    folds.apply([Recorded(position, event) for position, event in enumerate(events, 1)])
    what = Rubbish(folds, base, taken)
    news = [codec.encode(event) for event in events]
    records = [
        Record(at, new.stream, new.type, new.version, new.time, new.principal, new.body)
        for at, new in enumerate(news, 1)
    ]
    return what.among(records)[0]


CREATED = e.JobCreated(job=J, at=Instant(1), spec=JobSpec(name="n"))
LIFE: list[e.Event] = [
    CREATED,
    *run_of("a", 10),
    *run_of("b", 20),
    *run_of("c", 30),
    trimmed("a", "b"),
    forgotten("a", 10, 1),
    forgotten("b", 20, 2),
]


def test_facts_of_forgotten_runs_are_rubbish_up_to_the_base_and_no_further() -> None:
    assert rubbish(LIFE, base=13, taken=14) == [2, 3, 4, 5, 6, 7, 11, 12]
    assert rubbish(LIFE, base=5, taken=14) == [2, 3, 4, 5, 6]
    assert rubbish(LIFE, base=11, taken=14) == [2, 3, 4, 5, 6, 7, 11]


def test_output_of_a_trimmed_run_is_rubbish_wherever_it_stands_and_its_facts_are_not() -> None:
    assert rubbish([*LIFE[:10], trimmed("a")], base=1, taken=12) == [3]


def test_a_run_that_has_the_id_of_a_forgotten_one_keeps_what_is_its_own() -> None:
    life = [CREATED, *run_of("a", 10), trimmed("a"), forgotten("a", 10, 1), *run_of("a", 40)]
    assert rubbish(life, base=9, taken=10) == [2, 3, 4, 5]


def test_answers_of_ticks_go_with_the_runs_of_their_time() -> None:
    missed = [
        e.TickMissed(job=J, at=Instant(t), first=Instant(t), last=Instant(t), count=1, reason="the server was down")
        for t in (5, 25)
    ]
    assert rubbish([CREATED, *missed, *LIFE[1:]], base=15, taken=16)[:1] == [2]
    assert 3 not in rubbish([CREATED, *missed, *LIFE[1:]], base=15, taken=16)


def test_other_bases_are_rubbish() -> None:
    parts: list[e.Event] = [BasePart(at=Instant(1), base=base, number=1, content=b"") for base in (1, 2, 3)]
    older = BaseTaken(at=Instant(1), base=1, parts=1, digest=b"")
    newest = BaseTaken(at=Instant(1), base=3, parts=1, digest=b"")
    assert rubbish([CREATED, *parts, older, newest], base=3, taken=6) == [2, 3, 5]


def told(name: str, at: int, run: str | None, *, waits: bool = False) -> list[e.Event]:
    """A notice, and an attempt to deliver it."""
    notice, about = NoticeId(name), e.About(name="", owner="", run=None if run is None else RunId(run))
    due = e.NoticeDue(notice=notice, job=J, at=Instant(at), when="failure", to="https://example.com/", about=about)
    again = Instant(99) if waits else None
    return [due, e.NoticeAttempted(notice=notice, job=J, at=Instant(at), attempt=1, delivered=not waits, next_at=again)]


def test_notices_are_rubbish_with_their_run_and_when_they_do_not_wait() -> None:
    runs = [*run_of("a", 10), *run_of("b", 20), *run_of("c", 20)]  # 2 to 10
    notices = [*told("of a", 12, "a"), *told("waits", 13, "a", waits=True), *told("missed", 14, None)]  # 11 to 16
    later = [*told("of c", 15, "c"), *told("late", 21, None)]  # 17 to 20
    events = [CREATED, *runs, *notices, *later, trimmed("a", "b"), forgotten("b", 20, 2)]
    of_runs = [2, 3, 4, 5, 6, 7, 21]
    assert rubbish(events, base=22, taken=24) == sorted([*of_runs, 11, 12, 15, 16])
