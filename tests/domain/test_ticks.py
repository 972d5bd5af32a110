"""What is done about ticks that come together, that passed, or that come during a pause: a case for each policy.

Times are seconds after the start of 2030. The usual job has a tick each minute from 60 on and was created at 0.
"""

from collections.abc import Sequence
from typing import Any

import pytest

from kala_es import limits
from kala_es.domain import commands as c
from kala_es.domain import events as e
from kala_es.domain.due import wake_at
from kala_es.domain.errors import Conflict, Invalid
from kala_es.domain.ids import SECOND, JobId, RunId, run_for_tick, run_made_up
from kala_es.domain.job import decide
from kala_es.domain.model import Job, JobSpec
from kala_es.domain.plan import check
from kala_es.domain.tick_policy import Covered, TickPolicy, offset_of
from kala_es.domain.values import replace
from tests.domain.test_job import (
    SPEC,
    J,
    Q,
    R,
    after,
    at,
    cancel,
    create,
    delete,
    disable,
    enable,
    end,
    fold,
    full_of_runs,
    minutes,
    names,
    refused,
    shown,
    start,
    ticks,
    update,
)


def job(spec: JobSpec = SPEC, **policy: Any) -> Job:
    """The usual job with a policy for its ticks."""
    return after(None, create(0, replace(spec, ticks=TickPolicy(**policy))))


def told(events: Sequence[e.JobEvent]) -> list[tuple[Any, ...]]:
    """Events as (name, tick or first and last, why)."""
    return [_told(event) for event in events]


def _told(event: e.JobEvent) -> tuple[Any, ...]:
    match event:
        case e.RunStarted():
            covers = event.covers and (shown(event.covers.first), shown(event.covers.last), event.covers.count)
            return "started", shown(event.tick), event.cause, covers
        case e.RunSkipped():
            return "skipped", shown(event.tick), event.reason
        case e.TickMissed():
            return "missed", (shown(event.first), shown(event.last), event.count), event.reason, shown(event.made_up)
        case e.CancelRequested():
            return "cancel", event.run, shown(event.tick)
        case _:
            return (type(event).__name__,)


def pause(seconds: float, until: float | None = None, reason: str = "why") -> c.PauseJob:
    return c.PauseJob(job=J, at=at(seconds), until=None if until is None else at(until), reason=reason, by="me")


def resume(seconds: float) -> c.ResumeJob:
    return c.ResumeJob(job=J, at=at(seconds), by="me")


def wake(state: Job, *, server_paused: bool = False) -> float | None:
    return shown(wake_at(state, server_paused=server_paused))


def tick_run(state: Job, seconds: float) -> RunId:
    return run_for_tick(J, state.planned, at(seconds))


# ---- catch-up

MISSED_60_240 = ("missed", (60, 240, 4), "the server was down", 300)


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({}, [MISSED_60_240, ("started", 300, "catch-up", (60, 300, 5))]),
        ({"catch_up": "one"}, [MISSED_60_240, ("started", 300, "catch-up", (60, 300, 5))]),
        ({"catch_up": "none"}, [("missed", (60, 300, 5), "the server was down", None)]),
        ({"catch_up": "all"}, [("started", 60, "catch-up", None)]),
        (
            {"catch_up": "all", "catch_up_window": "PT2M"},
            [("missed", (60, 180, 3), "older than the catch-up window", None), ("started", 240, "catch-up", None)],
        ),
        ({"starting_deadline": "PT29S"}, [("missed", (60, 300, 5), "the starting deadline passed", None)]),
        ({"starting_deadline": "PT30S"}, [MISSED_60_240, ("started", 300, "catch-up", (60, 300, 5))]),
        (
            {"catch_up": "all", "starting_deadline": "PT90S"},
            [("missed", (60, 180, 3), "the starting deadline passed", None), ("started", 240, "catch-up", None)],
        ),
        ({"catch_up": "all", "starting_deadline": "PT1S"},
         [("missed", (60, 300, 5), "the starting deadline passed", None)]),
    ],
)  # fmt: skip
def test_what_is_done_after_a_gap(policy: dict[str, Any], said: list[tuple[Any, ...]]) -> None:
    assert told(decide(job(**policy), ticks(330, down=True))) == said


