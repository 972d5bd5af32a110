"""A browser for tests: Debian's Chromium, driven by Playwright, that takes nothing amiss silently.

1. An error in a page's console, an exception in a script and a request that found nobody fail the test, unless it has
   said before that it expects one (`eyes.forgive`).
2. Nothing is loaded from anywhere but the server under test; a page that tries fails the test.
3. Accessibility is checked by axe-core, which comes with axe-playwright-python.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.programs import needs

ARGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESKTOP: Final = {"width": 1280, "height": 800}
PHONE: Final = {"width": 390, "height": 844}
WAIT_MS: Final = 15_000
SERIOUS: Final = ("serious", "critical")
_LEFT: Final = re.compile("net::ERR_ABORTED|NS_BINDING_ABORTED")
"""A request that the page itself gave up: it was left, or a stream was closed."""


class Eyes:
    """What went wrong in a page. `page` is Playwright's."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: list[str] = []
        self._forgiven: list[re.Pattern[str]] = []
        page.set_default_timeout(WAIT_MS)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))
        page.on("requestfailed", self._failed)
        page.on("request", self._asked)

    def forgive(self, pattern: str) -> None:
        """Faults with this in them are expected."""
        self._forgiven.append(re.compile(pattern))

    def check(self) -> None:
        """Raise AssertionError when something went wrong that was not expected."""
        faults = [fault for fault in self.faults if not any(p.search(fault) for p in self._forgiven)]
        assert not faults, "\n".join(faults)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"console: {message.text} ({message.location.get('url', '')})")

    def _failed(self, request: Request) -> None:
        if not _LEFT.search(request.failure or ""):
            self.faults.append(f"request: {request.url}: {request.failure}")

    def _asked(self, request: Request) -> None:
        if not re.match(r"(?:http://127\.0\.0\.1:\d+/|data:|blob:|about:)", request.url):
            self.faults.append(f"loaded from elsewhere: {request.url}")


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser. Skips the test when there is none, but in CI, where that is a failure."""
    program = needs("chromium", "chromium")
    with sync_playwright() as playwright:
        expect.set_options(timeout=WAIT_MS)
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def looking(browser: Browser, **context: Any) -> Iterator[Eyes]:
    """A fresh page, with no storage of earlier ones; `context` is Playwright's: viewport, color_scheme, locale.

    Unless that says otherwise, nothing moves by itself: a badge that breathes has the browser draw without a pause."""
    settings = {
        "viewport": DESKTOP,
        "locale": "en-GB",
        "timezone_id": "Europe/Berlin",
        "reduced_motion": "reduce",
        **context,
    }
    opened = browser.new_context(**settings)
    try:
        eyes = Eyes(opened.new_page())
        yield eyes
        eyes.check()
    finally:
        opened.close()


def no_serious_violations(page: Page) -> None:
    """Raise AssertionError when axe-core finds a serious violation on the page as it is now."""
    found = Axe().run(page)
    serious = [violation for violation in found.response["violations"] if violation["impact"] in SERIOUS]
    said = [
        f"{violation['id']}: {violation['help']}\n  " + "\n  ".join(node["html"] for node in violation["nodes"][:5])
        for violation in serious
    ]
    assert not said, "\n".join(said)
