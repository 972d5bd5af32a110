"""A definition's ticks: which schedule a job follows, and whether its texts are valid."""

from typing import Final

from kala_es import limits
from kala_es.domain import template
from kala_es.domain.bounds import check_bounds, within
from kala_es.domain.calendar_steps import CalendarSteps, parse_steps
from kala_es.domain.cron import is_cron, parse_cron
from kala_es.domain.cron_fields import Word
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import SECOND, Instant, JobId, Micros
from kala_es.domain.iso8601 import Repeating, parse_duration, zone_named
from kala_es.domain.labels import check_labels
from kala_es.domain.model import JobSpec
from kala_es.domain.named_work import NO_NAMED, check_named
from kala_es.domain.notify import check_notify
from kala_es.domain.processing import check_processors
from kala_es.domain.remote_call import check_call
from kala_es.domain.retention import check_retention
from kala_es.domain.schedule import Once, Schedule
from kala_es.domain.several import SEPARATOR, Several, check_together, split, together
from kala_es.domain.terms import check_terms
from kala_es.domain.tick_policy import check_policy, on_change_of

_BEGINNING: Final = Instant(-(1 << 62))


def schedule_of(spec: JobSpec, planned: Instant, job: JobId) -> Schedule | None:
    """The schedule that the job with this id, planned at `planned`, follows; None for a child. Raises Invalid."""
    schedule = _unbounded(spec, planned, job)
    return None if schedule is None else within(schedule, spec.bounds)


def _unbounded(spec: JobSpec, planned: Instant, job: JobId) -> Schedule | None:
    if spec.parents:
        return None
    if not spec.schedule:
        return Once(at=planned)
    if SEPARATOR in spec.schedule:
        return together(schedule for _, schedule in parts_of(spec, planned, job))
    return _part(spec.schedule, spec, (planned, job))


def parts_of(spec: JobSpec, planned: Instant, job: JobId) -> list[tuple[str, Schedule]]:
    """The schedules that the text names, one by one, each with its own text. Raises Invalid."""
    return [(word.text, _placed(word, spec, (planned, job))) for word in split(spec.schedule)]


def _placed(word: Word, spec: JobSpec, asked: tuple[Instant, JobId]) -> Schedule:
    """One of several; an error says where it is in the text of all."""
    try:
        return _part(word.text, spec, asked)
    except Invalid as error:
        if word.column == 1 or error.field != "schedule":
            raise
        raise Invalid(error.field, error.reason, word.column + (error.column or 1) - 1) from None


def _part(text: str, spec: JobSpec, asked: tuple[Instant, JobId]) -> Schedule:
    """One of the schedules of the job that was planned at a moment, and has this id."""
    on_change = on_change_of(spec.ticks)
    if is_cron(text):
        planned, job = asked
        return parse_cron(text, spec.timezone, planned, job=job, on_change=on_change)
    return parse_steps(text, spec.timezone, on_change)


def epsilon_of(spec: JobSpec) -> Micros | None:
    """How long after its tick a run may be retried; None for no such limit."""
    if not spec.epsilon or not spec.schedule or spec.parents:
        return None
    return parse_duration(spec.epsilon, "epsilon") or None


def timeout_of(spec: JobSpec) -> float | None:
    """An attempt's time limit in seconds; None for none."""
    return parse_duration(spec.timeout, "timeout") / SECOND if spec.timeout else None


def check(spec: JobSpec, job: JobId) -> None:
    """Raise Invalid, naming the field, unless a job with this id can be made of this definition."""
    _check_text(spec)
    _check_numbers(spec)
    _check_work(spec)
    check_schedule(spec, job)
    if not spec.parents and spec.schedule and spec.epsilon:
        parse_duration(spec.epsilon, "epsilon")
    _check_timeout(spec)
    check_policy(spec.ticks)
    check_terms(spec.terms)
    check_retention(spec.retention)
    check_labels("labels", spec.labels)
    check_labels("node_tags", spec.tags)
    _check_bounds(spec)
    check_call(spec.remote)
    _check_templates(spec)
    check_notify(spec.notify, spec.owner)
    check_processors(spec.processors)


