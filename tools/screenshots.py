"""Write docs/screenshots/ anew: each page of the web UI, light and dark, on a desktop and on a phone; small ones where
there is a pngquant.

The server is a real one, on a log with a believable past, and some of its jobs run while the pictures are taken.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trio
from playwright.sync_api import Page

from bench.believable import fill, past
from kala_es.domain.ids import SECOND, Instant
from tests.servers import Server
from tests.system.browser import DESKTOP, PHONE, chromium, looking

WHERE: Final = Path(__file__).resolve().parents[1] / "docs" / "screenshots"
SIZES: Final[dict[str, Any]] = {"desktop": DESKTOP, "phone": PHONE}
MOST_HEIGHT: Final = 1700


def nothing(page: Page) -> None:
    """The page as it is."""


def into_a_run(page: Page) -> None:
    """From the overview to the page of a run that is under way, with something searched for."""
    page.locator('#flights a[href^="/webui/runs/"]', has_text="Import orders").first.click()
    page.get_by_role("searchbox", name="Search the output").fill("address")
    page.wait_for_timeout(1500)


def yesterday(page: Page) -> None:
    """A moment of the past."""
    page.get_by_role("button", name="Yesterday").click()
    page.wait_for_url("**/at/?at=*")
    page.wait_for_timeout(800)


@dataclass(frozen=True, kw_only=True)
class View:
    """A page at an address, and what is done there first. For a `whole` page the window is as high as the page."""

    path: str
    look: Callable[[Page], None] = nothing
    whole: bool = False


PAGES: Final = {
    "overview": View(path="/webui/", whole=True),
    "jobs": View(path="/webui/jobs/"),
    "run": View(path="/webui/", look=into_a_run),
    "job": View(path="/webui/jobs/orders-import/", whole=True),
    "job-form": View(path="/webui/jobs/pg-backup/edit", whole=True),
    "changes": View(path="/webui/jobs/orders-import/changes/"),
    "calendar": View(path="/webui/calendar/", whole=True),
    "calendar-day": View(path="/webui/calendar/?view=day"),
    "events": View(path="/webui/events/"),
    "at": View(path="/webui/at/", look=yesterday),
    "settings": View(path="/webui/settings/", whole=True),
}


@contextmanager
def shop() -> Iterator[Server]:
    """A server with a past, and some runs under way."""
    with tempfile.TemporaryDirectory() as directory:
        events = past(Instant(time.time_ns() // 1000 - 2 * SECOND))
        data = Path(directory) / "data"
        data.mkdir()
        trio.run(fill, data, events)
        with Server.start(Path(directory), "--on-stop", "cancel") as server:
            for job in ("pg-backup", "orders-import"):
                asked = server.request("POST", f"/api/v1/job/start/{job}/", headers={"Prefer": "respond-async"})
                assert asked.status == 202, asked.body
            change(server, "orders-import", retries=2, retry_delay="PT30S", timeout="PT15M")
            time.sleep(12)
            yield server


def change(server: Server, job: str, **fields: object) -> None:
    """Edit a job, as its form does."""
    address = f"/api/v1/job/{job}/"
    edited = server.get(address).json["job"] | {"dependent_jobs": [], **fields}  # its children name it themselves
    answer = server.request("PUT", address, json.dumps(edited).encode())
    assert answer.status in (200, 204), answer.body


def take(server: Server, wanted: list[str]) -> None:
    """All pictures of the wanted pages."""
    with chromium() as browser:
        for colours in ("light", "dark"):
            for size, viewport in SIZES.items():
                with looking(browser, viewport=viewport, color_scheme=colours, device_scale_factor=1) as eyes:
                    for name in wanted:
                        view = PAGES[name]
                        eyes.page.set_viewport_size(viewport)
                        eyes.page.goto(server.url.rstrip("/") + view.path)
                        eyes.page.wait_for_timeout(1500)
                        view.look(eyes.page)
                        if view.whole:
                            eyes.page.set_viewport_size(viewport | {"height": height_of(eyes.page)})
                            eyes.page.wait_for_timeout(300)
                        shoot(eyes.page, WHERE / f"{name}-{size}-{colours}.png", beyond=size == "phone")


def height_of(page: Page) -> int:
    """How high a page is, within reason."""
    return min(int(page.evaluate("document.documentElement.scrollHeight")), MOST_HEIGHT)


def shoot(page: Page, file: Path, *, beyond: bool) -> None:
    """One picture, of the window or of what is `beyond` it, too."""
    if beyond:
        page.evaluate("scrollTo(0, 0)")
    clip: Any = {"x": 0, "y": 0, "width": PHONE["width"], "height": height_of(page)} if beyond else None
    page.screenshot(path=file, full_page=beyond, clip=clip, animations="disabled")
    squeeze = shutil.which("pngquant")
    if squeeze is not None:
        subprocess.run([squeeze, "--force", "--ext", ".png", "--strip", "96", str(file)], check=True)


def main() -> None:
    """Take them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", choices=[[], *PAGES], default=[])
    wanted = parser.parse_args().pages or list(PAGES)
    WHERE.mkdir(parents=True, exist_ok=True)
    with shop() as server:
        take(server, wanted)


if __name__ == "__main__":
    main()
