"""All routes of the API, in one table: the router, the documentation and the tests read it."""

from typing import Final

from kala_es import limits
from kala_es.web import (
    declared,
    dkron_routes,
    dkron_stats,
    history,
    job_list,
    jobs,
    meta,
    metrics,
    notices,
    output,
    output_lines,
    run_import,
    runs,
    snapshots,
    stream,
    ticks,
)
from kala_es.web.preconditions import IF_MATCH, IF_NONE_MATCH, OVERTAKEN
from kala_es.web.replies import BUSY, DONE, FORBIDDEN, FULL, KEY, KEY_USED, LARGE, LIMIT, NO_JOB, NO_RUN, WRONG
from kala_es.web.schedules import EXPLAIN, NEXT, SCHEDULE
from kala_es.web.table import Parameter, Reply, Row

API: Final = jobs.API

_NOT_REMOTE: Final = Reply(status=403, about="The job is not a remote one.", schema="Error")
_CHANGE: Final = (BUSY, FULL)

_AFTER_JOB: Final = Parameter(name="after", kind="string", about="Only jobs whose id comes after this one.")
_AFTER_RUN: Final = Parameter(name="after", kind="string", about="Only runs that began after this one.")
_AT: Final = Parameter(name="at", kind="string", about="As it was known then: a time, or a position of the log.")
_RESUME: Final = Parameter(name="after", kind="integer", about="Only events after this position of the log.")
_LAST_EVENT: Final = Parameter(
    name="Last-Event-ID", kind="integer", about="The same, as a browser says it when it reconnects.", where="header"
)
_STREAM: Final = Reply(status=200, about="Events, as they become durable.", schema="Stream", media="text/event-stream")

