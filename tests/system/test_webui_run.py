"""A run's page in a browser, against a real server and real runs: its state as it changes, and what can be done."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.servers import eventually
from tests.system.browser import PHONE, Eyes, looking, no_serious_violations, no_serious_violations_in_any_colours
from tests.system.lives import Lives
from tests.system.run_pages import address, all_rows, begin, carried_out, newest, row, show, start, state, touch

pytestmark = [pytest.mark.system, pytest.mark.slow]
NASTY = "<img src=x onerror=alert(1)>"


@pytest.fixture
def lives(standing: Lives, tmp_path: Path) -> Lives:
    return standing.lent(tmp_path)


def events(page: Page) -> list[str]:
    return page.locator('[data-run-part="events"] tr').all_inner_texts()


def attempts(page: Page) -> list[str]:
    return page.locator('[data-run-part="attempts"] tr').all_inner_texts()


def test_a_run_is_followed_from_its_start_to_its_end(page: Page, lives: Lives) -> None:
    _, run = begin(lives, 'say("one\\n"); until("more"); say("two\\nthr"); until("end"); say("ee\\n")', name=NASTY)
    show(page, lives, run)
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    expect(state(page)).to_have_text("running")
    expect(page.get_by_role("heading", level=1)).to_have_text(NASTY)
    expect(row(page, 1)).to_have_text("one")
    took = page.locator('[data-run-part="elapsed"]')
    before = took.inner_text()
    expect(took).not_to_have_text(before)
    touch(lives, "more")
    expect(row(page, 3)).to_have_text("thr")
    no_serious_violations(page)
    touch(lives, "end")
    expect(state(page)).to_have_text("succeeded")
    expect(row(page, 3)).to_have_text("three")
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    expect(page.locator('[data-run-part="ended"] time')).to_be_visible()
    assert "succeeded" in page.title()
    expect(page.locator("#live")).to_have_attribute("data-state", "off")
    told = events(page), attempts(page)
    page.reload()
    expect(row(page, 3)).to_have_text("three")
    assert (events(page), attempts(page)) == told, "what was told live is what the server says"
    no_serious_violations(page)


def test_attempts_and_their_ends_are_told_as_they_come(page: Page, lives: Lives) -> None:
    body = """
n = os.environ["KALA_ATTEMPT"]
say("attempt " + n + "\\n")
until("end" + n)
say("bad\\n", err)
sys.exit(3)
"""
    _, run = begin(lives, body, retries=2, retry_delay="PT1S")
    show(page, lives, run)
    expect(row(page, 1)).to_have_text("attempt 1")
    touch(lives, "end1")
    expect(state(page)).to_have_text("waiting")
    expect(page.locator('[data-run-part="attempts"] tr')).to_have_count(2)
    expect(state(page)).to_have_text("running")
    expect(row(page, 3)).to_contain_text("attempt 2")
    expect(row(page, 3).locator(".line-note")).to_have_text("attempt 2")
    touch(lives, "end2")
    touch(lives, "end3")
    expect(state(page)).to_have_text("failed")
    expect(page.locator('[data-run-part="why"]')).to_have_text("failed, exit code 3")
    expect(page.locator('[data-run-part="attempt-count"]')).to_have_text("3")
    told = events(page), attempts(page)
    assert [text.count("exit code 3") for text in told[1]] == [1, 1, 1]
    page.reload()
    expect(row(page, 5).locator(".line-note")).to_have_text("attempt 3")
    assert (events(page), attempts(page)) == told


def test_a_run_is_cancelled_after_a_question(page: Page, lives: Lives) -> None:
    job, run = begin(lives, 'say("at work\\n"); until("never")')
    show(page, lives, run)
    expect(row(page, 1)).to_have_text("at work")
    page.get_by_role("button", name="Cancel").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("KILL")
    no_serious_violations(page)
    dialog.get_by_role("button", name="Keep it as it is").click()
    expect(dialog).to_have_count(0)
    assert lives.runs(job)[0]["outcome"] is None
    page.get_by_role("button", name="Cancel").click()
    dialog.get_by_role("button", name="Cancel the run").click()
    expect(state(page)).to_have_text("cancelled")
    assert lives.ended(job)[0]["outcome"] == "cancelled"
    assert any("its end was asked for" in text for text in events(page))


def test_a_run_is_run_again(page: Page, lives: Lives) -> None:
    job, run = carried_out(lives, 'say("done\\n")', name="a job <b>")
    show(page, lives, run)
    page.get_by_role("button", name="Run again").click()
    page.get_by_role("dialog").get_by_role("button", name="Run again").click()
    page.wait_for_url(lambda url: run not in url)
    second = lives.ended(job, 2)[1]
    assert page.url.endswith(f"/webui/runs/{second['id']}/")
    expect(row(page, 1)).to_have_text("done")
    expect(page.get_by_text("usually")).to_be_visible()
    expect(page.get_by_role("progressbar", name="Of the usual duration")).to_be_visible()
    page.get_by_role("link", name="the run before").click()
    page.wait_for_url(lambda url: run in url)
    page.get_by_role("link", name="the run after").click()
    page.wait_for_url(lambda url: second["id"] in url)


def test_a_refusal_to_run_again_is_said(eyes: Eyes, lives: Lives) -> None:
    page = eyes.page
    eyes.forgive("409")
    _, run = begin(lives, 'say("at work\\n"); until("end")', overlap="skip")
    show(page, lives, run)
    page.get_by_role("button", name="Run again").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("still in flight")
    dialog.get_by_role("button", name="Run again").click()
    expect(page.locator("#said .note.bad")).to_contain_text("overlap")
    touch(lives, "end")
    expect(state(page)).to_have_text("succeeded")


def test_a_run_leads_to_the_run_that_caused_it(page: Page, lives: Lives) -> None:
    job = lives.make(name="the parent", command="true")
    child = lives.make(name="the child", command="true", parent_jobs=[job], schedule="")
    run = start(lives, job)
    page.goto(address(lives, lives.ended(child)[0]["id"]))
    page.get_by_role("link", name="a run of the parent").click()
    page.wait_for_url(lambda url: run in url)
    expect(page.get_by_role("heading", level=1)).to_have_text("the parent")


def test_output_goes_on_without_loss_or_doubling_after_kill_9(eyes: Eyes, own: Lives) -> None:
    page, port = eyes.page, own.server.port
    eyes.forgive("ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE")
    body = """
