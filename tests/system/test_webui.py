"""The web UI in a browser, against a real server with real runs: the overview and the list of jobs."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.servers import eventually
from tests.system.browser import PHONE, Eyes, looking, no_serious_violations, no_serious_violations_in_any_colours
from tests.system.lives import FAR, Lives

pytestmark = [pytest.mark.system, pytest.mark.slow]
NASTY = "<img src=x onerror=alert(1)>"
SOON = "* * * * * *"


@pytest.fixture
def lives(standing: Lives, tmp_path: Path) -> Lives:
    return standing.lent(tmp_path)


def go(page: Page, lives: Lives, path: str = "/webui/") -> None:
    page.goto(lives.server.url.rstrip("/") + path)


def test_an_empty_server_tells_the_first_step(page: Page, own: Lives) -> None:
    go(page, own, "/")
    assert page.url.endswith("/webui/")
    expect(page.get_by_role("heading", name="Nothing is scheduled yet")).to_be_visible()
    no_serious_violations(page)
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Jobs").click()
    expect(page.get_by_role("heading", name="No jobs yet")).to_be_visible()
    expect(page.get_by_role("main").get_by_role("link", name="Create the first job")).to_be_visible()
    assert own.server.url.rstrip("/") in page.get_by_role("main").inner_text()
    no_serious_violations(page)


def test_the_overview_follows_a_run_from_its_start_to_its_end(page: Page, own: Lives) -> None:
    quick = own.make(name="quick", command="exit 3", shell=True)
    go(page, own)
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    expect(page.get_by_text("Nothing runs at the moment.")).to_be_visible()
    ends = own.directory / "end"
    own.start(f"printf 'one\\n\\033[31mtwo\\n'; until [ -e {ends} ]; do sleep 0.05; done", name=NASTY)
    row = page.locator("#flights tbody tr")
    expect(row).to_have_count(1)
    expect(row.get_by_role("link")).to_have_text(NASTY)
    expect(row.locator(".tail")).to_have_text("two")
    assert page.locator("#flights img").count() == 0
    no_serious_violations(page)
    ends.touch()
    expect(row).to_have_count(0)
    own.run_now(quick)
    failure = page.locator("#failures li")
    expect(failure).to_have_count(1)
    expect(failure).to_contain_text("quick")
    expect(page.locator("#fresh-failures")).to_contain_text("1 not seen yet")
    expect(page.locator("#count-failed")).to_have_text("1")
    page.get_by_role("button", name="Mark as seen").click()
    expect(page.locator("#fresh-failures")).to_have_text("none since you looked")
    page.reload()
    expect(page.locator("#fresh-failures")).to_have_text("none since you looked")
    page.get_by_role("button", name="As a table").click()
    expect(page.locator("#hours-table tbody tr")).to_have_count(24)
    no_serious_violations(page)


def test_the_overview_tells_what_is_usual_and_what_each_hour_had(page: Page, own: Lives) -> None:
    ends = own.directory / "end"
    ends.touch()
    job = own.make(name="as usual", command=f"until [ -e {ends} ]; do sleep 0.05; done", shell=True)
    own.run_now(job)
    ends.unlink()
    own.run_now(own.make(command="exit 3", shell=True))
    paused = own.make(name="paused", schedule="* * * * * *")
    own.call("POST", f"/api/v1/job/pause/{paused}/", {"reason": "a move"})
    go(page, own)
    for word in ("succeeded", "failed", "skipped"):
        expect(page.locator(f"#hours .bar.{word}")).not_to_have_count(0)
    expect(page.locator("#hours-scale span")).to_have_text([re.compile(r"^[1-9]")] * 2 + ["0"])
    before = page.locator("#count-position").inner_text()
    own.server.request("POST", f"/api/v1/job/start/{job}/", headers={"Prefer": "respond-async"})
    row = page.locator("#flights tbody tr", has_text="as usual")
    expect(row.locator(".elapsed")).to_have_text(re.compile(r" of \d.*, longer than usual$"))
    expect(row.locator("progress")).to_have_js_property("value", 100)
    expect(page.locator("#count-position")).not_to_have_text(before)
    expect(page.locator("#health")).to_have_text("Ready")
    ends.touch()


def test_the_overview_has_the_coming_ticks_on_a_time_line(page: Page, own: Lives) -> None:
    own.make(name="soon", schedule="*/5 * * * *", timezone="America/New_York")
    paused = own.make(name="paused", schedule="*/5 * * * *")
    own.call("POST", f"/api/v1/job/pause/{paused}/", {"reason": "a move"})
    go(page, own)
    expect(page.locator("#coming-line .mark.skipped")).not_to_have_count(0)
    expect(page.locator("#coming-line .mark").first.locator("title")).to_have_text(
        re.compile("^(soon|paused), .*CES?T$")
    )
    expect(page.locator("#coming-span")).to_have_text(re.compile(r"^the next (\d+ )?\w+, CES?T$"))
    soon = page.locator("#coming li", has_text="soon").first
    expect(soon).to_contain_text(re.compile(r"in \d+ \w+ · \d\d:\d\d CES?T · .*\d\d:\d\d E[SD]T"))
    expect(page.locator("#coming li", has_text="paused").first).to_contain_text("will be skipped")


def test_a_run_is_cancelled_from_the_overview_after_a_question(page: Page, own: Lives) -> None:
    job = own.start("sleep 600", name="long")
    go(page, own)
    page.get_by_role("button", name="Cancel").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("What it printed so far is kept.")
    expect(dialog.get_by_role("button", name="Keep it as it is")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert own.runs(job)[0]["outcome"] is None
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the run").click()
    assert own.ended(job)[0]["outcome"] == "cancelled"
    expect(page.locator("#flights tbody tr")).to_have_count(0)


def test_the_overview_comes_back_after_kill_9(eyes: Eyes, own: Lives) -> None:
    page, port = eyes.page, own.server.port
    eyes.forgive("ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE")
    go(page, own)
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    own.server.kill9()
    expect(page.locator("#live")).to_have_attribute("data-state", "lost")
    expect(page.locator("#live")).to_contain_text("Reconnecting")
    own.args = ("--port", str(port))
    own.again()
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    ends = own.directory / "end"
    own.start(f"until [ -e {ends} ]; do sleep 0.05; done", name="after the restart")
    expect(page.locator("#flights")).to_contain_text("after the restart")
    ends.touch()


def test_jobs_are_searched_filtered_sorted_and_paged(page: Page, lives: Lives) -> None:
    for i in range(60):
        lives.make(id=f"job-{i:02}", name=f"job {i:02}", owner="ann" if i % 2 else "bob", labels={"team": f"t{i % 3}"})
    lives.call("POST", "/api/v1/job/disable/job-07/")
    go(page, lives, "/webui/jobs/")
    rows = page.locator("#jobs tbody tr")
    expect(rows).to_have_count(50)
    page.get_by_role("link", name="Next", exact=True).click()
    expect(rows).to_have_count(10)
    expect(page.get_by_text("51 to 60 of 60")).to_be_visible()
    page.get_by_role("link", name="Previous").click()
    expect(rows).to_have_count(50)
    page.get_by_role("searchbox", name="Search jobs").fill("job 07")
    page.keyboard.press("Enter")
    expect(rows).to_have_count(1)
    expect(rows.locator(".badge")).to_have_text("disabled")
    page.get_by_role("link", name="Clear").click()
    page.get_by_role("link", name="Disabled 1").click()
    expect(rows).to_have_count(1)
    page.get_by_role("link", name="All").click()
    page.get_by_label("Owner").fill("ann")
    page.get_by_label("Label, key or key=value").fill("team=t1")
    page.get_by_role("button", name="Filter").click()
    expect(rows).to_have_count(10)
    page.get_by_role("link", name="Name").click()
    expect(rows.first).to_contain_text("job 55")
    no_serious_violations(page)


def test_jobs_are_filtered_by_state_and_kind_and_sorted_by_their_ticks(page: Page, lives: Lives) -> None:
    ends = lives.directory / "end"
    lives.start(f"until [ -e {ends} ]; do sleep 0.05; done", name="runs")
    failing = lives.make(name="fails", command="exit 3", shell=True, schedule="30 4 * * *", timezone="America/New_York")
    lives.run_now(failing)
    lives.call("POST", f"/api/v1/job/disable/{lives.make(name='off')}/")
    remote = {"name": "asks", "type": 1, "schedule": FAR, "remote_properties": {"url": "http://127.0.0.1:9/"}}
    asked = {"jobs": {"asks": remote}, "managed_by": "a test", "begun": True}
    assert lives.call("POST", "/api/v1/job/apply/", asked)[0] == 200
    go(page, lives, "/webui/jobs/")
    names, row = page.locator("#jobs tbody .name a"), page.locator("#jobs tbody tr", has_text="fails")
    expect(row.locator(".words")).to_have_text("at 04:30 every day, America/New_York")
    expect(row.locator(".next .sub")).to_have_text(re.compile(r"CES?T · .*04:30 E[SD]T$"))
    expect(row.locator(".bar.failed")).to_have_count(1)
    wanted = {
        "Running 1": ["runs"],
        "Failing 1": ["fails"],
        "Enabled 3": ["asks", "fails", "runs"],
        "Disabled 1": ["off"],
    }
    for tab, shown in wanted.items():
        page.get_by_role("link", name=tab).click()
        expect(names).to_have_text(shown)
    page.get_by_role("link", name="All").click()
    page.get_by_label("Type").select_option("Remote")
    page.get_by_role("button", name="Filter").click()
    expect(names).to_have_text(["asks"])
    page.get_by_role("link", name="Clear").click()
    page.get_by_role("link", name="Next run").click()
    expect(names.first).to_have_text("fails")
    page.get_by_role("link", name="Last run").click()
    expect(names.nth(0)).to_have_text("runs")
    page.get_by_role("link", name="Last run").click()
    expect(names.nth(1)).to_have_text("runs")
    ends.touch()


def test_a_list_is_patched_and_not_rendered_anew(page: Page, lives: Lives) -> None:
    job = lives.make(name="patched", command="true")
    lives.make(name="other", command="true")
    go(page, lives, "/webui/jobs/")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    row = page.locator("#jobs tbody tr", has_text="patched")
    expect(row.locator(".bar")).to_have_count(0)
    page.evaluate("document.querySelectorAll('#jobs tbody tr').forEach((row) => { row.marked = true; })")
    page.get_by_label("Choose patched").check()
    lives.run_now(job)
    expect(row.locator(".bar")).to_have_count(1)
    expect(row.locator(".last time")).to_be_visible()
    assert page.evaluate("[...document.querySelectorAll('#jobs tbody tr')].every((row) => row.marked)")
    expect(page.get_by_label("Choose patched")).to_be_checked()
    lives.call("POST", f"/api/v1/job/disable/{job}/")
    expect(row.locator(".badge")).to_have_text("disabled")
    expect(row.locator(".next")).to_have_text("not while disabled")


def test_several_jobs_are_disabled_run_deleted_and_brought_back(page: Page, lives: Lives) -> None:
    jobs = [lives.make(name=f"bulk {i}", command="true") for i in range(3)]
    kept = lives.make(name="kept", command="true")
    go(page, lives, "/webui/jobs/?q=bulk")
    page.get_by_label("Choose all jobs on this page").check()
    expect(page.locator("#chosen")).to_have_text("3 chosen")
    page.get_by_role("button", name="Disable").click()
    page.get_by_role("dialog").get_by_role("button", name="Disable").click()
    expect(page.get_by_text("3 jobs disabled.")).to_be_visible()
    assert [lives.job(job)["disabled"] for job in (*jobs, kept)] == [True, True, True, False]
    page.get_by_label("Choose all jobs on this page").check()
    page.get_by_role("button", name="Enable").click()
    expect(page.get_by_text("3 jobs enabled.")).to_be_visible()
    page.get_by_label("Choose all jobs on this page").check()
    page.get_by_role("button", name="Run now").click()
    page.get_by_role("dialog").get_by_role("button", name="Run").click()
    expect(page.get_by_text("3 jobs started.")).to_be_visible()
    for job in jobs:
        assert lives.ended(job)[0]["cause"] == "manual"
    page.get_by_label("Choose all jobs on this page").check()
    page.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Their children that have no other parent are deleted, too.")
    no_serious_violations(page)
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("3 jobs deleted.")).to_be_visible()
    expect(page.locator("#jobs tbody tr")).to_have_count(0)
    assert lives.call("GET", f"/api/v1/job/{jobs[0]}/")[0] == 404
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#jobs tbody tr")).to_have_count(3)
    eventually(lambda: lives.call("GET", f"/api/v1/job/{jobs[0]}/")[0] == 200)


def test_the_keyboard_alone_suffices(page: Page, lives: Lives) -> None:
    lives.make(name="typed", command="true")
    go(page, lives, "/webui/jobs/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    box = page.get_by_label("Choose typed")
    for _ in range(30):
        page.keyboard.press("Tab")
        if box.evaluate("(element) => element === document.activeElement"):
            break
    page.keyboard.press("Space")
    expect(box).to_be_checked()


def test_pages_fit_a_phone_in_both_colours(browser: Browser, lives: Lives) -> None:
    lives.make(
        name="a job with a rather long name that has to go somewhere", command="true", schedule="*/5 9-17 * * 1-5"
    )
    with looking(browser, viewport=PHONE, has_touch=True) as eyes:
        for path in ("/webui/", "/webui/jobs/"):
            go(eyes.page, lives, path)
            assert eyes.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path
            for part in eyes.page.locator("nav").all():
                assert part.evaluate("part => part.scrollWidth <= part.clientWidth"), "no navigation is scrolled"
            no_serious_violations_in_any_colours(eyes.page)


def test_the_colours_that_were_chosen_stay(page: Page, lives: Lives) -> None:
    go(page, lives)
    button = page.get_by_role("button", name="Colours")
    button.click()
    button.click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    expect(button).to_contain_text("Dark")
    no_serious_violations(page)