@pytest.mark.parametrize("resuming", [False, True])
@pytest.mark.parametrize(
    ("catch_up", "last"),
    [
        ("one", ("started", 120, "catch-up", (60, 120, 2))),
        ("none", ("missed", (60, 120, 2), "the server was down", None)),
    ],
)
def test_catch_up_goes_before_the_originals_key(resuming: bool, catch_up: str, last: tuple[Any, ...]) -> None:
    state = job(replace(SPEC, resume_at_next_tick=resuming), catch_up=catch_up)
    assert told(decide(state, ticks(130, down=True)))[-1] == last


@pytest.mark.parametrize(
    ("catch_up", "said"),
    [
        ("one", [("missed", (60, 120, 2), "the server was late", 180), ("started", 180, "catch-up", (60, 180, 3))]),
        ("none", [("missed", (60, 120, 2), "the server was late", None), ("started", 180, "schedule", None)]),
        ("all", [("started", 60, "catch-up", None)]),
    ],
)
def test_what_is_done_when_the_server_is_late(catch_up: str, said: list[tuple[Any, ...]]) -> None:
    assert told(decide(job(catch_up=catch_up), ticks(190))) == said


def test_all_makes_up_each_tick_oldest_first_and_spaced() -> None:
    state, now, said = job(catch_up="all"), 200.0, []
    while True:
        events = decide(state, ticks(now, down=now == 200))
        said += told(events)
        state = after(fold(state, events))
        woken = wake(state)
        assert woken is not None
        if woken == 240:
            break
        assert woken == now + limits.CATCH_UP_SPACING_SECONDS
        assert decide(state, ticks(woken - 0.001)) == ()
        now = woken
    assert said == [("started", tick, "catch-up", None) for tick in (60, 120, 180)]
    assert told(decide(state, ticks(240))) == [("started", 240, "schedule", None)]


def test_all_makes_up_faster_than_new_ticks_come() -> None:
    state = job(replace(SPEC, schedule=minutes("R", interval="PT0.5S")), catch_up="all")
    state = after(state, ticks(100))
    assert wake(state) == 100.25


def test_all_makes_up_the_newest_of_very_many() -> None:
    state = job(replace(SPEC, schedule=minutes("R", interval="PT1S")), catch_up="all")
    missed, started = decide(state, ticks(60 + 5_000, down=True))
    assert isinstance(missed, e.TickMissed)
    assert isinstance(started, e.RunStarted)
    assert (missed.count, missed.reason) == (5_001 - limits.MAX_CATCH_UP_RUNS, "too many to make up")
    assert shown(started.tick) == 60 + 5_001 - limits.MAX_CATCH_UP_RUNS


@pytest.mark.parametrize("catch_up", ["one", "none", "all"])
def test_an_enabled_job_follows_the_same_rule(catch_up: str) -> None:
    gap = told(decide(job(catch_up=catch_up), ticks(200, down=True)))
    enabled = told(decide(after(job(catch_up=catch_up), disable(10)), enable(200)))
    assert enabled[0] == ("JobEnabled",)
    assert [x[:2] for x in enabled[1:]] == [x[:2] for x in gap]


# ---- jitter


def test_jitter_is_stable_spread_and_leaves_the_tick_alone() -> None:
    policy = TickPolicy(jitter="PT50S")
    offsets = [offset_of(policy, JobId(f"{i}")) / SECOND for i in range(1_000)]
    assert offsets == [offset_of(policy, JobId(f"{i}")) / SECOND for i in range(1_000)]
    assert 0 <= min(offsets) < 1 < 49 < max(offsets) < 50
    state = job(jitter="PT50S")
    moment = 60 + offset_of(policy, J) / SECOND
    assert wake(state) == pytest.approx(moment)
    assert decide(state, ticks(moment - 0.001)) == ()
    assert told(decide(state, ticks(moment + 0.001))) == [("started", 60, "schedule", None)]
    assert shown(state.next_tick) == 60


