"""The page of a job and its form in a browser, against a real server with real runs."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.servers import eventually
from tests.system.browser import PHONE, Eyes, looking, no_serious_violations, no_serious_violations_in_any_colours, said
from tests.system.lives import JOB, Lives

pytestmark = [pytest.mark.system, pytest.mark.slow]
NASTY = "<img src=x onerror=alert(1)>"
SPRING = "R/2099-03-28T02:30:00/P1D"
REFUSED = "status of 400"


@pytest.fixture
def lives(standing: Lives, tmp_path: Path) -> Lives:
    return standing.lent(tmp_path)


def go(page: Page, lives: Lives, path: str) -> None:
    page.goto(lives.server.url.rstrip("/") + path)


def show(page: Page, lives: Lives, job: str) -> None:
    go(page, lives, f"/webui/jobs/{job}/")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")


def save(page: Page, name: str = "Save") -> None:
    page.get_by_role("button", name=name, exact=True).click()


# The page


def test_runs_come_and_end_while_one_looks(page: Page, lives: Lives) -> None:
    job = lives.make(command="exit 3", shell=True)
    lives.run_now(job)
    show(page, lives, job)
    rows, bars = page.locator("#runs tbody tr"), page.locator("#durations .took-bar rect.length")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("exit status 3")
    expect(page.locator("#durations .marks")).to_have_text("failed")
    page.evaluate("document.querySelector('#runs tbody tr').marked = true")
    gate = lives.directory / "gate"
    lives.call("PUT", f"{JOB}{job}/", lives.job(job) | {"command": f"until [ -e {gate} ]; do sleep 0.05; done"})
    expect(page.locator("#changed")).to_contain_text("This job was edited meanwhile.")
    page.get_by_role("button", name="Run now").click()
    expect(page.get_by_text("Started.")).to_be_visible()
    expect(rows).to_have_count(2)
    expect(rows.first.locator(".badge")).to_have_text("running")
    expect(bars).to_have_count(2)
    first = rows.first.locator(".took").inner_text()
    expect(rows.first.locator(".took")).not_to_have_text(first)
    no_serious_violations(page)
    gate.touch()
    expect(rows.first.locator(".badge")).to_have_text("succeeded")
    expect(page.locator("#durations .marks li")).to_have_text(["succeeded", "failed"])
    assert page.evaluate("document.querySelector('#runs tbody tr:last-child').marked")
    run = lives.runs(job)[1]["id"]
    expect(rows.first.get_by_role("link")).to_have_attribute("href", f"/webui/runs/{run}/")
    page.reload()
    expect(rows.first.locator(".badge")).to_have_text("succeeded")


def test_attempts_and_a_cancellation_are_told(page: Page, lives: Lives) -> None:
    job = lives.make(command="exit 1", shell=True, retries=1, retry_delay="PT0.5S")
    show(page, lives, job)
    expect(page.get_by_role("heading", name="No run yet")).to_be_visible()
    page.get_by_role("button", name="Run now").click()
    row = page.locator("#runs tbody tr").first
    expect(row.locator(".badge")).to_have_text("failed")
    expect(row.locator(".attempts")).to_have_text(", 2 attempts")
    expect(page.locator("#no-runs")).to_have_count(0)
    lives.call("PUT", f"{JOB}{job}/", lives.job(job) | {"command": "sleep 600"})
    page.get_by_role("button", name="Run now").click()
    expect(page.locator("#runs tbody tr")).to_have_count(2)
    run = lives.runs(job)[1]["id"]
    assert lives.call("DELETE", f"{JOB}{job}/executions/{run}/")[0] == 204
    expect(row.locator(".badge")).to_have_text("cancelled")


def test_the_page_goes_on_after_kill_9(eyes: Eyes, own: Lives) -> None:
    page, port = eyes.page, own.server.port
    eyes.forgive("ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE")
    job = own.start("sleep 1.5")
    show(page, own, job)
    own.server.kill9()
    expect(page.locator("#live")).to_have_attribute("data-state", "lost")
    own.args = (*own.args, "--port", str(port))
    own.again()
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    own.ended(job)
    expect(page.locator("#runs tbody tr .badge")).to_have_text("succeeded")


def test_ticks_on_two_clocks_and_those_that_a_clock_change_moves(page: Page, lives: Lives) -> None:
    job = lives.make(schedule=SPRING, timezone="Europe/Berlin")
    with looking(page.context.browser or pytest.fail("no browser"), timezone_id="America/New_York") as eyes:
        show(eyes.page, lives, job)
        second = eyes.page.locator("#coming li").nth(1)
        expect(second.locator("time")).to_have_text(re.compile("28 Mar 2099, 21:00:00"))
        expect(second).to_contain_text("2099-03-29 03:00:00 CEST")
        expect(second).to_contain_text("02:30 is skipped by the clocks of Europe/Berlin")
        expect(eyes.page.get_by_text("Every day from 2099-03-28 02:30:00, Europe/Berlin.")).to_be_visible()


def test_a_tick_that_passes_leaves_the_list(page: Page, lives: Lives) -> None:
    job = lives.make(schedule="* * * * * *")
    show(page, lives, job)
    first = page.locator("#coming time").first.get_attribute("datetime")
    expect(page.locator(f'#coming time[datetime="{first}"]')).to_have_count(0)
    expect(page.locator("#runs tbody tr")).not_to_have_count(0)
    expect(page.locator("#coming li")).to_have_count(8)


def test_why_did_it_not_run(page: Page, lives: Lives) -> None:
    job = lives.make(schedule="* * * * * *")
    lives.ended(job)
    lives.call("POST", f"/api/v1/job/pause/{job}/", {"reason": "a move"})
    eventually(lambda: any(t["outcome"] == "skipped" for t in lives.call("GET", f"{JOB}{job}/ticks/")[1]["ticks"]))
    show(page, lives, job)
    expect(page.locator("#paused")).to_contain_text("a move")
    page.get_by_role("button", name="Ticks of the last day that started nothing").click()
    page.locator("#unstarted").get_by_role("button", name="Why?").first.click()
    answer = page.locator("#why-answer")
    expect(answer).to_contain_text("It was skipped: it started nothing.")
    expect(answer).to_contain_text("Reason: paused.")
    expect(answer).to_contain_text("The job was paused")
    expect(answer).to_contain_text(": a move.")
    no_serious_violations(page)
    page.locator("#runs").get_by_role("button", name="Why?").last.click()
    expect(answer).to_contain_text("It started a run.")
    expect(answer.get_by_role("link", name=re.compile("^run "))).to_have_count(1)
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#paused")).to_have_count(0)


def test_why_of_what_is_no_moment_is_refused_at_its_field(eyes: Eyes, lives: Lives) -> None:
    eyes.forgive(REFUSED)
    page = eyes.page
    show(page, lives, lives.make())
    page.get_by_label("Tick", exact=True).fill("yesterday")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator("#why-wrong")).to_contain_text("must be a time like 2030-01-31T12:00:00Z")
    expect(page.get_by_label("Tick", exact=True)).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Tick", exact=True).fill("2026-01-31 12:00")
    page.keyboard.press("Enter")
    expect(page.locator("#why-answer")).to_contain_text("It is no tick of the schedule that held then.")
    expect(page.locator("#why-answer time").first).to_have_attribute("datetime", "2026-01-31T11:00:00Z")


def test_a_job_is_disabled_and_enabled(page: Page, lives: Lives) -> None:
    job = lives.make()
    show(page, lives, job)
    page.get_by_role("button", name="Disable").click()
    expect(page.locator("#states")).to_contain_text("disabled")
    expect(page.get_by_role("button", name="Run now")).to_be_disabled()
    assert lives.job(job)["disabled"]
    page.get_by_role("button", name="Enable").click()
    expect(page.locator("#states")).to_contain_text("enabled")
    assert not lives.job(job)["disabled"]


def test_a_deleted_family_is_brought_back(page: Page, lives: Lives) -> None:
    lives.make(id="parent", name="the parent")
    lives.make(id="child", name="the child", schedule="", parent_jobs=["parent"])
    lives.run_now("parent")
    show(page, lives, "parent")
    page.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Its child goes with it: the child.")
    expect(dialog).to_contain_text("Its runs and their output stay readable")
    no_serious_violations(page)
    page.keyboard.press("Escape")
    assert lives.call("GET", f"{JOB}parent/")[0] == 200
    page.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Deleted with it")).to_be_visible()
    assert lives.call("GET", f"{JOB}child/")[0] == 404
    no_serious_violations(page)
    page.get_by_role("button", name="Bring it back").click()
    expect(dialog).to_contain_text("This will change:")
    no_serious_violations(page)
    dialog.get_by_role("button", name="Bring it back").click()
    expect(page.get_by_role("button", name="Run now")).to_be_visible()
    expect(page.locator("#runs tbody tr")).to_have_count(1)
    go(page, lives, "/webui/jobs/child/")
    expect(page.locator("#gone")).to_contain_text("because its parent parent was deleted")
    page.get_by_role("button", name="Bring it back").click()
    dialog.get_by_role("button", name="Bring it back").click()
    expect(page.get_by_role("button", name="Run now")).to_be_visible()
    assert lives.job("child")["parent_jobs"] == ["parent"]


def test_a_change_is_shown_and_taken_back(page: Page, lives: Lives) -> None:
    job = lives.make(command="echo one", retries=2)
    lives.call("PUT", f"{JOB}{job}/", lives.job(job) | {"command": "echo two", "retries": 0})
    show(page, lives, job)
    page.get_by_role("link", name="Changes").click()
    newest = page.locator(".changes > li").first
    expect(newest).to_contain_text("as it is now")
    expect(newest.locator("tbody tr").first).to_contain_text("echo one")
    no_serious_violations(page)
    page.get_by_role("button", name="Revert to this").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("tbody tr")).to_have_count(2)
    expect(dialog.locator("tbody tr").first.locator(".before")).to_contain_text("echo two")
    dialog.get_by_role("button", name="Revert to this").click()
    expect(page.get_by_role("button", name="Run now")).to_be_visible()
    assert (lives.job(job)["command"], lives.job(job)["retries"]) == ("echo one", 2)


def test_the_drawing_leads_from_job_to_job(page: Page, lives: Lives) -> None:
    lives.make(id="first", name="the first")
    lives.make(id="mourner", name="the mourner")
    lives.make(id="second", name="the second", schedule="", parent_jobs=["first"], on_failure_job="mourner")
    show(page, lives, "second")
    drawing = page.get_by_role("region", name="Drawing of what starts this job")
    expect(drawing.locator(".box")).to_have_count(3)
    expect(drawing.locator(".edge.failure")).to_have_count(1)
    drawing.get_by_role("link", name="the first").press("Enter")
    expect(page.get_by_role("heading", name="the first")).to_be_visible()


# The form


def test_a_job_is_created_by_the_keyboard_alone(page: Page, lives: Lives) -> None:
    go(page, lives, "/webui/new-job")
    page.get_by_label("Name", exact=True).focus()
    page.keyboard.type("typed")
    for label in ("Id", "Kind", "Run it by /bin/sh -c"):
        page.keyboard.press("Tab")
        expect(page.get_by_label(label, exact=True)).to_be_focused()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.type("echo typed | tr a-z A-Z")
    page.get_by_label("Schedule", exact=True).focus()
    page.keyboard.type("@every 1h")
    expect(page.locator("#explained-words")).to_contain_text("Every hour")
    expect(page.locator("#explained-ticks li")).to_have_count(5)
    page.get_by_label("Name", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="typed")).to_be_visible()
    job = page.url.rstrip("/").rpartition("/")[2]
    lives.run_now(job)
    assert lives.runs(job)[0]["output"] == "TYPED"


def test_a_schedule_is_explained_while_it_is_written(eyes: Eyes, lives: Lives) -> None:
    eyes.forgive(REFUSED)
    page = eyes.page
    go(page, lives, "/webui/new-job")
    words, ticks = page.locator("#explained-words"), page.locator("#explained-ticks li")
    expect(words).to_have_text("Once, now.")
    schedule = page.get_by_label("Schedule", exact=True)
    schedule.fill("0 9 * * 1-5")
    expect(words).to_have_text("At 09:00 on weekdays, UTC.")
    page.get_by_label("Time zone", exact=True).fill("Asia/Tokyo")
    expect(words).to_have_text("At 09:00 on weekdays, Asia/Tokyo.")
    expect(ticks.first).to_contain_text("09:00:00 GMT+9")
    schedule.fill("0 25 * * *")
    wrong = page.locator("#wrong-schedule")
    expect(wrong).to_contain_text("25")
    expect(wrong).to_contain_text("(at character 3)")
    expect(schedule).to_have_attribute("aria-invalid", "true")
    expect(words).to_have_text("")
    no_serious_violations(page)
    schedule.fill("30 2 28-30 3 *")
    page.get_by_label("Time zone", exact=True).fill("Europe/Berlin")
    expect(wrong).to_have_text("")
    page.get_by_label("Not before", exact=True).fill("2099-01-01T00:00:00Z")
    expect(ticks.nth(1)).to_contain_text("29 Mar 2099, 03:00:00")
    expect(ticks.nth(1)).to_contain_text("02:30 is skipped by the clocks of Europe/Berlin")
    page.locator("summary", has_text="Dependencies").click()
    page.get_by_role("button", name="Add to Parents").click()
    page.get_by_label("Parents: id").fill("other")
    expect(words).to_have_text("After its parents: it has no ticks of its own.")


def test_what_is_refused_is_said_at_its_field(eyes: Eyes, lives: Lives) -> None:
    eyes.forgive(REFUSED)
    page = eyes.page
    go(page, lives, "/webui/new-job")
    save(page, "Create")
    expect(page.locator("#wrong-name")).to_have_text("a job needs a name")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    expect(page.get_by_role("alert").first).to_contain_text("Not saved. Name: a job needs a name")
    no_serious_violations(page)
    page.get_by_label("Name", exact=True).fill("n")
    expect(page.locator("#wrong-name")).to_have_text("")
    expect(page.locator("#wrong-command")).to_have_text("a local job needs a command")
    page.get_by_label("Command line", exact=True).fill("true")
    page.locator("summary", has_text="Retries").click()
    page.get_by_label("Backoff", exact=True).fill("2")
    expect(page.locator("#wrong-retry_backoff")).to_have_text("there is no retry_delay for it to shape")
    page.get_by_label("Backoff", exact=True).fill("much")
    expect(page.locator("#wrong-retry_backoff")).to_have_text("must be a number, not a string")
    page.get_by_label("Backoff", exact=True).fill("")
    page.get_by_label("Schedule", exact=True).fill("R/2020-01-01T00:00:00Z/P1D")
    save(page, "Create")
    expect(page.locator("#wrong-schedule")).to_contain_text("has already passed")
    status, answer = lives.call("POST", JOB, said(page))
    assert status == 400
    assert page.locator("#wrong-schedule").inner_text() in answer["error"]


def test_a_late_word_about_a_schedule_does_not_take_away_why_it_was_refused(eyes: Eyes, lives: Lives) -> None:
    eyes.forgive(REFUSED)
    page = eyes.page
    held: list[Route] = []
    page.route("**/api/v1/schedule/**", lambda route: held.append(route))
    go(page, lives, "/webui/new-job")
    page.get_by_label("Name", exact=True).fill("n")
    page.get_by_label("Command line", exact=True).fill("true")
    with page.expect_request("**/api/v1/schedule/**"):
        page.get_by_label("Schedule", exact=True).fill("R/2020-01-01T00:00:00Z/P1D")
    save(page, "Create")
    expect(page.locator("#wrong-schedule")).to_contain_text("has already passed")
    with page.expect_response("**/api/v1/schedule/**"):
        held[-1].continue_()
    expect(page.locator("#explained-words")).not_to_have_text("")
    expect(page.locator("#wrong-schedule")).to_contain_text("has already passed")


def test_an_error_in_a_folded_group_unfolds_it(eyes: Eyes, lives: Lives) -> None:
    eyes.forgive(REFUSED)
    page = eyes.page
    lives.make(id="j")
    go(page, lives, "/webui/jobs/j/edit")
    json_side = page.get_by_label("The job as the API takes it")
    json_side.fill(json.dumps(said(page) | {"notify": [{"to": "nobody"}]}))
    save(page)
    expect(page.locator("#wrong-notify")).to_contain_text("notify[0].to: 'nobody' is neither mail")
    expect(page.locator("#ends")).to_have_attribute("open", "")


def test_the_json_and_the_form_follow_each_other(page: Page, lives: Lives) -> None:
    go(page, lives, "/webui/new-job")
    side = page.get_by_label("The job as the API takes it")
    page.get_by_label("Name", exact=True).fill("both")
    page.get_by_label("Command line", exact=True).fill("true")
    page.get_by_role("button", name="Add to Environment").click()
    expect(page.get_by_label("Environment: name")).to_be_focused()
    page.get_by_label("Environment: name").fill("A")
    page.get_by_label("Environment: value").fill("1\n2")
    assert said(page) == {"name": "both", "command": "true", "env": {"A": "1\n2"}}
    side.fill('{"name": "json", "command": "true", "retries": 4, "shell": true, "mystery": 1, "env": {"B": "3"}}')
    expect(page.get_by_label("Name", exact=True)).to_have_value("json")
    expect(page.get_by_label("Run it by /bin/sh -c", exact=True)).to_be_checked()
    expect(page.get_by_label("Environment: name")).to_have_value("B")
    expect(page.locator("#retries .set-count")).to_have_text("1 set")
    page.get_by_label("Run it by /bin/sh -c", exact=True).uncheck()
    assert said(page) == {"name": "json", "command": "true", "retries": 4, "mystery": 1, "env": {"B": "3"}}
    page.get_by_label("Environment", exact=True).get_by_role("button", name="Remove").click()
    assert "env" not in said(page)
    side.fill('{"name": ')
    expect(page.locator("#wrong-json")).to_contain_text("Not JSON yet")
    save(page, "Create")
    expect(side).to_be_focused()
    no_serious_violations(page)


def unfold(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")


def add_target(page: Page) -> None:
    """Whom a job tells of what, with a header."""
    page.get_by_role("button", name="Add a target").click()
    target = page.get_by_role("group", name="Target")
    target.get_by_label("To", exact=True).fill("https://example.com/hook")
    target.get_by_label("overdue", exact=True).check()
    target.get_by_role("button", name="Add to Headers of a target").click()
    target.get_by_label("Headers of a target: name").fill("X-Key")
    target.get_by_label("Headers of a target: value").fill("secret")


def add_processor(page: Page) -> None:
    """What gets a job's output, with its config."""
    page.get_by_role("button", name="Add a processor").click()
    processor = page.get_by_role("group", name="Processor", exact=True)
    processor.get_by_label("Name", exact=True).fill("log")
    processor.get_by_role("button", name="Add to Config").click()
    processor.get_by_label("Config of a processor: name").fill("forward")
    processor.get_by_label("Config of a processor: value").fill("false")


