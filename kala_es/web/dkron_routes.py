"""The routes of Dkron's API, those of 2.2 and what 3 and 4 have added."""

from dataclasses import replace
from typing import Final

from kala_es import limits
from kala_es.web import dkron_jobs, dkron_node, dkron_runs
from kala_es.web.dkron_replies import ORDER, PRETTY, refuse_as_dkron
from kala_es.web.replies import BUSY, FORBIDDEN, FULL, KEY, KEY_USED, LARGE, NO_JOB, WRONG
from kala_es.web.schedules import EXPLAIN
from kala_es.web.table import Handler, Parameter, Reply, Row

_API: Final = dkron_jobs.API
_JOB: Final = Reply(status=200, about="The job.", schema="V1Job")
_FORCE: Final = Parameter(name="force", kind="boolean", about="Though it is disabled, or a run of it is in flight.")
_IN_FLIGHT: Final = Reply(status=409, about="A run is in flight, and the job forbids another.", schema="Error")
_STARTED: Final = Reply(status=200, about="Started; `execution_id` names the execution.", schema="V1Job")
_CUT: Final = Parameter(
    name="output_size_limit", kind="integer", about="The last so many bytes of output, and `output_truncated`."
)
_NO_EXECUTION: Final = Reply(status=404, about="There is no such execution.", schema="Error")
_RUN_ON_CREATE: Final = Parameter(name="runoncreate", kind="string", about="Run it too; any value, or none.")

_CREATE: Final = Row(
    method="POST",
    pattern=f"{_API}/jobs",
    handler=dkron_jobs.create_v1_job,
    summary="Create a job, or replace the one of this name; its counters and history stay",
    parameters=(PRETTY, _RUN_ON_CREATE, EXPLAIN),
    takes="V1JobDraft",
    replies=(
        Reply(status=201, about="Created or replaced, and durable.", schema="V1Job"),
        WRONG,
        FORBIDDEN,
        Reply(status=404, about="There is no such parent job.", schema="Error"),
        LARGE,
        BUSY,
        FULL,
    ),
    initializing=True,
    direct=True,
)
_RUN: Final = Row(
    method="POST",
    pattern=f"{_API}/jobs/{{job}}",
    handler=dkron_jobs.run_v1_job,
    summary="Run a job now; the answer does not wait for it",
    parameters=(PRETTY, _FORCE, KEY),
    replies=(_STARTED, WRONG, NO_JOB, _IN_FLIGHT, KEY_USED, BUSY, FULL),
)
_JOBS: Final = (
    Row(
        method="GET",
        pattern=f"{_API}/jobs",
        handler=dkron_jobs.list_v1_jobs,
        summary="List the jobs; also `metadata[key]=value`, as often as wanted",
        parameters=(
            PRETTY,
            *ORDER,
            Parameter(name="q", kind="string", about="Only jobs with this text in name or displayname."),
            Parameter(
                name="status",
                kind="string",
                about="success, failed, partially_failed (none ever is), unplaced or untriggered.",
            ),
            Parameter(name="disabled", kind="boolean", about="Only disabled jobs, or only enabled ones."),
        ),
        replies=(Reply(status=200, about="The jobs; X-Total-Count says how many.", schema="V1Jobs"), WRONG),
    ),
    _CREATE,
    replace(
        _CREATE,
        method="PATCH",
        handler=dkron_jobs.patch_v1_job,
        summary="The same as POST: it is no merge",
        direct=False,
    ),
    Row(
        method="GET",
        pattern=f"{_API}/jobs/{{job}}",
        handler=dkron_jobs.get_v1_job,
        summary="Read a job",
        parameters=(PRETTY,),
        replies=(_JOB, NO_JOB),
    ),
    replace(
        _CREATE,
        method="PUT",
        pattern=f"{_API}/jobs/{{job}}",
        handler=dkron_jobs.put_v1_job,
        summary="Create the job that the path names, or replace it",
        replies=(_JOB, *_CREATE.replies[1:]),
        direct=False,
    ),
    Row(
        method="DELETE",
        pattern=f"{_API}/jobs/{{job}}",
        handler=dkron_jobs.delete_v1_job,
        summary="Delete a job that has no dependents",
        parameters=(PRETTY,),
        replies=(
            Reply(status=200, about="The job as it was.", schema="V1Job"),
            Reply(status=404, about="There is no such job, or it has dependents.", schema="Error"),
            BUSY,
        ),
    ),
    _RUN,
    replace(_RUN, pattern=f"{_API}/jobs/{{job}}/run", handler=dkron_jobs.run_v1_job_by_name, summary="The same"),
    Row(
        method="POST",
        pattern=f"{_API}/jobs/{{job}}/toggle",
        handler=dkron_jobs.toggle_v1_job,
        summary="Disable an enabled job, enable a disabled one",
        parameters=(PRETTY, KEY),
        replies=(_JOB, WRONG, NO_JOB, KEY_USED, BUSY, FULL),
    ),
    Row(
        method="POST",
        pattern=f"{_API}/restore",
        handler=dkron_node.restore_v1,
        summary="Create or replace the jobs of a backup, all or none",
        parameters=(PRETTY,),
        takes="V1Restore",
        replies=(
            Reply(status=200, about="A text that holds a JSON array, a line for each job.", schema="Text"),
            WRONG,
            FORBIDDEN,
            Reply(status=404, about="The form has no part `file`.", schema="Error"),
            LARGE,
            BUSY,
            FULL,
        ),
        direct=True,
        max_body=limits.MAX_BULK_BODY_BYTES,
        body_patience=10,
    ),
)

