"""The files that pages load, over HTTP."""

from typing import Final

from kala_es.domain.errors import NotFound
from kala_es.web.exchange import Request, Response
from kala_es.web.site import Site

_FOR_EVER: Final = "public, max-age=31536000, immutable"
_ASK: Final = "no-cache"


async def get_asset(request: Request, site: Site) -> Response:
    """GET /webui/static/{digest}/{name}."""
    assets = site.pages.assets
    asset = assets.get(request.params["name"])
    if asset is None:
        raise NotFound(f"there is no file {request.params['name']}")
    keep = _FOR_EVER if request.params["digest"] == assets.digest else _ASK
    headers = (("ETag", asset.etag), ("Cache-Control", keep), ("X-Content-Type-Options", "nosniff"))
    known = {each.strip() for each in request.headers.get("if-none-match", "").split(",")}
    if known & {asset.etag, f"W/{asset.etag}", "*"}:
        return Response(status=304, headers=headers)
    return Response(body=asset.content, headers=(("Content-Type", asset.kind), *headers))