def test_every_kind_of_field_is_saved_and_read_again(page: Page, lives: Lives) -> None:
    for job in "p", "q", "d":
        lives.make(id=job)
    lives.make(id="j", name="before")
    go(page, lives, "/webui/jobs/j/edit")
    unfold(page)
    page.get_by_label("Name", exact=True).fill("after")
    page.get_by_label("Failure handler", exact=True).fill("d")
    for parent in "p", "q":
        page.get_by_role("button", name="Add to Parents").click()
        page.get_by_label("Parents: id").last.fill(parent)
    page.get_by_label("With several parents it runs").select_option("any")
    page.get_by_label("Exit codes that are a success").fill("0, 3 4")
    page.get_by_label("Memory", exact=True).fill("256M")
    page.get_by_label("Spread", exact=True).fill("0.5")
    page.get_by_label("Delay", exact=True).fill("PT1S")
    page.get_by_label("While a run is in flight, a tick").select_option("queue")
    page.get_by_label("Expected duration", exact=True).fill("PT1H")
    add_target(page)
    add_processor(page)
    expect(page.locator("#changes")).to_contain_text("parent_jobs")
    no_serious_violations(page)
    save(page)
    expect(page.get_by_role("heading", name="after", exact=True)).to_be_visible()
    job = lives.job("j")
    assert job["parent_jobs"] == ["p", "q"]
    assert (job["dependency_policy"], job["on_failure_job"], job["overlap"]) == ("any", "d", "queue")
    assert (job["success_codes"], job["memory_limit"], job["retry_jitter"]) == ([0, 3, 4], 256 << 20, 0.5)
    hook = {"to": "https://example.com/hook", "when": ["failure", "overdue"], "headers": {"X-Key": "secret"}}
    assert job["notify"] == [hook]
    assert job["processors"] == {"log": {"forward": "false"}}
    page.get_by_role("link", name="Edit").click()
    unfold(page)
    expect(page.get_by_role("group", name="Target").get_by_label("overdue", exact=True)).to_be_checked()
    expect(page.get_by_label("Config of a processor: name")).to_have_value("forward")
    page.get_by_label("Who is told").select_option("nobody")
    page.get_by_label("Parents: id").first.fill("q")
    assert said(page)["notify"] == []
    save(page)
    expect(page.get_by_role("heading", name="after", exact=True)).to_be_visible()
    assert lives.job("j")["notify"] == []