def test_the_deadline_counts_from_the_jittered_moment() -> None:
    state = job(jitter="PT50S", starting_deadline="PT1S")
    moment = wake(state)
    assert moment is not None
    assert names(decide(state, ticks(moment + 0.9))) == "RunStarted"
    assert names(decide(state, ticks(moment + 1.1))) == "TickMissed"


# ---- overlap


def running(**policy: Any) -> Job:
    """The job while its first run goes on."""
    return after(job(**policy), ticks(60))


def test_allow_starts_beside() -> None:
    assert told(decide(running(), ticks(120))) == [("started", 120, "schedule", None)]


def test_skip_skips_and_says_why() -> None:
    state = running(overlap="skip")
    assert told(decide(state, ticks(120))) == [("skipped", 120, "overlap")]
    assert told(decide(state, ticks(190))) == [
        ("missed", (120, 120, 1), "the server was late", None),
        ("skipped", 180, "overlap"),
    ]
    state = after(state, ticks(120), end(130, tick_run(state, 60)))
    assert names(decide(state, ticks(180))) == "RunStarted"


@pytest.mark.parametrize("seconds", [121, 130])
def test_queue_has_one_wait_into_which_others_are_folded(seconds: float) -> None:
    state = running(overlap="queue")
    assert wake(state) is None
    assert decide(state, ticks(seconds)) == ()
    one = after(state, end(seconds, tick_run(state, 60)))
    assert wake(one) == 120
    assert told(decide(one, ticks(seconds))) == [("started", 120, "schedule", None)]
    three = after(state, end(250, tick_run(state, 60)))
    assert told(decide(three, ticks(250))) == [
        ("missed", (120, 180, 2), "a run was in flight", 240),
        ("started", 240, "catch-up", (120, 240, 3)),
    ]


def test_the_reason_of_waiting_is_the_true_one() -> None:
    state = after(running(overlap="queue"), end(70, tick_run(job(), 60)))
    assert told(decide(state, ticks(190)))[0] == ("missed", (120, 120, 1), "the server was late", 180)


def test_queue_with_all_runs_one_after_another() -> None:
    state = after(job(overlap="queue", catch_up="all"), ticks(200, down=True))
    assert wake(state) is None
    state = after(state, end(230, tick_run(state, 60)))
    assert wake(state) == 201
    assert told(decide(state, ticks(230))) == [("started", 120, "catch-up", None)]


def test_what_waits_in_a_queue_survives_edits_disabling_and_restarts() -> None:
    state = after(running(overlap="queue"), ticks(121))
    ended = end(130, tick_run(state, 60))
    edited = after(state, update(122, replace(state.spec, command="false")), ended)
    assert told(decide(edited, ticks(130))) == [("started", 120, "schedule", None)]
    replanned = decide(state, update(122, replace(state.spec, schedule=minutes("R", start="00:05:00"))))
    assert told(replanned) == [("missed", (120, 120, 1), "the job was edited", None), ("JobUpdated",)]
    disabled = after(state, disable(122), ended)
    assert wake(disabled) is None
    assert told(decide(disabled, enable(140))) == [("JobEnabled",), ("started", 120, "catch-up", None)]
    restarted = after(state, end(140, tick_run(state, 60), "lost"))
    assert told(decide(restarted, ticks(140, down=True))) == [("started", 120, "catch-up", None)]
    assert fold(state, decide(state, delete(122))) == replace(state, deleted=True, next_tick=None)


def test_replace_cancels_what_runs_and_starts_when_it_is_over() -> None:
    state = running(overlap="replace")
    run = tick_run(state, 60)
    assert wake(state) == 120
    (asked,) = decide(state, ticks(120))
    assert told([asked]) == [("cancel", run, 120)]
    state = after(state, ticks(120))
    assert wake(state) is None
    assert decide(state, ticks(121)) == ()
    state = after(state, end(122, run, "cancelled"))
    assert told(decide(state, ticks(122))) == [("started", 120, "schedule", None)]


