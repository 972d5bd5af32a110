"""What is set for the whole node: its pause, the log as a file out and in, and the facts about it."""

from kala_es.web.exchange import Request, Response
from kala_es.web.pages import now as present
from kala_es.web.pages.words import lasting, number, size
from kala_es.web.site import Site

Facts = list[tuple[str, str]]


async def show_settings(request: Request, site: Site) -> Response:
    """GET /webui/settings/."""
    scheduler = site.scheduler
    values = {
        "here": "settings",
        "pause": scheduler.folds.server_pause,
        "is_file": scheduler.meters.log_bytes() is not None,
        "facts": facts(site),
        "rules": rules(site),
    }
    return site.pages.render("settings.html", values)


def facts(site: Site) -> Facts:
    """What the node is, and what it holds."""
    scheduler, edge = site.scheduler, site.edge
    folds = scheduler.folds
    figures = present.figures(scheduler, ready=edge.ready())
    log_bytes = "in memory, gone with the process" if figures.log_bytes is None else size(figures.log_bytes)
    sums = folds.history.sums
    return [
        ("Node", edge.node),
        ("Version", edge.version),
        ("Listens on", f"{edge.address[0]}:{edge.address[1]}"),
        ("Takes new work", "yes" if figures.ready else "no: it is starting, stopping, or its disk is full"),
        ("Keeps time", "yes" if figures.keeps_time else "no: its ticks start nothing"),
        ("Log", f"{number(figures.position)} positions, {log_bytes}"),
        ("Jobs", f"{number(figures.jobs)}, {number(figures.enabled)} of them enabled"),
        ("Runs", f"{number(sums.runs)} that are over, {number(sums.forgotten)} forgotten, {figures.running} in flight"),
    ]


def rules(site: Site) -> Facts:
    """What its settings allow."""
    allowed = site.scheduler.rules
    shown = allowed.runs_kept_seconds
    kept = allowed.kept
    output = [
        "" if kept.runs is None else f"the newest {number(kept.runs)} runs of a job",
        "" if kept.micros is None else f"{lasting(kept.micros)} after a run's end",
        "" if kept.output_bytes is None else f"{size(kept.output_bytes)} of a job",
    ]
    return [
        ("Local commands", "allowed" if allowed.local_jobs else "refused: only remote jobs"),
        ("Deleting all jobs at once", "allowed" if allowed.delete_all else "refused"),
        ("Runs are shown", "for ever" if shown is None else f"for {number(int(shown))} seconds after their end"),
        ("Output is kept", ", ".join(filter(None, output)) or "for ever"),
        ("Tags of this node", ", ".join(f"{key}={value}" for key, value in allowed.tags) or "none"),
        ("Notices, unless a job says otherwise", f"to {len(allowed.notify)} places" if allowed.notify else "to nobody"),
    ]
