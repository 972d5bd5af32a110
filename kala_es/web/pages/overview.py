"""The overview: what runs now, what failed, what comes next, how the server is."""

from kala_es.web.edge import Site
from kala_es.web.exchange import Request, Response


async def show_overview(request: Request, site: Site) -> Response:
    """GET /webui/."""
    return site.pages.render("overview.html", {"here": "overview", "site": site})
