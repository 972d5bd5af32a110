"""The jobs as they were, of a log that takes a while to be read: the page is there at once, and fills itself."""

from pathlib import Path

import pytest
import trio
from playwright.sync_api import Route, expect

from bench.believable import fill
from bench.dashboards import history
from tests.servers import Server
from tests.system.browser import Eyes, no_serious_violations
from tests.system.lives import keeping

pytestmark = [pytest.mark.system, pytest.mark.slow]
JOBS, RUNS = 40, 80_000


def later(route: Route) -> None:
    """Let a request wait, so that what is there before its answer can be seen."""
    route.request.frame.page.wait_for_timeout(1500)
    route.continue_()


def test_a_past_that_takes_long_is_put_into_the_page(eyes: Eyes, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    trio.run(fill, tmp_path / "data", history(JOBS, RUNS))
    page = eyes.page
    with Server.start(tmp_path, *keeping("lmdb", tmp_path)) as server:
        page.route("**/webui/at/*wait=true*", later)
        page.goto(f"{server.url.rstrip('/')}/webui/at/?at={JOBS + RUNS}", wait_until="domcontentloaded")
        expect(page.get_by_text("Reading the log up to that moment")).to_be_visible()
        no_serious_violations(page)
        table = page.get_by_role("table", name="Jobs as they were")
        expect(table.get_by_role("row")).to_have_count(JOBS + 1, timeout=60_000)
        expect(page.get_by_text("Reading the log up to that moment")).to_have_count(0)
        expect(table.locator("time").first).not_to_contain_text("UTC")
        no_serious_violations(page)