def test_a_remote_job_has_other_fields(page: Page, lives: Lives) -> None:
    go(page, lives, "/webui/new-job")
    expect(page.get_by_label("URL", exact=True)).to_be_hidden()
    page.get_by_label("Kind", exact=True).select_option("remote: an HTTP request")
    expect(page.get_by_label("Command line", exact=True)).to_be_hidden()
    page.get_by_label("URL", exact=True).fill("http://127.0.0.1:1/x")
    page.get_by_label("Verify the other side's certificate").uncheck()
    page.get_by_label("Expected response codes").fill("200, 204")
    page.get_by_role("button", name="Add to Headers", exact=True).click()
    page.get_by_label("Headers: name").fill("Accept")
    page.get_by_label("Headers: value").fill("text/plain")
    assert said(page) == {
        "type": 1,
        "remote_properties": {
            "url": "http://127.0.0.1:1/x",
            "verify_tls": False,
            "expected_response_codes": [200, 204],
            "headers": {"Accept": ["text/plain"]},
        },
    }


def test_a_job_of_an_executor_has_other_fields(page: Page, lives: Lives) -> None:
    go(page, lives, "/webui/new-job")
    page.get_by_label("Kind", exact=True).select_option("executor: one that a package brings")
    expect(page.get_by_label("Command line", exact=True)).to_be_hidden()
    page.get_by_label("Executor", exact=True).fill("nobody-has-it")
    page.get_by_role("button", name="Add to What the executor is told").click()
    page.get_by_label("What the executor is told: name").fill("topic")
    page.get_by_label("What the executor is told: value").fill("orders")
    page.get_by_label("Name", exact=True).fill("n")
    assert said(page) == {
        "name": "n",
        "type": 2,
        "executor": "nobody-has-it",
        "executor_config": {"topic": "orders"},
    }
    expect(page.locator("#wrong-executor")).to_contain_text("nobody-has-it")


