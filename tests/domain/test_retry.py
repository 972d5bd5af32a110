"""When a retry begins: the arithmetic of delays, and the run that waits meanwhile."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kala_es import limits
from kala_es.domain import commands as c
from kala_es.domain import events as e
from kala_es.domain.due import wake_at
from kala_es.domain.ids import SECOND, Instant, JobId, RunId
from kala_es.domain.job import decide, evolve
from kala_es.domain.model import Job, JobSpec
from kala_es.domain.retry import delay_after
from kala_es.domain.terms import AttemptTerms
from kala_es.domain.values import replace

J, R = JobId("j"), RunId("r")
SHAPED = st.builds(
    AttemptTerms,
    retry_delay=st.integers(0, 40_000_000).map(lambda s: f"PT{s / 10}S"),
    retry_backoff=st.none() | st.floats(1, limits.MAX_RETRY_BACKOFF),
    retry_max_delay=st.just("") | st.integers(0, 10_000_000).map(lambda s: f"PT{s}S"),
    retry_jitter=st.none() | st.floats(0, 1),
)
ATTEMPTS = st.integers(1, limits.MAX_RETRIES)


def cap_of(terms: AttemptTerms) -> int:
    own = int(terms.retry_max_delay[2:-1]) if terms.retry_max_delay else limits.MAX_RETRY_DELAY_SECONDS
    return min(own, limits.MAX_RETRY_DELAY_SECONDS) * SECOND


@settings(deadline=None)
@given(terms=SHAPED, run=st.text(max_size=40).map(RunId), attempt=ATTEMPTS)
def test_a_delay_is_never_negative_is_capped_and_stable(terms: AttemptTerms, run: RunId, attempt: int) -> None:
    delay = delay_after(terms, run, attempt)
    assert 0 <= delay <= cap_of(terms)
    assert delay_after(terms, run, attempt) == delay
    assert isinstance(delay, int)


@settings(deadline=None)
@given(terms=SHAPED, attempt=ATTEMPTS)
def test_without_jitter_delays_only_grow(terms: AttemptTerms, attempt: int) -> None:
    steady = replace(terms, retry_jitter=None)
    delays = [delay_after(steady, R, n) for n in (1, attempt, attempt + 1)]
    assert delays == sorted(delays)


@settings(deadline=None)
@given(terms=SHAPED, attempt=ATTEMPTS)
def test_jitter_takes_its_part_at_most(terms: AttemptTerms, attempt: int) -> None:
    whole = delay_after(replace(terms, retry_jitter=None), R, attempt)
    spread = delay_after(terms, R, attempt)
    assert whole * (1 - (terms.retry_jitter or 0)) - 1 <= spread <= whole


def test_jitter_spreads_runs_and_attempts() -> None:
    terms = AttemptTerms(retry_delay="PT100S", retry_jitter=0.5)
    delays = [delay_after(terms, RunId(f"r{i}"), 1 + i % 2) for i in range(100)]
    assert len(set(delays)) == 100
    assert min(delays) < 60 * SECOND
    assert max(delays) > 90 * SECOND


def test_backoff_multiplies_up_to_the_cap() -> None:
    terms = AttemptTerms(retry_delay="PT10S", retry_backoff=2, retry_max_delay="PT1M")
    assert [delay_after(terms, R, n) // SECOND for n in (1, 2, 3, 4, 1_000_000)] == [10, 20, 40, 60, 60]
    assert [delay_after(AttemptTerms(retry_delay="PT10S"), R, n) // SECOND for n in (1, 2, 9)] == [10, 10, 10]
    assert delay_after(AttemptTerms(), R, 1) == 0


# The run that waits


def at(seconds: float) -> Instant:
    return Instant(1_893_456_000 * SECOND + round(seconds * SECOND))


def told(job: Job | None, *commands: c.Command) -> tuple[Job | None, list[e.JobEvent]]:
    """The state after these commands, and the last one's events."""
    events: list[e.JobEvent] = []
    for command in commands:
        events = list(decide(job, command))
        for event in events:
            job = evolve(job, event)
    return job, events


