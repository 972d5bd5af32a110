"""The fields of a job as people meet them: in which group, under which label, with which hint, edited how.

One table for the page that shows a definition, for the form that makes one, and for the history that says what changed.
A key is the API's own, a dot before each key of an inner object. tests/web/test_job_form.py holds the table to the
dialect: a key that is in neither it nor `KEPT` is a fault.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Kind = Literal[
    "text",
    "lines",
    "number",
    "size",
    "flag",
    "choice",
    "schedule",
    "texts",
    "numbers",
    "map",
    "headers",
    "targets",
    "processors",
]
"""How a value is shown and edited: `static/job_fields.js` has a reader and a writer for each."""

KEPT: Final = frozenset({"next_run_at", "metadata", "is_done", "paused"})
"""The keys of a job that the server keeps: nobody edits them."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field. The first of its `choices` is the default, as "" is of a text; `only` a kind of job that has it."""

    key: str
    label: str
    kind: Kind = "text"
    hint: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    only: Literal["", "local", "remote", "named"] = ""
    default: bool = False

    @property
    def slug(self) -> str:
        """The key as a part of an element's id."""
        return self.key.replace(".", "-")


@dataclass(frozen=True, slots=True)
class Group:
    """Fields that belong together. An `open` group is unfolded in a form that says nothing yet."""

    name: str
    title: str
    about: str
    fields: tuple[Field, ...]
    open: bool = False


_DURATION: Final = "An ISO 8601 duration, such as PT90S, PT10M or P1D."
_MOMENT: Final = "RFC 3339 with its zone, such as 2030-01-31T12:00:00Z or 2030-01-31T13:00:00+01:00."

WHAT: Final = Group(
    "what",
    "What",
    "What each attempt carries out.",
    (
        Field("name", "Name", hint="For people; it need not be unique."),
        Field("id", "Id", hint="How the API and other jobs name it. Left empty, it is made up."),
        Field(
            "type",
            "Kind",
            "choice",
            choices=(
                ("0", "local: a command line"),
                ("1", "remote: an HTTP request"),
                ("2", "executor: one that a package brings"),
            ),
        ),
        Field("shell", "Run it by /bin/sh -c", "flag", "For pipes, redirections, && and globs.", only="local"),
        Field("command", "Command line", "lines", "Split into words as a POSIX shell does.", only="local"),
        Field("cwd", "Working directory", only="local"),
        Field(
            "TemplateDelimiters",
            "Template delimiters",
            hint="Two words such as {{ }}: then command line, URL and body are Go templates.",
        ),
        Field("env", "Environment", "map", "Further variables of the process.", only="local"),
        Field("stdin", "Input", "lines", "What the process reads from stdin.", only="local"),
        Field("executor", "Executor", hint="Its name, as the package that brings it has it.", only="named"),
        Field("executor_config", "What the executor is told", "map", only="named"),
        Field("remote_properties.url", "URL", only="remote"),
        Field("remote_properties.method", "Method", hint="GET if empty.", only="remote"),
        Field("remote_properties.headers", "Headers", "headers", only="remote"),
        Field("remote_properties.body", "Body", "lines", only="remote"),
        Field("remote_properties.timeout", "Timeout of the request", "number", "Seconds; 0 is 30.", only="remote"),
        Field(
            "remote_properties.expected_response_codes",
            "Expected response codes",
            "numbers",
            "Separated by commas or spaces; 200 if empty.",
            only="remote",
        ),
        Field(
            "remote_properties.lenient",
            "Any answer below 500 is a success",
            "flag",
            "When no codes are expected.",
            only="remote",
        ),
        Field(
            "remote_properties.expected_body",
            "Expected in the body",
            hint="A regular expression that has to be found in the answer's body.",
            only="remote",
        ),
        Field(
            "remote_properties.verify_tls",
            "Verify the other side's certificate",
            "flag",
            only="remote",
            default=True,
        ),
        Field(
            "remote_properties.ca_file",
            "Authorities to trust",
            hint="An absolute path on the server, PEM.",
            only="remote",
        ),
        Field(
            "remote_properties.client_certificate_file",
            "Client certificate",
            hint="An absolute path on the server, PEM.",
            only="remote",
        ),
        Field(
            "remote_properties.client_key_file",
            "Client key",
            hint="Not needed when it is in the certificate's file.",
            only="remote",
        ),
        Field(
            "remote_properties.debug",
            "Record the lines of the exchange",
            "flag",
            "The output begins with request and answer.",
            only="remote",
        ),
    ),
    open=True,
)