def test_what_others_changed_meanwhile_is_not_overwritten_unasked(eyes: Eyes, lives: Lives) -> None:
    eyes.forgive("status of 412")
    page = eyes.page
    lives.make(id="j", retries=1)
    go(page, lives, "/webui/jobs/j/edit")
    page.get_by_label("Name", exact=True).fill("mine")
    lives.call("PUT", f"{JOB}j/", lives.job("j") | {"retries": 5})
    save(page)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("This job was changed since this form was opened.")
    expect(dialog).to_contain_text("retries would be what this form says.")
    no_serious_violations(page)
    dialog.get_by_role("button", name="Keep it as it is").click()
    expect(page.get_by_role("alert").first).to_contain_text(
        "the job was changed meanwhile; what you entered is still here"
    )
    expect(page.get_by_label("Name", exact=True)).to_have_value("mine")
    assert (lives.job("j")["name"], lives.job("j")["retries"]) == ("t", 5)
    save(page)
    dialog.get_by_role("button", name="Save mine").click()
    expect(page.get_by_role("heading", name="mine", exact=True)).to_be_visible()
    assert (lives.job("j")["name"], lives.job("j")["retries"]) == ("mine", 1)


def test_a_duplicate_is_another_job_and_a_taken_id_is_refused(eyes: Eyes, lives: Lives) -> None:
    eyes.forgive("status of 412")
    page = eyes.page
    lives.make(id="j", name="first", labels={"team": "blue"})
    show(page, lives, "j")
    page.get_by_role("link", name="Duplicate").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("first (copy)")
    page.get_by_label("Id", exact=True).fill("j")
    save(page, "Create")
    expect(page.locator("#wrong-id")).to_have_text("there is a job 'j' already")
    expect(page.get_by_label("Id", exact=True)).to_be_focused()
    page.get_by_label("Id", exact=True).fill("k")
    save(page, "Create")
    expect(page.get_by_role("heading", name="first (copy)")).to_be_visible()
    assert (lives.job("j")["name"], lives.job("k")["labels"]) == ("first", {"team": "blue"})


