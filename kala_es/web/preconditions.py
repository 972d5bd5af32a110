"""What must be so for a request to be carried out (RFC 9110, section 13): a job has this definition, or is new.

The tag of a definition is in `Job-Definition`, not in ETag: an answer about a job also has what changes by itself.
"""

from typing import Final

from kala_es.domain.definition import tag_of
from kala_es.domain.errors import Invalid
from kala_es.domain.model import Job
from kala_es.web.exchange import Request
from kala_es.web.table import Parameter, Reply

IF_MATCH: Final = Parameter(
    name="If-Match", kind="string", about="Only if the job still has this definition; its tag, quoted.", where="header"
)
IF_NONE_MATCH: Final = Parameter(
    name="If-None-Match", kind="string", about="`*`: only if there is no job of this id.", where="header"
)
OVERTAKEN: Final = Reply(status=412, about="Somebody else was faster: it is not as If-Match says.", schema="Error")


def tag_header(job: Job) -> tuple[str, str]:
    """The header that tells a job's definition."""
    return "Job-Definition", f'"{tag_of(job.spec, disabled=job.disabled)}"'


def wanted_definitions(request: Request) -> tuple[str, ...] | None:
    """The tags that If-Match names, None for any definition. Raises Invalid."""
    text = request.headers.get("if-match")
    if text is None or text.strip() == "*":
        return None
    tags = tuple(each.strip() for each in text.split(","))
    if not all(len(tag) > 2 and tag[0] == tag[-1] == '"' for tag in tags):
        raise Invalid("If-Match", "names no definition: a tag in double quotes is one, as Job-Definition says it")
    return tuple(tag[1:-1] for tag in tags)


def must_be_new(request: Request) -> bool:
    """Whether there must be no such job. Raises Invalid."""
    text = request.headers.get("if-none-match")
    if text is not None and text.strip() != "*":
        raise Invalid("If-None-Match", "can only be *")
    return text is not None