def waiting(**fields: object) -> Job:
    """A job with a run that failed at 1 s and waits for 10 s."""
    spec = JobSpec(
        name="n",
        command="c",
        retries=3,
        schedule="R/2030-01-01T00:00:00.5Z/PT1H",
        terms=AttemptTerms(retry_delay="PT10S"),
    )
    job, _ = told(
        None,
        c.CreateJob(job=J, at=at(0), spec=replace(spec, **fields)),
        c.StartRun(job=J, at=at(0), run=R, cause="manual", root=R),
        failure(1),
    )
    assert job is not None
    return job


def failure(seconds: float, attempt: int = 1) -> c.EndAttempt:
    return c.EndAttempt(job=J, at=at(seconds), run=R, attempt=attempt, outcome="failed", exit_code=1, reason="x")


def test_a_failed_attempt_tells_when_the_next_one_begins() -> None:
    job = waiting()
    (run,) = job.runs
    assert (run.attempt, run.retry_at) == (1, at(11))
    assert decide(job, failure(2)) == (), "its end is known already"


def test_the_job_wakes_for_whatever_is_due_first() -> None:
    assert wake_at(waiting()) == at(0.5)
    job, events = told(waiting(), c.AnswerTicks(job=J, at=at(3)))
    assert [type(event) for event in events] == [e.RunStarted]
    assert job is not None
    assert wake_at(job) == at(11)
    job, _ = told(job, c.DisableJob(job=J, at=at(4)))
    assert job is not None
    assert wake_at(job) == at(11)


def test_the_next_attempt_begins_when_its_time_has_come_and_not_before() -> None:
    job = waiting(schedule="R/2099-01-01T00:00:00Z/PT1H")
    assert decide(job, c.AnswerTicks(job=J, at=at(10.9))) == ()
    after, events = told(job, c.AnswerTicks(job=J, at=at(11.2), gap="the server was down"))
    assert events == [e.AttemptStarted(job=J, at=at(11.2), run=R, attempt=2)]
    assert after is not None
    assert (after.runs[0].attempt, after.runs[0].retry_at) == (2, None)
    assert decide(after, c.AnswerTicks(job=J, at=at(12))) == ()
    _, events = told(after, failure(13, attempt=2))
    assert isinstance(events[0], e.AttemptFailed)
    assert events[0].retry_at == at(23)


def test_a_run_that_waits_is_cancelled_at_once() -> None:
    job, events = told(waiting(), c.CancelRun(job=J, at=at(2), run=R))
    (end,) = events
    assert isinstance(end, e.RunFinished)
    assert (end.outcome, end.attempts, end.reason) == ("cancelled", 1, "cancelled on request")
    assert job is not None
    assert (job.runs, job.counters.finished_runs) == ((), 1)


def test_a_job_that_is_deleted_waits_for_nothing() -> None:
    job, events = told(waiting(), c.DeleteJob(job=J, at=at(2)))
    assert job is None
    assert [type(event) for event in events] == [e.JobDeleted, e.RunFinished]


def test_without_a_delay_nothing_is_different() -> None:
    job = waiting(terms=AttemptTerms(retry_delay="PT0S"))
    (run,) = job.runs
    assert (run.attempt, run.retry_at) == (2, None)


def test_epsilon_counts_to_the_beginning_of_the_retry() -> None:
    for epsilon, retried in (("PT11S", True), ("PT10S", False)):
        job, _ = told(waiting(epsilon=epsilon), c.AnswerTicks(job=J, at=at(0.5)))
        assert job is not None
        run = next(run for run in job.runs if run.tick is not None)
        end = c.EndAttempt(job=J, at=at(1), run=run.id, attempt=1, outcome="failed")
        (failed, *_) = decide(job, end)
        assert isinstance(failed, e.AttemptFailed)
        assert failed.retrying == retried
