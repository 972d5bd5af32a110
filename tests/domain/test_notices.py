"""What calls for a notice, whom it goes to, when it is tried again, and which definitions are refused."""

from collections.abc import Sequence
from typing import Any, Final

import pytest

from kala_es import limits
from kala_es.domain import events as e
from kala_es.domain.commands import CreateJob
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import SECOND, Instant, JobId, RunId
from kala_es.domain.job import decide
from kala_es.domain.model import Job, JobSpec, Outcome, Run
from kala_es.domain.notices import Waiting, Watch, attempted, bounded, due, note, overdue, overdue_at
from kala_es.domain.notify import OCCASIONS, NoticeId, Notify, Occasion, Target
from kala_es.domain.values import replace

J: Final = JobId("j")
R: Final = RunId("r")
HOOK: Final = "https://example.com/hook"
OWNER: Final = "ops@example.com"


def at(seconds: float) -> Instant:
    return Instant(1_900_000_000 * SECOND + round(seconds * SECOND))


def spec(*targets: Target, **fields: Any) -> JobSpec:
    notify = Notify(targets=targets or None, expected_duration=fields.pop("expected_duration", ""))
    return JobSpec(**{"name": "n", "command": "c", "owner": OWNER, "notify": notify, **fields})


def job(definition: JobSpec, *, deleted: bool = False) -> Job:
    """A job with a run in flight."""
    run = Run(id=R, cause="schedule", root=R, started=at(0), tick=at(0))
    return Job(
        id=J, spec=definition, born=at(0), planned=at(0), answered=at(0), next_tick=None, deleted=deleted, runs=(run,)
    )


def hook(*when: Occasion) -> Target:
    return Target(to=HOOK, when=when)


def finished(outcome: Outcome) -> e.RunFinished:
    return e.RunFinished(job=J, at=at(9), run=R, outcome=outcome, attempts=1, root=R)


def missed(reason: str) -> e.TickMissed:
    return e.TickMissed(job=J, at=at(9), first=at(1), last=at(3), count=3, reason=reason)  # type: ignore[arg-type]


def skipped(reason: str, tick: Instant | None = None) -> e.RunSkipped:
    return e.RunSkipped(job=J, at=at(9), run=R, cause="schedule", reason=reason, root=R, tick=tick)  # type: ignore[arg-type]


def called(
    definition: JobSpec, *events: e.JobEvent, failing: bool = False, defaults: tuple[Target, ...] = ()
) -> tuple[e.NoticeEvent, ...]:
    watch = Watch(failing={J} if failing else set())
    return due(job(definition), events, watch=watch, defaults=defaults)


def occasions(notices: Sequence[e.NoticeEvent]) -> list[Occasion]:
    return [notice.when for notice in notices if isinstance(notice, e.NoticeDue)]


# event, whether the last run failed, what a target is told that wants to hear of all, of failure alone, of all but that
CALLS: Final[list[tuple[e.JobEvent, bool, Occasion | None, Occasion | None, Occasion | None]]] = [
    (finished("failed"), False, "first-failure", "failure", "first-failure"),
    (finished("timed-out"), False, "first-failure", "failure", "first-failure"),
    (finished("lost"), False, "first-failure", "failure", "first-failure"),
    (finished("failed"), True, "failure", "failure", None),
    (finished("succeeded"), True, "recovery", None, "recovery"),
    (finished("succeeded"), False, None, None, None),
    (finished("cancelled"), False, None, None, None),
    (finished("cancelled"), True, None, None, None),
    (missed("the server was down"), False, "missed", None, "missed"),
    (missed("the server was late"), True, "missed", None, "missed"),
    (missed("the job was disabled"), False, None, None, None),
    (missed("the job was edited"), False, None, None, None),
    (skipped("too many runs in flight", at(1)), False, "missed", None, "missed"),
    (skipped("too many runs in flight"), False, None, None, None),
    (skipped("disabled", at(1)), False, None, None, None),
    (e.JobDisabled(job=J, at=at(9)), True, None, None, None),
]


