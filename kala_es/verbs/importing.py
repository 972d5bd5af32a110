"""`kala-es import`: take in an archive (archives.py), or the jobs of another scheduler.

The latter as often as wanted: the second time changes nothing. Its list is translated (dialects/from_*.py) and applied
like files of jobs: in one commit, all that can be taken. What is refused, and what of a job could not be carried over,
is told job by job. Then their runs are taken (past_runs.py), where the source has them.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from kala_es.dialects import from_dkron, from_kala
from kala_es.dialects.coming import Coming, Remark
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import SECOND, Instant
from kala_es.event_logs.postgres_place import SCHEMES
from kala_es.verbs import databases, past_runs, plans, run_sources
from kala_es.verbs.archives import add_flags, import_archive
from kala_es.verbs.asking import Failed, add_server, ask, fetch, read_file

Translate = Callable[[bytes, Instant], Coming]
_SOURCES: Final[Mapping[str, tuple[Translate, str]]] = {
    "nextkala": (from_kala.translate, "/api/v1/job/"),
    "dkron": (from_dkron.translate, "/v1/jobs"),
}
"""How each list is read, and where its server has it."""
_PLACES: Final[Mapping[str, str]] = {
    "nextkala": "an http, https or postgresql URL, or a file",
    "dkron": "an http or https URL, or a file",
}


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb."""
    about = (
        "take in an archive that `export` wrote, or with --from the jobs of a NextKala or Dkron server and their runs, "
        "from its URL or the PostgreSQL database of a NextKala, or the jobs from a file with its list of them"
    )
    parser = verbs.add_parser("import", help="take in an archive, or another scheduler's jobs", description=about)
    parser.set_defaults(verb=_import)
    parser.add_argument("source", metavar="FILE|URL", help="the archive; or the other server, or its list as JSON")
    parser.add_argument("--from", dest="kind", choices=sorted(_SOURCES), help="what it is, if it is no archive")
    parser.add_argument("--dry-run", action="store_true", help="only report")
    parser.add_argument("--no-runs", action="store_true", help="with --from: leave the jobs' runs behind")
    add_flags(parser)
    add_server(parser)


def _import(arguments: argparse.Namespace) -> int:
    if arguments.kind is None:
        return import_archive(arguments)
    try:
        coming = _read(arguments.kind, arguments.source)
        request = {"jobs": coming.jobs, "managed_by": arguments.kind, "begun": True}
        plan = _agree(arguments.server, request, coming)
        if plans.changes(plan) and not arguments.dry_run:
            plan = ask(arguments.server, plans.APPLY, request)
        _report(plan, coming)
        refused = 0 if arguments.no_runs else _take_runs(arguments, plan, coming)
    except Failed as error:
        print(f"kala-es: {error}", file=sys.stderr)
        return 1
    return 1 if coming.refused or refused else 0


def _take_runs(arguments: argparse.Namespace, plan: Mapping[str, Any], coming: Coming) -> int:
    """Take the runs that the source has of these jobs, and report; how many are refused."""
    pages = run_sources.runs_of(arguments.kind, arguments.source, coming.jobs)
    if pages is None:
        return 0
    new = {row["id"] for row in plan["plan"] if row["action"] == "create"}
    to = past_runs.Destination(server=arguments.server, source=arguments.kind, dry_run=arguments.dry_run, new=new)
    tally = past_runs.take(pages, to)
    for line in tally.lines(dry_run=arguments.dry_run):
        print(line)
    return len(tally.refused)


def _read(kind: str, source: str) -> Coming:
    translate, path = _SOURCES[kind]
    try:
        if source.startswith(("http://", "https://")):
            body = fetch(source if urlsplit(source).path.strip("/") else source.rstrip("/") + path)
        elif kind == "nextkala" and source.startswith(SCHEMES):
            source, body = databases.nextkala_jobs(source)
        elif "://" in source:
            raise Failed(f"{source.partition('://')[0]}: no such source of {kind}'s jobs is known: {_PLACES[kind]}")
        else:
            body = read_file(source)
        return translate(body, Instant(int(time.time() * SECOND)))
    except Invalid as error:
        raise Failed(f"{source}: {error.field}: {error.reason}".replace(": : ", ": ")) from None


def _agree(server: str, request: dict[str, Any], coming: Coming) -> dict[str, Any]:
    """The plan for all jobs that the server takes. Each round leaves out those that it refuses, until it refuses none:
    children go with their parents."""
    while True:
        plan: dict[str, Any] = ask(server, plans.APPLY, {**request, "dry_run": True})
        refused = [remark for row in plan["plan"] if (remark := _refusal(row))]
        if not refused:
            return plan
        coming.refused += refused
        for remark in refused:
            del coming.jobs[remark.job]


def _refusal(row: Mapping[str, Any]) -> Remark | None:
    """Why a row of the plan cannot be taken. A job that does not come from there is not written over."""
    if row["action"] == "refused":
        return Remark(job=row["id"], field=row["field"], reason=row["reason"])
    if row["action"] == "change" and "managed_by" in row["fields"]:
        return Remark(job=row["id"], field="id", reason="there is a job with this id that does not come from there")
    return None


def _report(plan: Mapping[str, Any], coming: Coming) -> None:
    for line in plans.lines(plan):
        print(line)
    for word, remarks in (("note", coming.notes), ("refused", coming.refused)):
        for remark in remarks:
            if word == "refused" or remark.job in coming.jobs:
                print(f"{word} {remark.job}: {remark.field}: {remark.reason}".replace(": : ", ": "))
    refused = f", {len(coming.refused)} refused" if coming.refused else ""
    print(f"{plans.summary(plan)}{refused}")