n = 0
while not os.path.exists(os.path.join(os.path.dirname(sys.argv[0]), "end")):
    n += 1
    say(f"line {n}\\n", err if n % 5 == 0 else out)
    time.sleep(0.005)
"""
    job, run = begin(own, body)
    show(page, own, run)
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    eventually(lambda: newest(page) > 100)
    own.server.kill9()
    expect(page.locator("#live")).to_have_attribute("data-state", "lost")
    expect(page.locator('[data-part="notes"]')).to_contain_text("reconnecting")
    own.args = (*own.args, "--port", str(port))
    own.again()
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    expect(page.locator('[data-part="notes"]')).to_be_empty()
    before = newest(page)
    eventually(lambda: newest(page) > before + 100)
    touch(own, "end")
    expect(state(page)).to_have_text("succeeded")
    told = all_rows(page)
    raw = own.server.get(f"/api/v1/job/{job}/executions/{run}/output/").body.decode().splitlines()
    assert [told[n].removeprefix("stderr: ") for n in range(1, len(raw) + 1)] == raw
    assert len(told) == len(raw)


def test_output_that_is_erased_is_told_as_such(eyes: Eyes, lives: Lives) -> None:
    page = eyes.page
    eyes.forgive("410")
    job, run = carried_out(lives, 'say("a secret\\n")')
    show(page, lives, run)
    status, _ = lives.call("POST", f"/api/v1/job/{job}/executions/{run}/redact/", {"reason": "a password was printed"})
    assert status == 204
    page.get_by_role("button", name="stdout").click()
    expect(page.locator('[data-part="notes"]')).to_contain_text(
        "Not shown: the output was erased: a password was printed"
    )
    expect(page.locator('[data-part="pane"]')).to_be_hidden()
    page.reload()
    expect(page.get_by_role("heading", name="The output was erased")).to_be_visible()
    expect(page.get_by_text("a password was printed")).to_be_visible()
    no_serious_violations(page)


def test_output_that_an_archive_left_out_is_told_as_such(page: Page, own: Lives, tmp_path: Path) -> None:
    _, run = carried_out(own, 'say("not taken along\\n")')
    archive = own.server.get("/api/v1/snapshot/?output=none").body
    with Lives(tmp_path / "other") as other:
        assert other.server.request("POST", "/api/v1/snapshot/", archive).status == 200
        page.goto(address(other, run))
        expect(page.get_by_role("heading", name="The output is not here")).to_be_visible()
        expect(state(page)).to_have_text("succeeded")


def test_what_was_beyond_the_limit_of_output_is_told_where_it_is(page: Page, lives: Lives) -> None:
    _, run = carried_out(
        lives, 'say("x" * 99 + "\\n"); say("y" * 5000)', max_output=1000, on_max_output="truncate-head"
    )
    show(page, lives, run)
    expect(page.get_by_text("more were printed and are not kept")).to_be_visible()
    expect(page.locator(".line-note").first).to_contain_text("bytes left out")


def test_a_run_that_printed_nothing(page: Page, lives: Lives) -> None:
    _, run = carried_out(lives, "")
    show(page, lives, run)
    expect(page.get_by_text("Nothing is printed.")).to_be_visible()
    no_serious_violations(page)


def test_on_a_phone_nothing_is_wider_than_the_screen(browser: Browser, lives: Lives) -> None:
    _, run = carried_out(lives, 'say("a long line " * 40 + "\\n", err); sys.exit(1)', name="n" * 200, retries=1)
    with looking(browser, viewport=PHONE) as eyes:
        show(eyes.page, lives, run)
        assert eyes.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        no_serious_violations_in_any_colours(eyes.page)