_OF_JOBS: Final = (
    Row(
        method="GET",
        pattern=f"{API}/job/",
        handler=job_list.list_jobs,
        summary="List the jobs, in order of id",
        parameters=(
            LIMIT,
            _AFTER_JOB,
            Parameter(name="q", kind="string", about="Only jobs with this text in name, id, owner or command."),
            Parameter(name="disabled", kind="boolean", about="Only disabled jobs, or only enabled ones."),
            _AT,
        ),
        replies=(Reply(status=200, about="The jobs by id.", schema="Jobs"), WRONG, BUSY),
    ),
    Row(
        method="POST",
        pattern=f"{API}/job/",
        handler=jobs.create_job,
        summary="Create a job, or replace the one that has its id",
        parameters=(KEY, EXPLAIN, IF_NONE_MATCH),
        takes="JobDraft",
        replies=(
            Reply(status=201, about="Created, and durable.", schema="Created"),
            WRONG,
            FORBIDDEN,
            OVERTAKEN,
            LARGE,
            KEY_USED,
            *_CHANGE,
        ),
        direct=True,
        initializing=True,
    ),
    Row(
        method="POST",
        pattern=f"{API}/job/bulk/",
        handler=jobs.create_jobs,
        summary="Create many new jobs, all or none: a JSON array, or one job a line",
        parameters=(KEY,),
        takes="JobDrafts",
        replies=(
            Reply(status=201, about="Created, and durable.", schema="CreatedJobs"),
            WRONG,
            FORBIDDEN,
            Reply(status=409, about="There is a job with one of these ids already.", schema="Error"),
            LARGE,
            KEY_USED,
            *_CHANGE,
        ),
        direct=True,
        max_body=limits.MAX_BULK_BODY_BYTES,
        body_patience=10,
    ),
    Row(
        method="DELETE",
        pattern=f"{API}/job/all/",
        handler=jobs.delete_all_jobs,
        summary="Delete all jobs",
        replies=(DONE, FORBIDDEN, BUSY),
    ),
    Row(
        method="GET",
        pattern=f"{API}/job/{{id}}/",
        handler=jobs.get_job,
        summary="Read a job",
        parameters=(_AT,),
        replies=(Reply(status=200, about="The job.", schema="WrappedJob"), WRONG, NO_JOB, BUSY),
        direct=True,
    ),
    Row(
        method="PUT",
        pattern=f"{API}/job/{{id}}/",
        handler=jobs.replace_job,
        summary="Replace a job's definition; its counters and history stay",
        parameters=(EXPLAIN, IF_MATCH),
        takes="JobDraft",
        replies=(
            Reply(status=200, about="The job as it is now.", schema="WrappedJob"),
            WRONG,
            FORBIDDEN,
            NO_JOB,
            OVERTAKEN,
            LARGE,
            *_CHANGE,
        ),
        initializing=True,
    ),
    Row(
        method="DELETE",
        pattern=f"{API}/job/{{id}}/",
        handler=jobs.delete_job,
        summary="Delete a job, and its children that have no other parent; runs stay readable by their id",
        replies=(DONE, NO_JOB, BUSY),
    ),
    Row(
        method="GET",
        pattern=f"{API}/job/{{id}}/params/",
        handler=jobs.get_params,
        summary="Read the request body of a remote job, as it is",
        replies=(Reply(status=200, about="The body.", schema="Anything"), _NOT_REMOTE, NO_JOB),
    ),
    Row(
        method="PUT",
        pattern=f"{API}/job/{{id}}/params/",
        handler=jobs.replace_params,
        summary="Replace the request body of a remote job by any text",
        takes="Anything",
        replies=(DONE, _NOT_REMOTE, NO_JOB, LARGE, *_CHANGE),
    ),
    NEXT,
    Row(
        method="POST",
        pattern=f"{API}/job/start/{{id}}/",
        handler=jobs.start_job,
        summary="Start a run now; the answer comes when it, and all that its end causes, are over",
        parameters=(
            KEY,
            Parameter(name="Prefer", kind="string", about="respond-async: answer at once (202).", where="header"),
        ),
        replies=(
            Reply(status=202, about="Started; Location names the run."),
            Reply(status=204, about="The run, and all that its end caused, are over."),
            WRONG,
            NO_JOB,
            Reply(status=409, about="A run is in flight, and the job's runs must not overlap.", schema="Error"),
            KEY_USED,
            *_CHANGE,
        ),
        replayed=jobs.start_replayed,
    ),
    Row(
        method="POST",
        pattern=f"{API}/job/enable/{{id}}/",
        handler=jobs.enable_job,
        summary="Let the job's times start runs",
        parameters=(KEY,),
        replies=(DONE, WRONG, NO_JOB, KEY_USED, *_CHANGE),
    ),
    Row(
        method="POST",
        pattern=f"{API}/job/disable/{{id}}/",
        handler=jobs.disable_job,
        summary="Let nothing start the job",
        parameters=(KEY,),
        replies=(DONE, WRONG, NO_JOB, KEY_USED, BUSY),
    ),
    Row(
        method="GET",
        pattern=f"{API}/job/stats/{{id}}/",
        handler=runs.get_legacy_stats,
        summary="List the runs of a job in the shape of Kala, NextKala's parent",
        parameters=(LIMIT, _AFTER_RUN),
        replies=(Reply(status=200, about="The runs.", schema="LegacyStats"), WRONG, NO_JOB),
    ),
)

_OF_RUNS: Final = (
    Row(
        method="GET",
        pattern=f"{API}/job/{{id}}/executions/",
        handler=runs.list_runs,
        summary="List the runs of a job, oldest first",
        parameters=(LIMIT, _AFTER_RUN),
        replies=(Reply(status=200, about="The runs.", schema="Runs"), WRONG, NO_JOB),
    ),
    Row(
        method="DELETE",
        pattern=f"{API}/job/{{id}}/executions/",
        handler=runs.clear_runs,
        summary="Forget the runs of a job that are over, with their output, and count anew",
        replies=(DONE, NO_JOB, BUSY),
    ),
    Row(
        method="GET",
        pattern=f"{API}/job/{{id}}/executions/{{run}}/",
        handler=runs.get_run,
        summary="Read a run; the job's id is not looked at",
        replies=(Reply(status=200, about="The run.", schema="WrappedRun"), NO_RUN),
    ),
    Row(
        method="PUT",
        pattern=f"{API}/job/{{id}}/executions/{{run}}/",
        handler=runs.report_status,
        summary="Report a run's status, as the other side of a remote job does",
        takes="Status",
        replies=(DONE, WRONG, NO_RUN, *_CHANGE),
    ),
    Row(
        method="DELETE",
        pattern=f"{API}/job/{{id}}/executions/{{run}}/",
        handler=runs.cancel_run,
        summary="Ask for the end of a run",
        replies=(
            Reply(status=204, about="Asked; the run ends soon."),
            NO_RUN,
            Reply(status=409, about="The run is over.", schema="Error"),
            BUSY,
        ),
    ),
    runs.REDACT,
    run_import.IMPORT,
    Row(
        method="GET",
        pattern=f"{API}/job/{{id}}/executions/{{run}}/output/",
        handler=output.get_output,
        summary="Read a run's output as raw bytes",
        parameters=(
            Parameter(name="channel", kind="string", about="stdout or stderr; both as they came if not given."),
            Parameter(name="Range", kind="string", about="One range of bytes.", where="header"),
        ),
        replies=(
            Reply(status=200, about="The output.", schema="Bytes", media="application/octet-stream"),
            Reply(status=206, about="A range of it.", schema="Bytes", media="application/octet-stream"),
            WRONG,
            NO_RUN,
            Reply(status=410, about="The run was trimmed: its output is kept no longer.", schema="Error"),
            Reply(status=416, about="The output has no such bytes.", schema="Error"),
        ),
    ),
    output_lines.LINES,
    Row(
        method="GET",
        pattern=f"{API}/job/{{id}}/executions/{{run}}/stream/",
        handler=stream.stream_run,
        summary="Follow a run: its output as it is written, its states, its end",
        parameters=(_RESUME, _LAST_EVENT),
        replies=(
            _STREAM,
            Reply(status=204, about="The run is over, and the reader has seen its end."),
            WRONG,
            NO_RUN,
            BUSY,
        ),
    ),
)