def test_ids_of_jobs_are_suggested(page: Page, lives: Lives) -> None:
    lives.make(id="load-orders", name="Load orders")
    go(page, lives, "/webui/new-job")
    unfold(page)
    page.get_by_label("Failure handler", exact=True).fill("load")
    expect(page.locator("#job-ids option")).to_have_attribute("value", "load-orders")


# All of them


def test_what_anybody_writes_does_no_harm(own_page: Page, lives: Lives) -> None:
    page = own_page
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    job = lives.make(id=NASTY, name=NASTY, command=f"echo '{NASTY}' >&2; exit 1", shell=True, labels={NASTY: NASTY})
    lives.make(id="child", name=NASTY, schedule="", parent_jobs=[job])
    quoted = "%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E"
    lives.call("POST", f"/api/v1/job/start/{quoted}/")
    lives.call("POST", f"/api/v1/job/pause/{quoted}/", {"reason": NASTY})
    for path in ("", "changes/", "edit", "duplicate"):
        go(page, lives, f"/webui/jobs/{quoted}/{path}")
        expect(page.get_by_role("heading", level=1)).to_contain_text(NASTY)
        page.wait_for_load_state("networkidle" if path else "load")
        assert page.locator("img").count() == 0, path
    show(page, lives, quoted)
    page.locator("#runs").get_by_role("button", name="Why?").click()
    expect(page.locator("#why-answer")).to_contain_text(NASTY)
    page.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"Delete {NASTY}?")
    expect(dialog).to_contain_text(f"Its child goes with it: {NASTY}.")
    dialog.get_by_role("button", name="Delete").click()
    expect(page.locator("#gone")).to_be_visible()
    assert page.locator("img").count() == 0