def check_start(spec: JobSpec, at: Instant, job: JobId) -> None:
    """Raise Invalid when the schedule, or one of several, starts before `at`."""
    for part in _parts(_unbounded(spec, at, job)):
        match part:
            case Repeating(start=start) | CalendarSteps(start=start) | Once(at=start) if start < at:
                raise Invalid("schedule", f"the start of {spec.schedule!r} has already passed")


def _parts(schedule: Schedule | None) -> tuple[Schedule, ...]:
    if schedule is None:
        return ()
    return schedule.parts if isinstance(schedule, Several) else (schedule,)


def _check_text(spec: JobSpec) -> None:
    if not spec.name:
        raise Invalid("name", "a job needs a name")
    if len(spec.name) > limits.MAX_NAME_CHARS:
        raise Invalid("name", f"longer than {limits.MAX_NAME_CHARS} characters")
    if len(spec.managed_by) > limits.MAX_NAME_CHARS:
        raise Invalid("managed_by", f"longer than {limits.MAX_NAME_CHARS} characters")
    for name, text in (("command", spec.command), ("cwd", spec.cwd)):
        if "\0" in text:
            raise Invalid(name, "contains a NUL character")
    for key, value in spec.env:
        if not key or "=" in key or "\0" in key + value:
            raise Invalid("env", f"{key!r} cannot be an environment variable")


def _check_work(spec: JobSpec) -> None:
    if spec.kind == "local" and not spec.command:
        raise Invalid("command", "a local job needs a command")
    if spec.kind == "remote" and not spec.remote.url:
        raise Invalid("remote_properties.url", "a remote job needs a url")
    if spec.kind == "named":
        check_named(spec.named)
    elif spec.named != NO_NAMED:
        raise Invalid("executor" if spec.named.executor else "executor_config", f"a {spec.kind} job has none")
    if spec.kind == "named" and spec.command:
        raise Invalid(
            "command", f"its executor {spec.named.executor!r} takes none; what it is told is in executor_config"
        )


def _check_numbers(spec: JobSpec) -> None:
    if not 0 <= spec.retries <= limits.MAX_RETRIES:
        raise Invalid("retries", f"not between 0 and {limits.MAX_RETRIES}")
    if not 0 <= spec.remote.timeout <= limits.MAX_TIMEOUT_SECONDS:
        raise Invalid("remote_properties.timeout", f"not between 0 and {limits.MAX_TIMEOUT_SECONDS} seconds")
    for name, ids in (("parent_jobs", spec.parents), ("dependent_jobs", spec.dependents)):
        if len(ids or ()) > limits.MAX_PARENTS:
            raise Invalid(name, f"more than {limits.MAX_PARENTS} jobs")


def _check_bounds(spec: JobSpec) -> None:
    check_bounds(spec.bounds)
    if spec.bounds.ephemeral and spec.dependents:
        raise Invalid("ephemeral", "it is deleted when it succeeds, so its dependents would never run")


def check_schedule(spec: JobSpec, job: JobId) -> None:
    """Raise Invalid unless the job with this id can follow the schedule, or all of several."""
    if spec.timezone:
        zone_named(spec.timezone)
    schedule = _unbounded(spec, Instant(0), job)
    for part in _parts(schedule):
        first = part.next_after(_BEGINNING)
        second = part.next_after(first) if first is not None else None
        if first is not None and second is not None and second - first < limits.MIN_INTERVAL_SECONDS * SECOND:
            raise Invalid("schedule", f"its ticks are less than {limits.MIN_INTERVAL_SECONDS} s apart")
    if isinstance(schedule, Several):
        check_together(schedule)


def _check_timeout(spec: JobSpec) -> None:
    seconds = timeout_of(spec)
    if seconds is not None and not 0 < seconds <= limits.MAX_TIMEOUT_SECONDS:
        raise Invalid("timeout", f"not between 0 and {limits.MAX_TIMEOUT_SECONDS} seconds")


def _check_templates(spec: JobSpec) -> None:
    if not spec.template_delimiters:
        return
    delimiters = template.parse_delimiters(spec.template_delimiters)
    texts = (
        ("command", spec.command),
        ("remote_properties.url", spec.remote.url),
        ("remote_properties.body", spec.remote.body),
        *((f"executor_config.{key}", value) for key, value in spec.named.config),
    )
    for name, text in texts:
        try:
            template.parse(text, delimiters)
        except template.TemplateError as error:
            raise Invalid(name, f"not a template: {error}") from None
