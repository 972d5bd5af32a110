"""A run's page for browser tests: programs whose output is known, and how the rows of the viewer are read."""

import shlex
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.system.lives import Lives

PRINTER = """
import os, sys, time
out, err = sys.stdout.buffer, sys.stderr.buffer

def say(text, to=out):
    to.write(text if isinstance(text, bytes) else text.encode())
    to.flush()

def until(name):
    while not os.path.exists(os.path.join({directory!r}, name)):
        time.sleep(0.01)
"""
DRAWN = "() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))"
"""Waits until the page shows where it was scrolled to, however long a frame takes."""


def program(lives: Lives, body: str) -> str:
    """A command line that runs this Python; `say(text, err)` prints, `until(name)` waits for a file."""
    script = lives.directory / f"program-{len(list(lives.directory.glob('program-*')))}.py"
    script.write_text(PRINTER.format(directory=str(lives.directory)) + body)
    return shlex.join([sys.executable, str(script)])


def start(lives: Lives, job: str) -> str:
    """Start a run; its id."""
    answer = lives.server.request("POST", f"/api/v1/job/start/{job}/", headers={"Prefer": "respond-async"})
    assert answer.status == 202, answer.body
    return str(answer.headers["Location"]).split("/")[-2]


def begin(lives: Lives, body: str, **fields: Any) -> tuple[str, str]:
    """A job that runs this Python, and a run of it: their ids."""
    job = lives.make(**{"name": "a job", "command": program(lives, body), **fields})
    return job, start(lives, job)


def carried_out(lives: Lives, body: str, **fields: Any) -> tuple[str, str]:
    """The same, when the run is over."""
    job, run = begin(lives, body, **fields)
    lives.ended(job)
    return job, run


def address(lives: Lives, run: str) -> str:
    return f"{lives.server.url.rstrip('/')}/webui/runs/{run}/"


def show(page: Page, lives: Lives, run: str, fragment: str = "") -> None:
    """Open a run's page; its viewer has its lines."""
    page.goto(address(lives, run) + fragment)
    expect(page.locator('[data-part="size"]')).to_contain_text("line")


def state(page: Page) -> Locator:
    return page.locator('[data-run-part="state"] .badge')


def row(page: Page, number: int) -> Locator:
    """The row of a line, if it is in the page."""
    return page.locator(".line", has=page.locator(f'a.line-number[href="#L{number}"]')).locator(".line-text")


def rows(page: Page) -> dict[int, str]:
    """The rows that are in the page: number to text."""
    found: list[list[str]] = page.eval_on_selector_all(
        ".line:not(.waits)", "lines => lines.map(line => [...line.children].map(part => part.textContent))"
    )
    return {int(number): text for number, text in found}


def newest(page: Page) -> int:
    """The last line that is in the page; 0 for none."""
    return max(rows(page), default=0)


def all_rows(page: Page) -> dict[int, str]:
    """Every line, read by scrolling through all of them."""
    pane = page.locator('[data-part="pane"]')
    pane.evaluate("pane => { pane.scrollTop = 0 }")
    found: dict[int, str] = {}
    while True:
        pane.evaluate(DRAWN)
        expect(page.locator(".line.waits")).to_have_count(0)
        found |= rows(page)
        if pane.evaluate("pane => pane.scrollTop + pane.clientHeight >= pane.scrollHeight - 1"):
            return found
        pane.evaluate("pane => { pane.scrollTop += pane.clientHeight }")


def touch(lives: Lives, name: str) -> None:
    Path(lives.directory, name).touch()