WHEN: Final = Group(
    "when",
    "When",
    "The schedule names the ticks. Without one, and without parents, the job runs once, now.",
    (
        Field(
            "schedule",
            "Schedule",
            "schedule",
            "R[n]/start/interval, a cron expression, or several with | in between.",
        ),
        Field("timezone", "Time zone", hint="An IANA zone, such as Europe/Berlin; UTC if empty."),
        Field("jitter", "Jitter", hint="Spreads jobs: each starts so long after its ticks. " + _DURATION),
        Field("starts_at", "Not before", hint=_MOMENT),
        Field("expires_at", "Not after", hint=_MOMENT),
        Field(
            "dst_gap",
            "A time of day that the clock skips",
            "choice",
            choices=(("run-after", "is due when the gap ends"), ("skip", "is not due that day")),
        ),
        Field(
            "dst_fold",
            "A time of day that comes twice",
            "choice",
            choices=(
                ("first", "is due the first time"),
                ("second", "is due the second time"),
                ("both", "is due both times"),
            ),
        ),
        Field("disabled", "Disabled", "flag", "Nothing starts it."),
        Field("ephemeral", "Ephemeral", "flag", "Deleted when a run of it has succeeded."),
    ),
    open=True,
)

TICKS: Final = Group(
    "ticks",
    "Overlap and catch-up",
    "What a tick does while a run is in flight, and what becomes of ticks that passed.",
    (
        Field(
            "overlap",
            "While a run is in flight, a tick",
            "choice",
            choices=(
                ("allow", "allow: starts another beside it"),
                ("skip", "skip: is skipped"),
                ("queue", "queue: waits for its end"),
                ("replace", "replace: waits for its end, and asks for it"),
            ),
        ),
        Field(
            "catch_up",
            "Of ticks that passed",
            "choice",
            choices=(
                ("", "as the next field but one says"),
                ("one", "one: the last starts a run that covers all"),
                ("none", "none: nothing, the job waits for the next"),
                ("all", "all: each gets a run, oldest first"),
            ),
        ),
        Field("catch_up_window", "Catch-up window", hint="With all: older ticks are not made up. " + _DURATION),
        Field(
            "resume_at_next_scheduled_time",
            "Do not make up passed ticks",
            "flag",
            "NextKala's; counts unless a catch-up is chosen.",
        ),
        Field(
            "starting_deadline",
            "Starting deadline",
            hint="A tick that could not start by then starts nothing. " + _DURATION,
        ),
    ),
)

RETRIES: Final = Group(
    "retries",
    "Retries",
    "A failed attempt of a run may be followed by another.",
    (
        Field("retries", "Retries", "number", "Further attempts of a failed run."),
        Field("retry_delay", "Delay", hint="Between the end of an attempt and its retry. " + _DURATION),
        Field("retry_backoff", "Backoff", "number", "By how much each further delay is longer: 2 doubles it."),
        Field("retry_max_delay", "Longest delay", hint=_DURATION),
        Field("retry_jitter", "Spread", "number", "How much of a delay is spread, 0 to 1."),
        Field("epsilon", "Epsilon", hint="How long after its tick a retry may begin. " + _DURATION),
        Field(
            "success_codes",
            "Exit codes that are a success",
            "numbers",
            "Separated by commas or spaces; 0 if empty.",
            only="local",
        ),
    ),
)