@pytest.mark.parametrize(("event", "failing", "every", "failure", "others"), CALLS)
def test_what_calls_for_a_notice(
    event: e.JobEvent, *, failing: bool, every: str | None, failure: str | None, others: str | None
) -> None:
    rest: tuple[Occasion, ...] = ("first-failure", "recovery", "missed", "overdue")
    for when, expected in ((OCCASIONS, every), (("failure",), failure), (rest, others)):
        told = occasions(called(spec(Target(to=HOOK, when=when)), event, failing=failing))
        assert told == ([expected] if expected else [])


def test_a_notice_says_all_of_its_run() -> None:
    end = replace(finished("failed"), attempts=3, exit_code=2, reason="exit status 2")
    (notice,) = called(spec(replace(hook("failure"), template="x", headers=(("A", "b"),))), end)
    assert isinstance(notice, e.NoticeDue)
    assert (notice.job, notice.at, notice.to, notice.template, notice.headers) == (J, at(9), HOOK, "x", (("A", "b"),))
    assert notice.about == e.About(
        name="n",
        owner=OWNER,
        run=R,
        cause="schedule",
        tick=at(0),
        started=at(0),
        ended=at(9),
        outcome="failed",
        attempts=3,
        exit_code=2,
        reason="exit status 2",
    )


def test_missed_ticks_are_told_of_once_together() -> None:
    (notice,) = called(spec(hook("missed")), missed("the server was down"))
    assert isinstance(notice, e.NoticeDue)
    assert (notice.about.first, notice.about.last, notice.about.count) == (at(1), at(3), 3)
    assert notice.about.reason == "the server was down"


def test_a_notice_has_the_id_of_its_cause() -> None:
    definition = spec(hook("failure"), hook("failure"))
    one, other = called(definition, finished("failed"))
    assert one.notice != other.notice
    assert [n.notice for n in called(definition, replace(finished("failed"), at=at(99)))] == [one.notice, other.notice]


def test_mail_goes_to_the_owner_as_he_is_then() -> None:
    (notice,) = called(spec(Target(to="mail")), finished("failed"))
    assert isinstance(notice, e.NoticeDue)
    assert notice.to == f"mailto:{OWNER}"


def test_a_job_that_names_nobody_has_the_defaults() -> None:
    defaults = (Target(to="mail"), hook("failure"))
    told = called(spec(), finished("failed"), defaults=defaults)
    assert [n.to for n in told if isinstance(n, e.NoticeDue)] == [f"mailto:{OWNER}", HOOK]
    told = called(spec(owner="the ops team"), finished("failed"), defaults=defaults)
    assert [n.to for n in told if isinstance(n, e.NoticeDue)] == [HOOK]
    assert called(spec(notify=Notify(targets=())), finished("failed"), defaults=defaults) == ()


def test_what_is_overdue() -> None:
    late = job(spec(hook("overdue", "failure"), expected_duration="PT5M"))
    assert overdue_at(late.spec.notify, late.runs[0]) == at(300)
    assert overdue_at(spec(hook("failure"), expected_duration="PT5M").notify, late.runs[0]) is None
    (notice,) = overdue(late, late.runs[0], at(301))
    assert (notice.when, notice.about.expected_duration, notice.about.run) == ("overdue", "PT5M", R)
    assert overdue(late, late.runs[0], at(999))[0].notice == notice.notice


def test_beyond_the_limit_a_notice_is_given_up_and_that_is_recorded() -> None:
    notices = list(called(spec(hook("failure"), hook("failure")), finished("failed")))
    waiting = {NoticeId(str(i)): Waiting(to=HOOK, next_at=at(0)) for i in range(limits.MAX_NOTICES_WAITING - 1)}
    told = bounded([n for n in notices if isinstance(n, e.NoticeDue)], Watch(waiting=waiting))
    assert told[:2] == tuple(notices)
    (given_up,) = told[2:]
    assert isinstance(given_up, e.NoticeAttempted)
    assert (given_up.notice, given_up.attempt, given_up.next_at) == (notices[1].notice, 0, None)
    assert "wait already" in given_up.reason


