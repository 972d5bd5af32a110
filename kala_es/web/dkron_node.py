"""The node over Dkron's API: its health, its cluster of one, its pause for new definitions, and restore."""

from io import BytesIO
from typing import Final

from werkzeug.exceptions import HTTPException
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from kala_es.dialects import dkron, dkron_node
from kala_es.dialects.dkron_work import EXECUTORS
from kala_es.dialects.go_json import dumps
from kala_es.domain.declared import Declaration
from kala_es.domain.errors import Invalid, NotFound
from kala_es.domain.tick_policy import PauseDraft
from kala_es.options import schema_of_options
from kala_es.web.body import parsed
from kala_es.web.dkron_replies import answer
from kala_es.web.exchange import Request, Response
from kala_es.web.site import Site

_FILE: Final = "file"
_LEFT: Final = "this node has left the cluster (POST /v1/leave)"


async def get_v1_health(request: Request, site: Site) -> Response:
    """GET /health."""
    if site.edge.ready():
        return answer(request, {"status": "healthy", "leader": True})
    return answer(request, {"status": "unhealthy", "issues": ["it is starting, stopping, or has no room"]}, 503)


async def get_v1_index(request: Request, site: Site) -> Response:
    """GET /v1."""
    return answer(request, dkron_node.index_fields(_here(site)))


def _here(site: Site) -> dkron_node.Here:
    host, port = site.edge.address
    tags = site.scheduler.rules.tags
    return dkron_node.Here(node=site.edge.node, version=site.edge.version, host=host, port=port, tags=tags)


def _member(site: Site) -> dict[str, object]:
    return dkron_node.member_fields(_here(site))


async def list_v1_members(request: Request, site: Site) -> Response:
    """GET /v1/members."""
    return answer(request, [_member(site)], headers=(("X-Total-Count", "1"),))


async def get_v1_leader(request: Request, site: Site) -> Response:
    """GET /v1/leader."""
    return answer(request, _member(site))


async def get_v1_isleader(request: Request, site: Site) -> Response:
    """GET /v1/isleader."""
    return answer(request, "I am a leader")


async def list_v1_executors(request: Request, site: Site) -> Response:
    """GET /v1/executors: ours, and those that packages bring."""
    ours = {name: schema_of_options(executor.options) for name, executor in EXECUTORS.items()}
    found = sorted({**ours, **await site.scheduler.executors.schemas()}.items())
    return answer(request, [dkron_node.executor_fields(name, schema) for name, schema in found])


async def leave_v1(request: Request, site: Site) -> Response:
    """POST /v1/leave: it starts nothing more by its schedules, and goes on answering."""
    await site.scheduler.pause(None, PauseDraft(reason=_LEFT), request.origin())
    return answer(request, {})


async def get_v1_pause(request: Request, site: Site) -> Response:
    """GET /v1/pause."""
    return answer(request, {"paused": site.submissions.paused})


async def pause_v1(request: Request, site: Site) -> Response:
    """POST /v1/pause: no more new definitions; schedules go on."""
    site.submissions.paused = True
    return await get_v1_pause(request, site)


async def unpause_v1(request: Request, site: Site) -> Response:
    """POST /v1/unpause."""
    site.submissions.paused = False
    return await get_v1_pause(request, site)


async def restore_v1(request: Request, site: Site) -> Response:
    """POST /v1/restore: the jobs of a backup, all or none. The answer is a JSON text that holds an array, as there."""
    kind = request.headers.get("content-type", "")
    read = await parsed(request.body, lambda form: dkron.parse_jobs(_file_in(form, kind)))
    jobs = site.scheduler.folds.jobs.by_id
    drafts = {}
    for each in read:
        try:
            draft = dkron.draft_of(each, jobs, default_owner=site.edge.default_owner)
        except Invalid as error:
            raise Invalid(f"jobs.{each.get('name', '')}.{error.field}", error.reason, error.column) from None
        drafts[draft.id] = draft  # of two with one name the last counts, as there
    declaration = Declaration(jobs=tuple(drafts.values()), begun=True, raises_counters=True)
    await site.scheduler.apply(declaration, request.origin())
    return answer(request, dumps([f"success create {job}" for job in drafts]).decode().rstrip("\n"))


def _file_in(form: bytes, content_type: str) -> bytes:
    """The part `file` of a form. Raises NotFound, Invalid."""
    kind, options = parse_options_header(content_type)
    try:
        _, _, files = FormDataParser().parse(BytesIO(form), kind, len(form), options)
    except (HTTPException, ValueError) as error:
        raise Invalid("", f"the body is no form that can be read: {error}") from None
    contents: dict[str, bytes] = {}
    for name, file in files.items():
        with file.stream:
            contents[name] = file.read()
    if _FILE not in contents:
        raise NotFound("there is no part `file` in the form; send one: curl --form file=@backup.json")
    return contents[_FILE]