@pytest.mark.parametrize("overlap", ["skip", "queue", "replace"])
def test_a_manual_start_that_would_overlap_is_refused(overlap: str) -> None:
    state = running(overlap=overlap)
    assert isinstance(refused(state, start(70)), Conflict)
    assert names(decide(after(state, end(70, tick_run(state, 60))), start(71))) == "RunStarted"
    assert names(decide(after(state, disable(70)), start(71))) == "RunSkipped"


@pytest.mark.parametrize(("overlap", "said"), [("skip", "RunSkipped"), ("queue", ""), ("replace", "CancelRequested")])
def test_a_dependents_start_that_would_overlap(overlap: str, said: str) -> None:
    assert names(decide(running(overlap=overlap), start(70, cause="parent"))) == said


def test_too_many_runs_are_skipped_whatever_the_catch_up() -> None:
    (skipped,) = decide(full_of_runs(job(catch_up="all")), ticks(60))
    assert told([skipped]) == [("skipped", 60, "too many runs in flight")]


# ---- pauses


def paused(seconds: float = 70, **policy: Any) -> Job:
    return after(job(**policy), ticks(60), pause(seconds))


def test_a_pause_is_known_with_its_reason_and_idempotent() -> None:
    state = paused()
    assert state.pause is not None
    assert (state.pause.reason, state.pause.by, shown(state.pause.since)) == ("why", "me", 70)
    assert decide(state, pause(80)) == ()
    assert names(decide(state, pause(80, until=90))) == names(decide(state, pause(80, reason="x"))) == "JobPaused"
    assert after(state, resume(90)).pause is None
    assert decide(after(state, resume(90)), resume(91)) == ()


@pytest.mark.parametrize(
    ("command", "field"), [(pause(70, until=70), "until"), (pause(70, reason="x" * 1001), "reason")]
)
def test_a_pause_that_cannot_be(command: c.PauseJob, field: str) -> None:
    refusal = refused(job(), command)
    assert isinstance(refusal, Invalid)
    assert refusal.field == field


@pytest.mark.parametrize("catch_up", ["one", "none", "all"])
def test_ticks_during_a_pause_are_skipped_as_they_come(catch_up: str) -> None:
    state = paused(catch_up=catch_up)
    assert wake(state) == 120
    assert told(decide(state, ticks(120))) == [("skipped", 120, "paused")]
    assert told(decide(state, ticks(250))) == [
        ("missed", (120, 180, 2), "paused", None),
        ("skipped", 240, "paused"),
    ]
    assert wake(after(state, ticks(120))) == 180


def test_what_a_pause_skipped_is_made_up_by_one() -> None:
    state = after(paused(), ticks(120), ticks(180), ticks(240))
    resumed = decide(state, resume(250))
    assert told(resumed) == [("JobResumed",), ("started", 240, "catch-up", (120, 240, 3))]
    assert [x.run for x in resumed if isinstance(x, e.RunStarted)] == [run_made_up(J, state.planned, at(240))]
    state = after(state, resume(250))
    assert (state.owed, wake(state), decide(state, ticks(299))) == (None, 300, ())


def test_one_that_is_due_when_the_pause_ends_covers_the_others() -> None:
    state = after(paused(), ticks(120), ticks(180))
    assert told(decide(state, resume(250))) == [("JobResumed",), ("started", 240, "catch-up", (120, 240, 3))]


def test_none_leaves_what_a_pause_skipped() -> None:
    state = after(paused(catch_up="none"), ticks(120), ticks(180))
    assert told(decide(state, resume(190))) == [("JobResumed",)]
    last = job(replace(SPEC, schedule=minutes("R0")), catch_up="none")
    last = after(last, pause(10), ticks(60))
    assert (last.is_done, told(decide(last, resume(70)))) == (
        False,
        [("JobResumed",), ("started", 60, "catch-up", None)],
    )