_OF_THE_SERVER: Final = (
    Row(
        method="GET",
        pattern=f"{API}/stats/",
        handler=meta.get_stats,
        summary="Read the server's counters",
        parameters=(_AT,),
        replies=(Reply(status=200, about="The counters.", schema="Stats"), WRONG, BUSY),
    ),
    Row(
        method="POST",
        pattern=f"{API}/compact/",
        handler=meta.compact,
        summary="Give the disk back what was erased from the log, while the server runs",
        replies=(
            Reply(status=200, about="Done; the size of the log's file before and after.", schema="Compacted"),
            Reply(status=403, about="The server keeps everything in memory.", schema="Error"),
            *_CHANGE,
        ),
    ),
    *snapshots.ROWS,
    *metrics.ROWS,
    Row(
        method="GET",
        pattern=f"{API}/notices/",
        handler=notices.list_notices,
        summary="List the notices, oldest first: who was told what, and why not",
        parameters=(
            LIMIT,
            Parameter(name="after", kind="string", about="Only notices after this one."),
            Parameter(name="job", kind="string", about="Only notices of this job."),
            Parameter(name="state", kind="string", about="Only waiting, delivered or given-up ones."),
        ),
        replies=(Reply(status=200, about="The notices.", schema="Notices"), WRONG),
    ),
    Row(
        method="GET",
        pattern=f"{API}/events/",
        handler=stream.stream_events,
        summary="Follow all events; from now on, or after a position",
        parameters=(
            Parameter(name="job", kind="string", about="Only events of this job."),
            Parameter(name="type", kind="string", about="Only events of this type, or of several with commas."),
            Parameter(name="output", kind="string", about="none: without what runs print."),
            _RESUME,
            _LAST_EVENT,
        ),
        replies=(_STREAM, WRONG, BUSY),
    ),
    Row(
        method="GET",
        pattern=f"{API}/openapi.json",
        handler=meta.get_openapi,
        summary="Read this description",
        replies=(Reply(status=200, about="An OpenAPI document.", schema="Anything"),),
    ),
    Row(
        method="GET",
        pattern="/healthz",
        handler=meta.get_health,
        summary="Ask whether the process answers",
        replies=(Reply(status=200, about="It does.", schema="Health"),),
    ),
    Row(
        method="GET",
        pattern="/readyz",
        handler=meta.get_readiness,
        summary="Ask whether the server takes new work",
        replies=(
            Reply(status=200, about="It does.", schema="Health"),
            Reply(status=503, about="It is starting, stopping, or has no room.", schema="Health"),
        ),
    ),
)

ROUTES: Final = (
    *_OF_JOBS,
    declared.APPLY,
    SCHEDULE,
    *ticks.OF_TICKS,
    *history.OF_HISTORY,
    *_OF_RUNS,
    *_OF_THE_SERVER,
    *dkron_routes.ROWS,
    *dkron_stats.ROWS,
)
