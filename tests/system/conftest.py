"""The browser, one for all tests of a process, and a page (browser.py), lent or a test's own. The same for servers."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.servers import IN_POSTGRES
from tests.system.browser import Eyes, Lent, chromium, looking
from tests.system.lives import Lives, keeping


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="session")
def lent_page(browser: Browser) -> Lent:
    return Lent(browser)


@pytest.fixture
def eyes(lent_page: Lent) -> Iterator[Eyes]:
    """A page, and what goes wrong in it: that fails the test at its end."""
    with lent_page.eyes() as lent:
        yield lent


@pytest.fixture
def page(eyes: Eyes) -> Page:
    """The page alone."""
    return eyes.page


@pytest.fixture
def own_page(browser: Browser) -> Iterator[Page]:
    """A page for a test that changes it for good: what it listens to, its clock, its scripts."""
    with looking(browser) as eyes:
        yield eyes.page


@pytest.fixture(scope="session")
def standing_on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Lives]]:
    """Gives the server whose log is kept in this, and that is lent to one test after another (`Lives.lent`)."""
    with ExitStack() as at_the_end:

        @cache
        def standing(kind: str) -> Lives:
            directory = tmp_path_factory.mktemp("standing")
            return at_the_end.enter_context(Lives(directory, *keeping(kind, directory), "--on-stop", "cancel"))

        yield standing


@pytest.fixture
def standing(standing_on: Callable[[str], Lives]) -> Lives:
    """The one of most tests."""
    return standing_on("postgres" if IN_POSTGRES else "lmdb")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Lives]:
    """A server on an empty log, for a test that ends it, or that counts all that ever was."""
    with Lives(tmp_path / "server", "--on-stop", "cancel") as running:
        yield running