def test_pages_fit_a_phone_in_both_colours(browser: Browser, lives: Lives) -> None:
    lives.make(id="a", name="a job with a rather long name that has to go somewhere")
    lives.make(id="b", command="x" * 200, schedule="", parent_jobs=["a"], on_failure_job="a-handler-that-is-not-there")
    lives.call("PUT", f"{JOB}b/", lives.job("b") | {"command": "exit 3", "shell": True})
    lives.run_now("a")
    lives.make(id="gone")
    lives.call("DELETE", f"{JOB}gone/")
    with looking(browser, viewport=PHONE, has_touch=True) as eyes:
        for path in ("a/", "b/", "b/changes/", "b/edit", "../new-job", "gone/"):
            go(eyes.page, lives, f"/webui/jobs/{path}")
            unfold(eyes.page)
            assert eyes.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path
            no_serious_violations_in_any_colours(eyes.page)


def test_on_a_phone_a_job_is_made_changed_and_made_again(browser: Browser, lives: Lives) -> None:
    with looking(browser, viewport=PHONE, has_touch=True) as eyes:
        page = eyes.page
        go(page, lives, "/webui/jobs/")
        page.get_by_role("link", name="New job").tap()
        page.get_by_label("Name", exact=True).fill("by thumb")
        page.get_by_label("Command line", exact=True).fill("echo by thumb")
        page.locator("summary", has_text="Retries").tap()
        page.get_by_label("Retries", exact=True).fill("2")
        page.get_by_role("button", name="Create").tap()
        expect(page.get_by_role("heading", name="by thumb")).to_be_visible()
        page.get_by_role("link", name="Edit").tap()
        page.get_by_label("The job as the API takes it").fill(json.dumps(said(page) | {"retries": 3}))
        save(page)
        expect(page.get_by_role("heading", name="by thumb")).to_be_visible()
        page.get_by_role("link", name="Duplicate").tap()
        page.get_by_label("Name", exact=True).fill("by thumb again")
        page.get_by_role("button", name="Create").tap()
        expect(page.get_by_role("heading", name="by thumb again")).to_be_visible()
        made = page.url.rstrip("/").rpartition("/")[2]
    assert (lives.job(made)["name"], lives.job(made)["retries"]) == ("by thumb again", 3)
