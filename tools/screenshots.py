"""Write docs/screenshots/ anew: each page of the web UI, light and dark, on a desktop and on a phone; small ones where
there is a pngquant.

The server is a real one, on a log with a believable past, and some of its jobs run while the pictures are taken.
"""

import argparse
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import trio
from playwright.sync_api import Page

from bench.believable import fill, past
from kala_es.domain.ids import SECOND, Instant
from tests.servers import Server
from tests.system.browser import DESKTOP, PHONE, chromium, looking

WHERE: Final = Path(__file__).resolve().parents[1] / "docs" / "screenshots"
SIZES: Final = {"desktop": DESKTOP, "phone": PHONE}
Look = Callable[[Page], None]


def nothing(page: Page) -> None:
    """The page as it is."""


def into_a_run(page: Page) -> None:
    """From the overview to the page of a run that is under way, with something searched for."""
    page.locator('#flights a[href^="/webui/runs/"]', has_text="Import orders").click()
    page.get_by_role("searchbox", name="Search the output").fill("address")
    page.wait_for_timeout(1500)


def yesterday(page: Page) -> None:
    """A moment of the past."""
    page.get_by_role("button", name="Yesterday").click()
    page.wait_for_url("**/at/?at=*")
    page.wait_for_timeout(800)


PAGES: Final[dict[str, tuple[str, Look]]] = {
    "overview": ("/webui/", nothing),
    "jobs": ("/webui/jobs/", nothing),
    "run": ("/webui/", into_a_run),
    "job": ("/webui/jobs/pg-backup/", nothing),
    "job-form": ("/webui/jobs/pg-backup/edit", nothing),
    "calendar": ("/webui/calendar/", nothing),
    "events": ("/webui/events/", nothing),
    "at": ("/webui/at/", yesterday),
    "settings": ("/webui/settings/", nothing),
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
            time.sleep(12)
            yield server


def take(server: Server, wanted: list[str]) -> None:
    """All pictures of the wanted pages."""
    with chromium() as browser:
        for colours in ("light", "dark"):
            for size, viewport in SIZES.items():
                with looking(browser, viewport=viewport, color_scheme=colours, device_scale_factor=1) as eyes:
                    for name in wanted:
                        path, look = PAGES[name]
                        eyes.page.goto(server.url.rstrip("/") + path)
                        eyes.page.wait_for_timeout(1500)
                        look(eyes.page)
                        shoot(eyes.page, WHERE / f"{name}-{size}-{colours}.png", full=size == "phone")


def shoot(page: Page, file: Path, *, full: bool) -> None:
    """One picture, of a phone the whole page, though not without end."""
    clip: Any = None
    if full:
        height = min(page.evaluate("document.documentElement.scrollHeight"), 1700)
        clip = {"x": 0, "y": 0, "width": PHONE["width"], "height": height}
    page.screenshot(path=file, full_page=full, clip=clip, animations="disabled")
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
