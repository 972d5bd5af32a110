"""A log with a past that looks like one: the jobs of a small shop, and their runs of the last day, by a seed.

For pages that have something to show. `fill` writes it; a server then goes on from it.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from kala_es import codec
from kala_es.domain import events as e
from kala_es.domain.ids import SECOND, Instant, JobId, RunId, run_after, run_for_tick
from kala_es.domain.model import JobSpec, Outcome, RemoteCall
from kala_es.domain.plan import schedule_of
from kala_es.domain.terms import AttemptTerms
from kala_es.event_logs.lmdb import open_log
from kala_es.fold_stores.lmdb import open_folds

HOURS = 26
_TOGETHER = 1_000
_TIMEOUT_SECONDS = 600
_RESTART = 5 * SECOND
"""What is due so shortly before the server starts is left to it."""


@dataclass(frozen=True, kw_only=True)
class Sketch:
    """A job, how long its runs take in seconds, and how often one fails."""

    spec: JobSpec
    seconds: float
    fails: float = 0.0
    line: str = "done"
    disabled: bool = False
    bad_hours: tuple[int, ...] = ()
    """So many hours ago nearly all of its runs failed."""


def _job(name: str, command: str, schedule: str, **rest: object) -> JobSpec:
    fields = {"shell": True, "owner": "ops@example.com", **rest}
    return JobSpec(name=name, command=command, schedule=schedule, **fields)  # type: ignore[arg-type]


_BACKUP = (
    'for table in customers orders invoices shipments; do echo "dumping $table"; sleep 14; '
    "printf '\\033[32m%s written\\033[0m\\n' \"$table\"; done"
)
_IMPORT = (
    "i=0; while [ $i -lt 400 ]; do i=$((i+1)); "
    """printf '\\033[2m%s\\033[0m row %s of 100000\\n' "$(date +%T)" "$((i*250))"; """
    """[ $((i%6)) -ne 0 ] || printf '\\033[33mwarning:\\033[0m order %s has no address\\n' "$((i*9731))" >&2; """
    "sleep 0.4; done"
)
_TEAM = (("team", "data"),)
_WEB = (("team", "web"),)

SHOP: dict[str, Sketch] = {
    "pg-backup": Sketch(
        spec=_job("Database backup", _BACKUP, "0 1 * * *", timezone="Europe/Berlin", retries=2),
        seconds=412,
        line="4 written",
    ),
    "backup-upload": Sketch(
        spec=_job("Upload backup", "true", "", parents=(JobId("pg-backup"),), on_failure_job=JobId("page-oncall")),
        seconds=95,
    ),
    "backup-prune": Sketch(spec=_job("Prune old backups", "true", "", parents=(JobId("backup-upload"),)), seconds=4),
    "page-oncall": Sketch(spec=_job("Page the on-call", "true", "@manually"), seconds=1),
    "orders-import": Sketch(
        spec=_job("Import orders", _IMPORT, "*/15 * * * *", labels=_TEAM, timeout=f"PT{_TIMEOUT_SECONDS}S"),
        seconds=95,
        fails=0.04,
        line="100000 rows",
    ),
    "orders-match": Sketch(
        spec=_job(
            "Match payments",
            "true",
            "",
            parents=(JobId("orders-import"),),
            on_failure_job=JobId("page-oncall"),
            labels=_TEAM,
        ),
        seconds=12,
    ),
    "stock-sync": Sketch(
        spec=_job("Sync stock levels", "true", "*/5 * * * *", labels=_TEAM), seconds=11, fails=0.02, bad_hours=(7, 8)
    ),
    "health": Sketch(
        spec=JobSpec(
            name="Health check",
            kind="remote",
            owner="web@example.com",
            schedule="* * * * *",
            labels=_WEB,
            remote=RemoteCall(url="http://127.0.0.1:9/healthz", method="GET", expected_codes=(200,)),
        ),
        seconds=0.12,
        fails=0.004,
        bad_hours=(7,),
    ),
    "mail-queue": Sketch(spec=_job("Flush mail queue", "true", "*/2 * * * *", labels=_WEB), seconds=1.4),
    "search-index": Sketch(
        spec=_job("Rebuild search index", "true", "30 */2 * * *", labels=_WEB), seconds=230, fails=0.1
    ),
    "certificates": Sketch(spec=_job("Renew certificates", "true", "0 4 * * *", timezone="Europe/Berlin"), seconds=18),
    "invoices": Sketch(
        spec=_job("Send invoices", "true", "0 9 * * MON-FRI", timezone="Europe/Berlin", labels=_TEAM), seconds=64
    ),
    "report-daily": Sketch(
        spec=_job("Daily sales report", "true", "15 7 * * *", timezone="America/New_York", labels=_TEAM), seconds=37
    ),
    "report-weekly": Sketch(
        spec=_job("Weekly report", "true", "0 6 * * MON", timezone="Europe/Berlin", labels=_TEAM), seconds=120
    ),
    "log-rotate": Sketch(spec=_job("Rotate logs", "true", "@hourly"), seconds=2.2),
    "cache-warm": Sketch(spec=_job("Warm caches", "true", "*/10 * * * *", labels=_WEB), seconds=26, fails=0.01),
    "exchange-rates": Sketch(
        spec=_job("Fetch exchange rates", "true", "R/2026-01-01T00:20:00Z/PT1H", labels=_TEAM), seconds=0.9, fails=0.03
    ),
    "legacy-ftp": Sketch(spec=_job("Legacy FTP drop", "true", "*/30 * * * *"), seconds=8, fails=0.5, disabled=True),
    "fraud-scan": Sketch(spec=_job("Fraud scan", "exit 3", "45 * * * *", labels=_TEAM), seconds=48, fails=0.85),
    "sessions": Sketch(spec=_job("Expire sessions", "true", "*/20 * * * *", labels=_WEB), seconds=3.1),
    "vacuum": Sketch(
        spec=_job("Vacuum database", "true", "0 3 * * *", timezone="Europe/Berlin", terms=AttemptTerms(nice=10)),
        seconds=905,
    ),
}


def past(now: Instant, seed: int = 7) -> list[e.Event]:
    """The events, in order."""
    rng = random.Random(seed)
    begun = Instant(now - HOURS * 3600 * SECOND)
    events: list[e.Event] = []
    for name, sketch in SHOP.items():
        events.append(e.JobCreated(job=JobId(name), at=begun, spec=sketch.spec))
    for name, sketch in SHOP.items():
        events += _runs(JobId(name), sketch, (begun, now, rng))
        if sketch.disabled:
            events.append(e.JobDisabled(job=JobId(name), at=Instant(now - 3 * 3600 * SECOND)))
    return sorted(events, key=lambda event: event.at)


def _runs(job: JobId, sketch: Sketch, when: tuple[Instant, Instant, random.Random]) -> Iterator[e.Event]:
    begun, now, rng = when
    schedule = schedule_of(sketch.spec, begun, job)
    tick = schedule.next_after(begun) if schedule else None
    until = now - (3 * 3600 * SECOND if sketch.disabled else _RESTART)
    while schedule is not None and tick is not None and tick < until:
        run = run_for_tick(job, begun, tick)
        yield from _run(job, sketch, (run, tick, rng), now=now)
        tick = schedule.next_after(tick)


def _run(job: JobId, sketch: Sketch, how: tuple[RunId, Instant, random.Random], *, now: Instant) -> Iterator[e.Event]:
    run, tick, rng = how
    at = Instant(tick + rng.randrange(2_000, 9_000))
    bad = rng.random() < (0.9 if (now - tick) // (3600 * SECOND) in sketch.bad_hours else sketch.fails)
    late = bad and bool(sketch.spec.timeout) and rng.random() < 0.5 and at + _TIMEOUT_SECONDS * SECOND < now
    seconds = _TIMEOUT_SECONDS if late else sketch.seconds * rng.uniform(0.75, 1.35)
    ended = Instant(min(at + int(seconds * SECOND), now - 1 * SECOND))
    yield e.RunStarted(job=job, at=at, run=run, cause="schedule", root=run, tick=tick, kind=sketch.spec.kind)
    text = (f"{'error: connection reset' if bad else sketch.line}\n").encode()
    yield e.OutputChunk(job=job, at=ended, run=run, attempt=1, sequence=1, channel="stdout", offset=0, content=text)
    outcome: Outcome = "succeeded"
    if bad:
        outcome = "timed-out" if late else "failed"
        reason = f"it ran longer than its limit of {_TIMEOUT_SECONDS} s" if late else "exit code 1"
        code = None if late else 1
        yield e.AttemptFailed(
            job=job, at=ended, run=run, attempt=1, outcome=outcome, retrying=False, exit_code=code, reason=reason
        )
        yield e.RunFinished(
            job=job, at=ended, run=run, outcome=outcome, attempts=1, root=run, exit_code=code, reason=reason
        )
    else:
        yield e.RunFinished(job=job, at=ended, run=run, outcome=outcome, attempts=1, root=run, exit_code=0)
    if not bad:
        yield from _children(job, run, (ended, now, rng))


def _children(parent: JobId, run: RunId, when: tuple[Instant, Instant, random.Random]) -> Iterator[e.Event]:
    ended, now, rng = when
    for name, sketch in SHOP.items():
        if sketch.spec.parents and parent in sketch.spec.parents:
            child = JobId(name)
            made = run_after(run, child, "parent")
            at = Instant(ended + 3_000)
            over = Instant(min(at + int(sketch.seconds * rng.uniform(0.8, 1.2) * SECOND), now - 1))
            yield e.RunStarted(job=child, at=at, run=made, cause="parent", root=run, after=run)
            yield e.RunFinished(job=child, at=over, run=made, outcome="succeeded", attempts=1, root=run, exit_code=0)
            yield from _children(child, made, (over, now, rng))


async def fill(directory: Path, events: Iterable[e.Event]) -> None:
    """Write a log with these events."""
    folds = open_folds(directory)
    log = open_log(directory, folds)
    left = iter(events)
    while some := [codec.encode(event) for event in islice(left, _TOGETHER)]:
        await log.append(some)
    await log.close()
    folds.close()