LIMITS: Final = Group(
    "limits",
    "Limits",
    "Within which limits, and as whom, each attempt is carried out; how much of a run is kept.",
    (
        Field("timeout", "Time limit of an attempt", hint=_DURATION),
        Field("user", "User", hint="By name or number; the server must run as root.", only="local"),
        Field("group", "Group", hint="By name or number; the server must run as root.", only="local"),
        Field("umask", "Umask", hint="Octal, such as 022.", only="local"),
        Field("nice", "Nice", "number", "-20 to 19, added to the server's own.", only="local"),
        Field("memory_limit", "Memory", "size", "Address space of each process, in bytes, or 256M.", only="local"),
        Field("cpu_limit", "CPU time", "number", "Seconds; then SIGXCPU, and KILL 5 s later.", only="local"),
        Field("open_files_limit", "Open files", "number", only="local"),
        Field("max_output", "Recorded output of an attempt", "size", "Bytes, or 10M; both channels together."),
        Field(
            "on_max_output",
            "Beyond that",
            "choice",
            choices=(
                ("", "the first is kept (if not said)"),
                ("truncate-tail", "truncate-tail: the first is kept"),
                ("truncate-head", "truncate-head: the newest is kept"),
                ("kill", "kill: the attempt is ended, and has failed"),
            ),
        ),
        Field("keep_runs", "Keep the output of so many runs", "number", "0 leaves it to the server."),
        Field("keep_for", "Keep output for", hint="After a run's end. Empty leaves it to the server. " + _DURATION),
        Field("keep_output_bytes", "Keep so much output in all", "number", "Bytes; 0 leaves it to the server."),
    ),
)

ENDS: Final = Group(
    "ends",
    "Notices and processors",
    "Who is told of what, and who is handed the output.",
    (
        Field("notify", "Notices", "targets"),
        Field(
            "expected_duration",
            "Expected duration",
            hint="A run that takes longer is overdue; it goes on. " + _DURATION,
        ),
        Field("processors", "Processors", "processors", "Handed the output of runs, in this order."),
    ),
)

LINKS: Final = Group(
    "links",
    "Dependencies",
    "A child runs after its parents and has no ticks of its own.",
    (
        Field("parent_jobs", "Parents", "texts", "Ids of jobs: this one is their child."),
        Field(
            "dependency_policy",
            "With several parents it runs",
            "choice",
            choices=(("all", "all: when all have succeeded"), ("any", "any: after each of them")),
        ),
        Field("dependent_jobs", "Dependents", "texts", "Ids of jobs that run after this one's success."),
        Field("on_failure_job", "Failure handler", hint="The id of the job that runs after this one's failure."),
    ),
)

WORDS: Final = Group(
    "words",
    "Owner and labels",
    "By which people and programs find it.",
    (
        Field("owner", "Owner", hint="A mail address, if notices go to mail."),
        Field("labels", "Labels", "map", "Words to find the job by."),
        Field("node_tags", "Node tags", "map", "Those of the nodes that may run it."),
        Field("managed_by", "Managed by", hint="From where it is kept in step; empty when it is made by hand."),
    ),
)

GROUPS: Final = (WHAT, WHEN, TICKS, RETRIES, LIMITS, ENDS, LINKS, WORDS)
FIELDS: Final[Mapping[str, Field]] = {field.key: field for group in GROUPS for field in group.fields}


def label_of(key: str) -> str:
    """What people call a key; the key itself if nobody does."""
    field = FIELDS.get(key)
    return field.label if field else key


def said(definition: Mapping[str, object]) -> Iterable[tuple[Group, list[tuple[Field, object]]]]:
    """The groups of which a definition says something, each with those fields. Keys of the request have their dot."""
    for group in GROUPS:
        found = [(field, definition[field.key]) for field in group.fields if field.key in definition]
        if found:
            yield group, found


MOST_CHARS: Final = 2_000
"""Of a value's text that are shown."""


def shown(field: Field, value: object) -> str:
    """A field's value as people read it."""
    if field.choices:
        return dict(field.choices).get(str(value), str(value))
    if field.kind == "targets" and isinstance(value, list | tuple):
        return "\n".join(map(_target, value)) or "nobody"
    return written(value)


def _target(target: Mapping[str, Any]) -> str:
    return f"{target['to']} of {', '.join(target['when'])}"


def written(value: object, most: int = MOST_CHARS) -> str:
    """Any value of a definition: lists and maps a line each, what is nested as JSON; of a long one the beginning."""
    match value:
        case None:
            text = ""
        case bool():
            text = "yes" if value else "no"
        case dict():
            text = "\n".join(f"{key}: {_inner(each)}" for key, each in value.items())
        case list() | tuple():
            text = "\n".join(map(_inner, value))
        case _:
            text = str(value)
    more = len(text) - most
    return text if more <= 0 else f"{text[:most]} … and {more} characters more"


def _inner(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
