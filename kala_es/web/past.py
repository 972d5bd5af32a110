"""`?at=`: what is asked of the jobs, as it was known at a moment of the past."""

from kala_es.domain.errors import Invalid
from kala_es.projections.folds import Folds
from kala_es.replay.moments import NotKnown, moment_of
from kala_es.web.exchange import Request
from kala_es.web.site import Site


async def folds_of(request: Request, site: Site, *, patience: float = 0.0) -> Folds:
    """The folds that a request is about: those of now, or at a time or a position. Raises Invalid, Overloaded."""
    text = request.query.get("at")
    if not text:
        return site.scheduler.folds
    try:
        return await site.scheduler.past(moment_of(text.replace(" ", "+"), "at"), patience=patience)
    except NotKnown as error:
        raise Invalid("at", str(error)) from None
