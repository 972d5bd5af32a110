"""The browser, one for all tests of a process, and a page of a test's own (browser.py)."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.system.browser import Eyes, chromium, looking


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def eyes(browser: Browser) -> Iterator[Eyes]:
    """A page, and what goes wrong in it: that fails the test at its end."""
    with looking(browser) as opened:
        yield opened


@pytest.fixture
def page(eyes: Eyes) -> Page:
    """The page alone."""
    return eyes.page