_EXECUTIONS: Final = (
    Row(
        method="GET",
        pattern=f"{_API}/jobs/{{job}}/executions",
        handler=dkron_runs.list_v1_executions,
        summary="List the executions of a job, newest first; each attempt of a run is one",
        parameters=(PRETTY, *ORDER[:2], _CUT),
        replies=(
            Reply(status=200, about="The executions; X-Total-Count says how many runs.", schema="V1Executions"),
            WRONG,
            NO_JOB,
        ),
    ),
    Row(
        method="DELETE",
        pattern=f"{_API}/jobs/{{job}}/executions",
        handler=dkron_jobs.clear_v1_executions,
        summary="Forget the executions of a job that are over, with their output, and count anew",
        parameters=(PRETTY,),
        replies=(_JOB, NO_JOB, BUSY),
    ),
    Row(
        method="GET",
        pattern=f"{_API}/jobs/{{job}}/executions/{{execution}}",
        handler=dkron_runs.get_v1_execution,
        summary="Read an execution",
        parameters=(PRETTY, _CUT),
        replies=(Reply(status=200, about="The execution.", schema="V1Execution"), WRONG, _NO_EXECUTION),
    ),
    Row(
        method="GET",
        pattern=f"{_API}/jobs/{{job}}/executions/{{execution}}/stream",
        handler=dkron_runs.stream_v1_execution,
        summary="Follow the run of an execution: its output as it is written, its states, its end",
        parameters=(
            Parameter(name="after", kind="integer", about="Only events after this position of the log."),
            Parameter(name="Last-Event-ID", kind="integer", about="The same, of a browser.", where="header"),
        ),
        replies=(
            Reply(status=200, about="Events.", schema="Stream", media="text/event-stream"),
            Reply(status=204, about="The run is over, and the reader has seen its end."),
            WRONG,
            _NO_EXECUTION,
            BUSY,
        ),
    ),
    Row(
        method="GET",
        pattern=f"{_API}/busy",
        handler=dkron_runs.list_v1_busy,
        summary="List the executions that run, oldest first, with what each has printed so far",
        parameters=(PRETTY,),
        replies=(Reply(status=200, about="The executions.", schema="V1Executions"),),
    ),
)


def _read(path: str, row: tuple[Handler, str, str]) -> Row:
    """A route that only tells something of the node."""
    handler, summary, schema = row
    reply = Reply(status=200, about=f"{summary}.", schema=schema)
    return Row(method="GET", pattern=path, handler=handler, summary=summary, parameters=(PRETTY,), replies=(reply,))


_NODE: Final = (
    _read(_API, (dkron_node.get_v1_index, "This node", "Anything")),
    _read(f"{_API}/members", (dkron_node.list_v1_members, "The cluster's members: this node", "Anything")),
    _read(f"{_API}/leader", (dkron_node.get_v1_leader, "The leader: this node", "Anything")),
    _read(f"{_API}/isleader", (dkron_node.get_v1_isleader, "Whether this node leads: it does", "Text")),
    _read(
        f"{_API}/executors",
        (dkron_node.list_v1_executors, "The executors, each with its config's schema", "V1Executors"),
    ),
    _read(f"{_API}/pause", (dkron_node.get_v1_pause, "Whether new definitions are refused", "V1Paused")),
    Row(
        method="GET",
        pattern="/health",
        handler=dkron_node.get_v1_health,
        summary="Ask whether the node takes new work",
        parameters=(PRETTY,),
        replies=(
            Reply(status=200, about="It does.", schema="V1Health"),
            Reply(status=503, about="It does not.", schema="V1Health"),
        ),
    ),
    Row(
        method="POST",
        pattern=f"{_API}/pause",
        handler=dkron_node.pause_v1,
        summary="Refuse new definitions over this API; schedules and runs go on",
        replies=(Reply(status=200, about="It does.", schema="V1Paused"),),
    ),
    Row(
        method="POST",
        pattern=f"{_API}/unpause",
        handler=dkron_node.unpause_v1,
        summary="Take new definitions again",
        replies=(Reply(status=200, about="It does.", schema="V1Paused"),),
    ),
    Row(
        method="POST",
        pattern=f"{_API}/leave",
        handler=dkron_node.leave_v1,
        summary="Start nothing more by schedules; the server's pause, which `POST /api/v1/resume/` ends",
        replies=(Reply(status=200, about="It does.", schema="Anything"), BUSY, FULL),
    ),
)

ROWS: Final = tuple(replace(row, refuse=refuse_as_dkron) for row in (*_JOBS, *_EXECUTIONS, *_NODE))
