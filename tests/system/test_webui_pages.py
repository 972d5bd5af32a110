"""The web UI in a browser, against a real server: the calendar, the live log, time travel, the settings."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.servers import eventually
from tests.system.browser import DESKTOP, PHONE, Eyes, looking, no_serious_violations
from tests.system.lives import FAR, Lives

pytestmark = [pytest.mark.system, pytest.mark.slow]
NASTY = "<img src=x onerror=alert(1)>"
PAGES = ("/webui/calendar/", "/webui/calendar/?view=day", "/webui/events/?type=all", "/webui/at/", "/webui/settings/")


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    with Lives(tmp_path) as lives:
        yield lives


@pytest.fixture
def lent(standing: Lives, tmp_path: Path) -> Lives:
    """One of whose past nothing is said."""
    return standing.lent(tmp_path)


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lives]:
    """A server whose pages have something to show."""
    with Lives(tmp_path_factory.mktemp("furnished")) as lives:
        long = "a job with a rather long name that has to go somewhere"
        failing = lives.make(name=long, command="exit 3", shell=True)
        lives.make(name="often", schedule="*/5 * * * *")
        lives.run_now(failing)
        yield lives


def go(page: Page, lives: Lives, path: str) -> None:
    page.goto(lives.server.url.rstrip("/") + path)
    expect(page.locator("#live")).to_have_attribute("data-state", "on")


def test_the_calendar_goes_by_the_zone_of_who_looks(page: Page, lives: Lives) -> None:
    job = lives.make(name=NASTY, command="exit 3", shell=True)
    lives.make(name="nightly", schedule="0 30 12 * * *", timezone="UTC")
    lives.run_now(job)
    go(page, lives, "/webui/calendar/")
    expect(page.locator("#zone")).to_have_text("Europe/Berlin")
    expect(page.locator(".hour.is-now.has-failed")).to_have_count(1)
    page.get_by_role("link", name="Later").click()
    expect(page.locator(".hour.is-due")).to_have_count(7)
    page.get_by_role("link", name="Earlier").click()
    expect(page.locator(".hour.is-now.has-failed")).to_have_count(1)
    page.get_by_role("link", name="Earlier").click()
    expect(page.locator(".hour.is-now")).to_have_count(0)
    page.get_by_role("link", name="Today").click()
    page.get_by_role("link", name="Day", exact=True).click()
    page.get_by_role("link", name="Week", exact=True).click()
    page.locator("th.is-today").get_by_role("link").click()
    entry = page.locator("li.is-now .entries").get_by_role("link", name=NASTY)
    entry.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(NASTY)
    assert page.locator("main img").count() == 0


def test_a_day_of_one_job(page: Page, lives: Lives) -> None:
    job = lives.make(name="mine")
    other = lives.make(name="other")
    for each in (job, other):
        lives.run_now(each)
    go(page, lives, "/webui/calendar/?view=day")
    expect(page.locator(".entries")).to_contain_text("other")
    page.get_by_label("A job's id").fill(job)
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("mine")
    expect(page.locator(".entries")).not_to_contain_text("other")
    page.get_by_role("link", name="All jobs").click()
    expect(page.locator(".entries")).to_contain_text("other")
    go(page, lives, "/webui/calendar/?view=day&zone=Asia/Tokyo")
    hour = page.locator("li.is-now .day-hour").inner_text()[:2]
    expect(page.locator("li.is-now .entries time").first).to_have_text(re.compile(f"^{hour}:"))


def test_events_come_by_themselves_wait_while_paused_and_are_filtered(page: Page, lives: Lives) -> None:
    job = lives.make(name=NASTY, command="echo hello; exit 3", shell=True)
    go(page, lives, "/webui/events/")
    finished = page.locator("#events tbody tr", has_text="RunFinished")
    expect(finished).to_have_count(0)
    lives.run_now(job)
    expect(finished).to_have_count(1)
    expect(finished).to_contain_text(NASTY)
    expect(page.locator("#events")).not_to_contain_text("OutputChunk")
    page.get_by_role("button", name="Pause").click()
    lives.run_now(job)
    expect(page.locator("#held")).to_contain_text("new")
    expect(finished).to_have_count(1)
    page.get_by_role("button", name="Pause").click()
    expect(finished).to_have_count(2)
    assert page.locator("#events img").count() == 0
    page.get_by_label("Type").select_option("RunFinished")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#events tbody tr")).to_have_count(2)
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    lives.run_now(job)
    expect(page.locator("#events tbody tr")).to_have_count(3)
    page.get_by_label("Type").select_option("All, output too")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#events tbody")).to_contain_text("OutputChunk")
    page.get_by_role("link", name="Clear").click()
    expect(page.locator("#events tbody")).to_contain_text("JobCreated")
    expect(page.locator("#events tbody")).not_to_contain_text("OutputChunk")
    positions = [int(text) for text in page.locator("#events td.number").all_inner_texts()]
    assert positions == sorted(set(positions), reverse=True)


def test_events_of_one_job_are_turned_to_older_ones_and_back(page: Page, lives: Lives) -> None:
    job, _ = lives.make(name="mine"), lives.make(name="other")
    for _ in range(60):
        for kind in ("disable", "enable"):
            lives.call("POST", f"/api/v1/job/{kind}/{job}/")
    go(page, lives, "/webui/events/")
    page.get_by_label("A job's id").fill(job)
    page.get_by_role("button", name="Filter").click()
    names = page.locator("#events tbody td:nth-child(4)")
    expect(names).to_have_text(["mine"] * 100)
    page.get_by_role("link", name="Older").click()
    expect(page.locator("#events tbody tr").last).to_contain_text("JobCreated")
    expect(names).to_have_text(["mine"] * 21)
    page.get_by_role("link", name="Newest").click()
    expect(names).to_have_text(["mine"] * 100)


def test_events_go_on_after_kill_9_and_none_is_lost(eyes: Eyes, lives: Lives) -> None:
    page, port = eyes.page, lives.server.port
    eyes.forgive("ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE")
    go(page, lives, "/webui/events/")
    lives.make(name="before")
    created = page.locator("#events tbody tr", has_text="JobCreated")
    expect(created).to_have_count(1)
    lives.server.kill9()
    expect(page.locator("#live")).to_have_attribute("data-state", "lost")
    lives.args = ("--port", str(port))
    lives.again()
    lives.make(name="after")
    expect(created).to_have_count(2)
    expect(created.first).to_contain_text("after")


def test_jobs_are_shown_as_they_were_at_a_position_and_at_a_time(page: Page, lives: Lives) -> None:
    job = lives.make(name="as it was")
    page.wait_for_timeout(1100)
    then = page.evaluate("new Date().toLocaleString('sv-SE').replace(' ', 'T')")
    page.wait_for_timeout(1100)
    assert lives.call("PUT", f"/api/v1/job/{job}/", {"name": "as it is", "command": "true", "schedule": FAR})[0] in (
        200,
        204,
    )
    go(page, lives, "/webui/at/")
    page.get_by_label("Date and time").fill(then)
    page.get_by_role("button", name="Show").click()
    table = page.get_by_role("table")
    expect(table).to_contain_text("as it was")
    expect(table.locator(".next")).to_have_text("01 Jan 2099, 01:00 CET")
    expect(page.get_by_label("Date and time")).to_have_value(then)
    no_serious_violations(page)
    definition = page.get_by_role("link", name="Definition of as it was as it was").get_attribute("href")
    assert lives.call("GET", str(definition))[1]["job"]["name"] == "as it was"
    go(page, lives, "/webui/at/")
    page.locator("#at").fill("1")
    page.get_by_role("button", name="Show").click()
    expect(table).to_contain_text("as it was")
    page.get_by_role("searchbox", name="Search").fill("nothing like it")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("No job fitted the search.")).to_be_visible()
    page.get_by_role("link", name="Back to now").click()
    expect(page.get_by_role("link", name="as it is")).to_be_visible()
    go(page, lives, "/webui/at/")
    page.get_by_role("button", name="Yesterday").click()
    page.wait_for_url("**/at/?at=*")
    expect(table).to_have_count(0)
    expect(page.get_by_role("main")).not_to_contain_text("as it is")


def test_a_moment_that_is_not_known_is_said(eyes: Eyes, lent: Lives) -> None:
    eyes.forgive("status of 400")
    go(eyes.page, lent, "/webui/at/?at=999999999")
    expect(eyes.page.locator("#at-wrong")).to_be_visible()
    expect(eyes.page.locator("#at")).to_have_attribute("aria-invalid", "true")
    no_serious_violations(eyes.page)


def test_all_jobs_are_paused_after_a_question_and_resumed(page: Page, lives: Lives) -> None:
    go(page, lives, "/webui/settings/")
    page.get_by_label("Reason").fill(NASTY)
    page.get_by_label("Until").fill("2099-01-01T00:00")
    page.get_by_role("button", name="Pause all jobs").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Runs in flight go on.")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="Resume all jobs")).to_have_count(0)
    page.get_by_role("button", name="Pause all jobs").click()
    dialog.get_by_role("button", name="Pause all jobs").click()
    expect(page.get_by_role("button", name="Resume all jobs")).to_be_visible()
    expect(page.locator("dd time").nth(1)).to_have_attribute("datetime", "2098-12-31T23:00:00Z")
    expect(page.get_by_role("main")).to_contain_text(NASTY)
    no_serious_violations(page)
    go(page, lives, "/webui/")
    expect(page.get_by_role("main")).to_contain_text(NASTY)
    go(page, lives, "/webui/settings/")
    page.get_by_role("button", name="Resume all jobs").click()
    expect(page.get_by_role("button", name="Pause all jobs")).to_be_visible()


def test_a_pause_must_end_in_the_future(page: Page, lent: Lives) -> None:
    go(page, lent, "/webui/settings/")
    page.get_by_label("Until").fill("2020-01-01T00:00")
    page.get_by_role("button", name="Pause all jobs").click()
    expect(page.get_by_text("must lie ahead")).to_be_visible()
    expect(page.get_by_label("Until")).to_be_focused()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_an_export_is_taken_in_again_its_plan_first(page: Page, lives: Lives) -> None:
    job = lives.make(name="precious")
    go(page, lives, "/webui/settings/")
    with page.expect_download() as coming:
        page.get_by_role("link", name="Everything").click()
    archive = lives.directory / "kala.archive"
    coming.value.save_as(archive)
    assert archive.stat().st_size > 100
    with page.expect_download() as coming:
        page.get_by_role("link", name="Without output").click()
    assert Path(coming.value.path()).stat().st_size > 100
    assert lives.call("DELETE", f"/api/v1/job/{job}/")[0] == 204
    page.get_by_label("An exported file").set_input_files(archive)
    page.get_by_role("button", name="Show the plan").click()
    expect(page.locator("#plan-counts")).to_contain_text("1 ")
    expect(page.locator("#plan tbody")).to_contain_text(job)
    assert lives.call("GET", f"/api/v1/job/{job}/")[0] == 404
    no_serious_violations(page)
    page.get_by_role("button", name="Take these jobs in").click()
    page.get_by_role("dialog").get_by_role("button", name="Take them in").click()
    eventually(lambda: lives.call("GET", f"/api/v1/job/{job}/")[0] == 200)
    expect(page.get_by_text("Taken in:")).to_be_visible()


def test_a_file_that_is_no_export_is_refused_with_the_reason(eyes: Eyes, lent: Lives) -> None:
    eyes.forgive("status of 4")
    page = eyes.page
    lent.make(name="kept")
    wrong = lent.directory / "wrong.archive"
    wrong.write_bytes(b"this is no archive")
    go(page, lent, "/webui/settings/")
    page.get_by_label("An exported file").set_input_files(wrong)
    page.get_by_role("button", name="Show the plan").click()
    expect(page.locator("#import-wrong")).to_be_visible()
    expect(page.locator("#plan")).to_be_hidden()


@pytest.mark.parametrize(
    ("viewport", "scheme"),
    [
        pytest.param(PHONE, "light", id="phone-light"),
        pytest.param(DESKTOP, "dark", id="desktop-dark"),
        pytest.param(PHONE, "dark", id="phone-dark", marks=pytest.mark.soak),
        pytest.param(DESKTOP, "light", id="desktop-light", marks=pytest.mark.soak),
    ],
)
def test_pages_fit_and_can_be_used_by_all(
    browser: Browser, furnished: Lives, scheme: str, viewport: dict[str, int]
) -> None:
    with looking(browser, viewport=viewport, color_scheme=scheme) as eyes:
        for path in (*PAGES, "/webui/at/?at=2"):
            go(eyes.page, furnished, path)
            assert eyes.page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], path
            for part in eyes.page.locator(".scroll:visible").all():
                assert part.evaluate("part => part.scrollWidth <= part.clientWidth"), "all of it is in sight"
            no_serious_violations(eyes.page)
