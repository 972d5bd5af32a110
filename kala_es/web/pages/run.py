"""A run's page: its state, what caused it, its attempts and events, and the place for its output.

Everything is of one position of the log; the page's stream goes on after it.
"""

from typing import Any, Final

from kala_es.domain.ids import RunId
from kala_es.projections.runs import RunSummary
from kala_es.web.exchange import Request, Response
from kala_es.web.pages.now import elapsed, name_of, usual
from kala_es.web.pages.run_story import Story, ending, story_of
from kala_es.web.runs import as_now
from kala_es.web.site import Site

_CAUSES_SHOWN: Final = 10
_REASON_CHARS: Final = 2_000
_STRANGE: Final = 1.5
"""A run that takes so many times as long as usual is marked."""


async def show_run(request: Request, site: Site) -> Response:
    """GET /webui/runs/{id}/."""
    scheduler = site.scheduler
    run, position, now = (
        as_now(site, scheduler.run(RunId(request.params["id"]))),
        scheduler.folds.position,
        scheduler.clock.now(),
    )
    usually = usual(scheduler.folds, run.job, before=run)
    took = elapsed(run.started, now if run.ended is None else run.ended)
    story = await story_of(scheduler.reader, run, position)
    values = {
        "here": "jobs",
        "run": run,
        "position": position,
        "now": now,
        "name": name_of(scheduler.folds, run.job),
        "job": scheduler.folds.jobs.get(run.job),
        "state": _state(run, story),
        "why": ending(run, most=_REASON_CHARS) if run.outcome not in (None, "succeeded") else "",
        "took": took,
        "usual": usually,
        "is_late": usually is not None and took > usually * _STRANGE,
        "story": story,
        "is_left_out": await scheduler.reader.is_left_out(run),
        "size": run.stdout_bytes + run.stderr_bytes,
        "dropped": run.stdout_dropped + run.stderr_dropped,
        **_around(site, run),
    }
    return site.pages.render("run.html", values)


def _state(run: RunSummary, story: Story) -> str:
    if run.outcome is not None:
        return run.outcome
    if story.cancelling:
        return "cancelling"
    return "waiting" if run.retry_at is not None else "running"


def _around(site: Site, run: RunSummary) -> dict[str, Any]:
    """The runs that led to this one, its own link left out, and the job's runs right before and after it."""
    folds = site.scheduler.folds
    runs = folds.runs
    chain = site.scheduler.history.chain(run.after)[:_CAUSES_SHOWN] if run.after else []
    return {
        "causes": [(link, name_of(folds, link.job)) for link in chain],
        "root_is_shown": any(link.run == run.root for link in chain),
        "earlier": next(runs.of_job(run.job, after=run, limit=1, newest_first=True), None),
        "later": next(runs.of_job(run.job, after=run, limit=1), None),
    }