def test_the_delay_doubles_up_to_an_hour_and_then_it_is_given_up() -> None:
    (notice,) = called(spec(hook("failure")), finished("failed"))
    assert isinstance(notice, e.NoticeDue)
    tries = [attempted(notice, at(0), n + 1).next_at for n in range(limits.NOTICE_ATTEMPTS)]
    delays = [None if t is None else (t - at(0)) // SECOND for t in tries]
    assert delays == [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600, 3600, 3600, 3600, None]


def test_the_fold_knows_who_fails_and_what_waits() -> None:
    watch, alive = Watch(), job(spec())
    for outcome, failing in (("failed", True), ("cancelled", True), ("succeeded", False), ("cancelled", False)):
        note(watch, finished(outcome), alive)  # type: ignore[arg-type]
        assert (J in watch.failing) is failing
    note(watch, finished("lost"), job(spec(), deleted=True))
    note(watch, finished("lost"), None)
    assert watch.failing == set()
    note(watch, finished("lost"), alive)
    note(watch, e.JobDeleted(job=J, at=at(9)), job(spec(), deleted=True))
    assert watch.failing == set()

    (notice,) = called(spec(hook("failure")), finished("failed"))
    assert isinstance(notice, e.NoticeDue)
    note(watch, notice, None)
    assert watch.waiting == {notice.notice: Waiting(to=HOOK, next_at=at(9))}
    note(watch, attempted(notice, at(10), 1), None)
    assert watch.waiting == {notice.notice: Waiting(to=HOOK, next_at=at(20), attempts=1)}
    note(watch, replace(attempted(notice, at(20), 2), delivered=True, next_at=None), None)
    assert watch.waiting == {}
    note(watch, attempted(notice, at(30), 3), None)
    assert watch.waiting == {}


# field, the definition that it is refused in
BAD: Final[list[tuple[str, JobSpec]]] = [
    ("notify[0].to", spec(Target(to=""))),
    ("notify[0].to", spec(Target(to="someone@example.com"))),
    ("notify[0].to", spec(Target(to="mail"), owner="")),
    ("notify[0].to", spec(Target(to="mail"), owner="ops")),
    ("notify[0].to", spec(Target(to="mail"), owner="a@b, c@d")),
    ("notify[0].to", spec(Target(to="mailto:"))),
    ("notify[0].to", spec(Target(to="mailto:a@b\r\nBcc: c@d"))),
    ("notify[0].to", spec(Target(to="ftp://example.com/"))),
    ("notify[0].to", spec(Target(to="http:///x"))),
    ("notify[0].to", spec(Target(to="http://a b/"))),
    ("notify[0].to", spec(Target(to="http://a:b/"))),
    ("notify[0].to", spec(Target(to="http://[::1/"))),
    ("notify[0].to", spec(Target(to="http://example.com/" + "x" * limits.MAX_NOTICE_ADDRESS_CHARS))),
    ("notify[1].when", spec(hook("failure"), hook("overdue"))),
    ("notify[0].template", spec(Target(to=HOOK, template="{{.Name"))),
    ("notify[0].headers", spec(Target(to="mail", headers=(("A", "b"),)))),
    ("notify[0].headers", spec(Target(to=HOOK, headers=(("A b", "c"),)))),
    ("notify[0].headers", spec(Target(to=HOOK, headers=(("A", "b\r\nC: d"),)))),
    ("notify", spec(*[hook("failure")] * (limits.MAX_NOTIFY_TARGETS + 1))),
    ("expected_duration", spec(expected_duration="5m")),
    ("expected_duration", spec(expected_duration="P400D")),
]


@pytest.mark.parametrize(("field", "definition"), BAD)
def test_who_cannot_be_told_is_refused(field: str, definition: JobSpec) -> None:
    with pytest.raises(Invalid) as refusal:
        decide(None, CreateJob(job=J, at=at(0), spec=definition))
    assert refusal.value.field == field


def test_who_can_be_told_is_taken() -> None:
    targets = (
        Target(to="mail"),
        Target(to="mailto:a.b+c@example.com"),
        Target(to="http://[::1]:8/x?y#z"),
        hook("overdue"),
    )
    assert decide(None, CreateJob(job=J, at=at(0), spec=spec(*targets, expected_duration="PT0.5S")))