def test_all_makes_up_each_that_a_pause_skipped() -> None:
    state = after(paused(catch_up="all", catch_up_window="PT2M"), *(ticks(60 * n) for n in range(2, 6)))
    assert told(decide(state, resume(310))) == [
        ("JobResumed",),
        ("missed", (120, 180, 2), "older than the catch-up window", None),
        ("started", 240, "catch-up", None),
    ]
    state = after(state, resume(310))
    assert wake(state) == 311
    assert told(decide(state, ticks(311))) == [("started", 300, "catch-up", None)]
    again = after(state, pause(310.5))
    assert (wake(again), decide(again, ticks(311))) == (360, ())
    assert wake(after(state, ticks(311))) == 360


def test_a_pause_ends_by_the_clock_also_of_a_disabled_job() -> None:
    state = after(job(), ticks(60), pause(70, until=200), ticks(120), ticks(180))
    assert wake(state) == 200
    assert told(decide(state, ticks(200))) == [("JobResumed",), ("started", 180, "catch-up", (120, 180, 2))]
    assert told(decide(state, ticks(900, down=True)))[0] == ("JobResumed",)
    disabled = after(state, disable(190))
    assert (wake(disabled), told(decide(disabled, ticks(200)))) == (200, [("JobResumed",)])


def test_a_paused_server_is_to_a_job_as_its_own_pause() -> None:
    tick = replace(ticks(120), server_paused=True)
    state = after(job(), ticks(60))
    assert told(decide(state, tick)) == [("skipped", 120, "paused")]
    state = after(state, tick)
    assert (wake(state), wake(state, server_paused=True)) == (120, 180)
    assert decide(state, replace(tick, at=at(130))) == ()
    assert told(decide(state, ticks(130))) == [("started", 120, "catch-up", None)]
    enabling = replace(enable(150), server_paused=True)
    assert told(decide(after(job(), disable(1)), enabling)) == [
        ("JobEnabled",),
        ("missed", (60, 60, 1), "paused", None),
        ("skipped", 120, "paused"),
    ]


def test_a_paused_job_starts_what_is_asked() -> None:
    assert names(decide(paused(), start(80))) == names(decide(paused(), start(80, cause="parent"))) == "RunStarted"


def test_an_edited_plan_owes_nothing() -> None:
    state = after(paused(), ticks(120))
    assert state.owed == at(120)
    assert after(state, update(130, replace(state.spec, command="x"))).owed == at(120)
    assert after(state, update(130, replace(state.spec, ticks=TickPolicy(catch_up="none")))).owed is None
    moved = after(state, update(130, replace(state.spec, schedule=minutes("R", start="00:05:00"))))
    assert (moved.owed, moved.pause) == (None, state.pause)


def test_a_manual_run_and_a_cancelled_one_leave_the_backlog_alone() -> None:
    state = after(paused(), ticks(120), start(121), cancel(122), end(123, R, "cancelled"))
    assert state.owed == at(120)


# ---- definitions


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        ({"jitter": "5s"}, "jitter"),
        ({"jitter": "PT0S"}, "jitter"),
        ({"jitter": "P2Y"}, "jitter"),
        ({"starting_deadline": "x"}, "starting_deadline"),
        ({"catch_up": "all", "catch_up_window": "x"}, "catch_up_window"),
        ({"catch_up": "one", "catch_up_window": "PT1H"}, "catch_up_window"),
        ({"catch_up": "all", "overlap": "skip"}, "catch_up"),
        ({"catch_up": "all", "overlap": "replace"}, "catch_up"),
    ],
)
def test_a_bad_policy_names_the_field(policy: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        check(replace(SPEC, ticks=TickPolicy(**policy)), J)
    assert refusal.value.field == field


def test_a_child_has_no_backlog() -> None:
    child = after(None, create(0, replace(SPEC, parents=(Q,), ticks=TickPolicy(overlap="queue"))))
    assert wake(child) is None


def test_what_is_covered_counts_the_runs_own_tick() -> None:
    (_, started) = decide(job(), ticks(120))
    assert isinstance(started, e.RunStarted)
    assert started.covers == Covered(first=at(60), last=at(120), count=2)
