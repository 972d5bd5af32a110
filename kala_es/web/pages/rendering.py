"""From a template and values to a page: everything is escaped, and the browser is told what it may load and run.

1. Values are escaped by Jinja2; no template marks a value as safe, and none puts one into a script or a style.
2. Nothing inline: scripts and styles are files of ours (assets.py), values reach scripts in `data-` attributes.
3. A page is of this moment: it is not kept by the browser.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from kala_es.dialects.refusals import status_of
from kala_es.domain.errors import Refusal
from kala_es.web.exchange import Response
from kala_es.web.pages import words
from kala_es.web.pages.assets import Assets

_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
SAFETY: Final = (
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
)
"""What every page says about what it may do."""
_HTML: Final = (("Content-Type", "text/html;charset=UTF-8"), ("Cache-Control", "no-store"), *SAFETY)


def _environment(assets: Assets) -> Environment:
    made = Environment(
        loader=PackageLoader("kala_es.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "iso": words.iso,
        "utc": words.utc,
        "wall": words.wall,
        "lasting": words.lasting,
        "short": words.short,
        "size": words.size,
        "number": words.number,
        "json": words.json_text,
    }
    made.globals |= {
        "static": assets.address,
        "job_address": words.job_address,
        "run_address": words.run_address,
        "job_api": words.job_api,
        "run_api": words.run_api,
        "start_api": words.start_api,
        "delete_api": words.delete_api,
    }
    return made


@dataclass(slots=True)
class Pages:
    """The templates and the files beside them, read at the first page."""

    _ready: tuple[Assets, Environment] | None = field(default=None)

    @property
    def assets(self) -> Assets:
        """The files that pages load."""
        return self._read()[0]

    def render(self, template: str, values: dict[str, Any], *, status: int = 200) -> Response:
        """A page. `values` are the template's."""
        text = self._read()[1].get_template(template).render(values)
        return Response(status=status, body=text.encode("utf-8", "replace"), headers=_HTML)

    def _read(self) -> tuple[Assets, Environment]:
        if self._ready is None:
            assets = Assets()
            self._ready = (assets, _environment(assets))
        return self._ready


def refused(pages: Pages, error: Refusal) -> Response:
    """The page that says why there is none."""
    status = status_of(error)
    return pages.render("refused.html", {"here": "", "status": status, "reason": error.reason}, status=status)
