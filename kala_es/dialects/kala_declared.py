"""Jobs as they are declared: what of a job's JSON its owner gave, the request to apply many, and the plan as an answer.

A declared job has the API's own keys, those that say something: not its id, which is its place, and nothing that the
server keeps.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, get_args

from kala_es import limits
from kala_es.dialects import go_json, kala
from kala_es.dialects.go_json import Malformed, dumps, struct
from kala_es.domain.declared import Action, Declaration, Refused, Step
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import Instant, JobId
from kala_es.domain.model import Job, JobDraft
from kala_es.domain.values import replace

NOT_DECLARED: Final = frozenset({"id", "managed_by", "next_run_at", "metadata", "is_done", "paused"})
"""The keys of a job that say which it is, or that the server keeps."""
APPLY: Final = "apply"
"""Whom jobs are managed by, if the request does not say."""
_REMOTE: Final = "remote_properties"
_SPEAK_WHEN_EMPTY: Final = frozenset({"notify", "verify_tls"})
"""The keys of which an empty list, or false, says something: nobody is told, nothing is verified."""
_REQUEST: Final = struct(
    ("jobs", "jobs", lambda value, _: value),
    ("managed_by", "managed_by", go_json.text),
    ("prune", "prune", go_json.flag),
    ("begun", "begun", go_json.flag),
    ("dry_run", "dry_run", go_json.flag),
)


def declared(job: Mapping[str, Any]) -> dict[str, Any]:
    """The declaration that a job's JSON object comes from."""
    said = {key: value for key, value in job.items() if key not in NOT_DECLARED}
    said[_REMOTE] = _speaking(said.get(_REMOTE) or {})
    return _speaking(said)


def _speaking(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Without what says as much as its absence."""
    return {key: value for key, value in fields.items() if value or (key in _SPEAK_WHEN_EMPTY and value is not None)}


def without_children(jobs: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """A list of jobs as declarations: a child names its parents, so it need not stand among their dependents."""
    children: dict[str, set[str]] = {}
    for job, fields in jobs.items():
        for parent in fields.get("parent_jobs") or ():
            children.setdefault(parent, set()).add(job)
    found: dict[str, dict[str, Any]] = {}
    for job, fields in jobs.items():
        named = [each for each in fields.get("dependent_jobs") or () if each not in children.get(job, ())]
        found[job] = declared({**fields, "dependent_jobs": named})
    return found


def parse_apply(body: bytes, *, default_owner: str = "") -> Declaration:
    """The request to apply jobs. What is wrong about one job is noted; Invalid is about the whole."""
    read = go_json.fields(go_json.loads(body), _REQUEST)
    jobs = read.pop("jobs", None)
    if type(jobs) is not dict:
        raise Malformed("jobs", "must be an object: id to job")
    if len(jobs) > limits.MAX_BULK_JOBS:
        raise Invalid("jobs", f"more than {limits.MAX_BULK_JOBS} jobs")
    managed_by = read.pop("managed_by", "") or APPLY
    drafts: list[JobDraft] = []
    refused: list[Refused] = []
    for job, value in jobs.items():
        try:
            drafts.append(_read(job, value, (default_owner, managed_by)))
        except Invalid as error:
            refused.append(Refused(job=JobId(job), field=error.field, reason=error.reason))
    return Declaration(jobs=tuple(drafts), refused=tuple(refused), managed_by=managed_by, **read)


def _read(job: str, value: Any, given: tuple[str, str]) -> JobDraft:
    default_owner, managed_by = given
    if type(value) is not dict:
        raise go_json.mismatch(value, "", "an object")
    draft = kala.read_job({**value, "id": job}, default_owner)
    if draft.id is None:
        raise Invalid("id", "must not be empty")
    return replace(draft, spec=replace(draft.spec, managed_by=managed_by))


def plan_json(steps: Sequence[Step], *, dry_run: bool, only_counts: bool = False) -> bytes:
    """What became of each job, or would; or only of how many what did."""
    actions = [step.action for step in steps]
    counts = {action: actions.count(action) for action in get_args(Action)}
    return dumps({"dry_run": dry_run, "counts": counts, "plan": [] if only_counts else list(map(_step, steps))})


def _step(step: Step) -> dict[str, Any]:
    row: dict[str, Any] = {"id": step.job, "action": step.action}
    if step.refused is not None:
        row |= {"field": step.refused.field, "reason": step.refused.reason}
    elif step.action in ("create", "change"):
        row["fields"] = fields_json(step.before, step.after)
    return row


def fields_json(before: JobDraft | None, after: JobDraft | None) -> dict[str, Any]:
    """What differs between two definitions: key -> [before, after]."""
    return {key: list(pair) for key, pair in differences(definition(before), definition(after))}


def declaration_of(draft: JobDraft) -> dict[str, Any]:
    """A draft as it is declared, with its counters."""
    fields = _fields(draft)
    return declared(fields) | {"metadata": fields["metadata"]}


def _fields(draft: JobDraft) -> dict[str, Any]:
    assert draft.id is not None
    never = Instant(0)
    job = Job(
        id=draft.id,
        spec=draft.spec,
        disabled=draft.disabled,
        counters=draft.counters,
        born=never,
        planned=never,
        answered=never,
        next_tick=None,
    )
    return kala.job_fields(job, ())


def definition(draft: JobDraft | None) -> dict[str, Any]:
    """The keys of a definition, those of the remote request one by one."""
    if draft is None or draft.id is None:
        return {}
    said = declared(_fields(draft))
    remote = said.pop(_REMOTE, {})
    managed = {"managed_by": draft.spec.managed_by} if draft.spec.managed_by else {}
    return said | {f"{_REMOTE}.{key}": value for key, value in remote.items()} | managed


def differences(before: dict[str, Any], after: dict[str, Any]) -> Iterable[tuple[str, tuple[Any, Any]]]:
    """The keys of two definitions that differ, with both values; None for one that is not there."""
    for key in dict.fromkeys((*before, *after)):
        if before.get(key) != after.get(key):
            yield key, (before.get(key), after.get(key))
