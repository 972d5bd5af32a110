"""Runs of elsewhere over HTTP: one request adds many to the history of a job that was imported."""

from functools import partial
from typing import Final

from kala_es import limits
from kala_es.dialects import kala_imported
from kala_es.domain.ids import JobId
from kala_es.web.body import parsed
from kala_es.web.exchange import Request, Response, answer_json
from kala_es.web.replies import BUSY, FULL, LARGE, NO_JOB, WRONG
from kala_es.web.site import Site
from kala_es.web.table import Reply, Row


async def import_runs(request: Request, site: Site) -> Response:
    """POST /job/{id}/executions/import/."""
    asked = await parsed(request.body, partial(kala_imported.parse_import, JobId(request.params["id"])))
    report = await site.scheduler.importer.take(asked, request.principal)
    return answer_json(kala_imported.report_json(report, dry_run=asked.dry_run))


IMPORT: Final = Row(
    method="POST",
    pattern="/api/v1/job/{id}/executions/import/",
    handler=import_runs,
    summary="Add runs that the job had on another server to its history, those that are not known",
    takes="RunImport",
    replies=(
        Reply(status=200, about="What became of them; with `dry_run`, what would.", schema="ImportReport"),
        WRONG,
        NO_JOB,
        LARGE,
        BUSY,
        FULL,
    ),
    direct=True,
    max_body=limits.MAX_BULK_BODY_BYTES,
    body_patience=10,
)
