"""The web UI when others, or the network, do something at the same time; and with names that nobody expects."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Dialog, Page, Route, expect

from tests.system.browser import Eyes
from tests.system.lives import JOB, Lives

pytestmark = [pytest.mark.system, pytest.mark.slow]


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    with Lives(tmp_path, "--on-stop", "cancel") as lives:
        yield lives


def go(page: Page, lives: Lives, path: str) -> None:
    page.goto(lives.server.url.rstrip("/") + path)


def said(page: Page) -> Any:
    """What the JSON beside the form says."""
    return json.loads(page.get_by_label("The job as the API takes it").input_value())


def save(page: Page, name: str = "Save") -> None:
    page.get_by_role("button", name=name, exact=True).click()


# The form


def test_a_change_that_comes_while_the_form_is_saved_is_not_overwritten(eyes: Eyes, lives: Lives) -> None:
    eyes.forgive("status of 412")
    page = eyes.page
    lives.make(id="j", retries=1)
    go(page, lives, "/webui/jobs/j/edit")
    page.get_by_label("Name", exact=True).fill("mine")

    def overtake(route: Route) -> None:
        """Let another be faster by a hair."""
        lives.call("PUT", f"{JOB}j/", lives.job("j") | {"retries": 5})
        route.continue_()

    page.route(f"**{JOB}j/", overtake, times=1)
    save(page)
    expect(page.get_by_role("dialog")).to_contain_text("retries would be what this form says.")
    assert (lives.job("j")["name"], lives.job("j")["retries"]) == ("t", 5)


def test_a_creation_whose_answer_is_lost_makes_one_job(eyes: Eyes, lives: Lives) -> None:
    eyes.forgive("ERR_CONNECTION_RESET|ERR_FAILED")
    page = eyes.page
    go(page, lives, "/webui/jobs/new")
    page.get_by_label("Name", exact=True).fill("once")
    page.get_by_label("Command line", exact=True).fill("true")
    page.get_by_label("Schedule", exact=True).fill("0 0 1 1 *")

    def lose(route: Route) -> None:
        """Carry it out, and lose the answer."""
        route.fetch()
        route.abort("connectionreset")

    page.route(f"**{JOB}", lose, times=1)
    save(page, "Create")
    expect(page.get_by_role("alert").first).to_contain_text("The server does not answer.")
    save(page, "Create")
    expect(page.get_by_role("heading", name="once")).to_be_visible()
    assert [job["name"] for job in lives.call("GET", JOB)[1]["jobs"].values()] == ["once"]


def test_what_was_entered_is_not_left_without_a_question(page: Page, lives: Lives) -> None:
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    go(page, lives, "/webui/jobs/new")
    page.get_by_label("Name", exact=True).press_sequentially("much work")
    page.evaluate("location.assign('/webui/')")
    expect(page.get_by_label("Name", exact=True)).to_have_value("much work")
    page.wait_for_timeout(200)
    assert asked == ["beforeunload"]


def test_names_that_every_object_has_are_names_as_any(page: Page, lives: Lives) -> None:
    go(page, lives, "/webui/jobs/new")
    page.get_by_label("The job as the API takes it").fill(
        json.dumps({"name": "n", "type": 1, "remote_properties": {"url": "http://127.0.0.1:1/"}})
    )
    for i, name in enumerate(("constructor", "__proto__")):
        page.get_by_role("button", name="Add to Headers").click()
        page.get_by_label("Headers: name").nth(i).fill(name)
        page.get_by_label("Headers: value").nth(i).fill("v")
    assert said(page)["remote_properties"]["headers"] == {"constructor": ["v"], "__proto__": ["v"]}
