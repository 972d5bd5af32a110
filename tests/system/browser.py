"""A browser for tests: Debian's Chromium, driven by Playwright, that takes nothing amiss silently.

1. An error in a page's console, an exception in a script and a request that found nobody fail the test, unless it has
   said before that it expects one (`eyes.forgive`).
2. Nothing is loaded from anywhere but the server under test; a page that tries fails the test.
3. Accessibility is checked by axe-core, which comes with axe-playwright-python.

A page takes longer to be made than most tests take with it. So one is lent to one test after another (`Lent`).
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, ViewportSize, expect, sync_playwright

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
DESKTOP: Final[ViewportSize] = {"width": 1280, "height": 800}
PHONE: Final[ViewportSize] = {"width": 390, "height": 844}
WAIT_MS: Final = 15_000
SERIOUS: Final = ("serious", "critical")
_LEFT: Final = re.compile("net::ERR_ABORTED|NS_BINDING_ABORTED")
"""A request that the page itself gave up: it was left, or a stream was closed."""
_BLANK: Final = "http://127.0.0.1:9/"
"""What a page shows that forgets. It is of the same site as all that tests look at: for another one the browser would
begin a process."""


class Eyes:
    """What went wrong in a page. `page` is Playwright's."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: list[str] = []
        self._forgiven: list[re.Pattern[str]] = []
        self._origins: set[str] = set()
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

    def forget(self) -> None:
        """Let it be as a fresh page of the usual kind: it shows nothing, and nothing is kept of where it was."""
        self.page.unroute_all(behavior="ignoreErrors")
        self.page.route(_BLANK, lambda route: route.fulfill(content_type="text/html", body=""))
        self.page.goto(_BLANK)
        self.page.unroute_all()
        devtools = self.page.context.new_cdp_session(self.page)
        for origin in self._origins:
            devtools.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"})
        devtools.send("Page.resetNavigationHistory")
        devtools.detach()
        self.page.set_viewport_size(DESKTOP)
        self.page.mouse.move(0, 0)
        for known in (self.faults, self._forgiven, self._origins):
            known.clear()

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"console: {message.text} ({message.location.get('url', '')})")

    def _failed(self, request: Request) -> None:
        if not _LEFT.search(request.failure or ""):
            self.faults.append(f"request: {request.url}: {request.failure}")

    def _asked(self, request: Request) -> None:
        if not re.match(r"(?:http://127\.0\.0\.1:\d+/|data:|blob:|about:)", request.url):
            self.faults.append(f"loaded from elsewhere: {request.url}")
        self._origins.add("{0.scheme}://{0.netloc}".format(urlsplit(request.url)))


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
    """A fresh page, with no storage of earlier ones; `context` is as `opened` has it."""
    eyes = opened(browser, **context)
    try:
        yield eyes
        eyes.check()
    finally:
        eyes.page.context.close()


def opened(browser: Browser, **context: Any) -> Eyes:
    """A page in a context of its own; `context` is Playwright's: viewport, color_scheme, locale.

    Unless that says otherwise, nothing moves by itself: a badge that breathes has the browser draw without a pause."""
    settings = {
        "viewport": DESKTOP,
        "locale": "en-GB",
        "timezone_id": "Europe/Berlin",
        "reduced_motion": "reduce",
        **context,
    }
    return Eyes(browser.new_context(**settings).new_page())


class Lent:
    """A page of the usual kind that one test after another looks at. If it cannot forget one, the next gets another."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._kept: Eyes | None = None

    @contextmanager
    def eyes(self) -> Iterator[Eyes]:
        """The page, for a test that does to it only what `Eyes.forget` undoes."""
        eyes, self._kept = self._kept or opened(self._browser), None
        try:
            yield eyes
            eyes.check()
            eyes.forget()
        except BaseException:
            eyes.page.context.close()
            raise
        self._kept = eyes


def said(page: Page) -> Any:
    """What the JSON beside a job's form says."""
    beside = page.get_by_label("The job as the API takes it")
    expect(beside).not_to_have_value("")
    return json.loads(beside.input_value())


def no_serious_violations_in_any_colours(page: Page) -> None:
    """The same in the light and in the dark, which differ by their colours alone."""
    no_serious_violations(page)
    page.emulate_media(color_scheme="dark")
    no_serious_violations(page, only=["color-contrast"])
    page.emulate_media(color_scheme="light")


def no_serious_violations(page: Page, *, only: Sequence[str] = ()) -> None:
    """Raise AssertionError when axe-core finds a serious violation on the page as it is now; `only` names rules."""
    expect(page.locator("#entered:disabled")).to_have_count(0)  # a form is filled by its script
    rules = {"runOnly": list(only)} if only else {}
    found = Axe().run(page, options={"resultTypes": ["violations"], **rules})
    serious = [violation for violation in found.response["violations"] if violation["impact"] in SERIOUS]
    told = [
        f"{violation['id']}: {violation['help']}\n  " + "\n  ".join(node["html"] for node in violation["nodes"][:5])
        for violation in serious
    ]
    assert not told, "\n".join(told)
