"""The web UI when others, or the network, do something at the same time; and with names that nobody expects."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Dialog, Page, Route, expect

from tests.servers import eventually
from tests.system.browser import Eyes, no_serious_violations, said
from tests.system.lives import JOB, Lives

pytestmark = [pytest.mark.system, pytest.mark.slow]


@pytest.fixture
def lives(standing: Lives, tmp_path: Path) -> Lives:
    return standing.lent(tmp_path)


def go(page: Page, lives: Lives, path: str) -> None:
    page.goto(lives.server.url.rstrip("/") + path)


def save(page: Page, name: str = "Save") -> None:
    page.get_by_role("button", name=name, exact=True).click()


# The form


def delete_chosen(page: Page, *names: str) -> None:
    """Choose jobs of the list, and delete them together."""
    for name in names:
        page.get_by_label(f"Choose {name}").check()
    page.locator("#bulk").get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()


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
    go(page, lives, "/webui/new-job")
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


def test_nothing_is_entered_before_the_form_is_ready(page: Page, lives: Lives) -> None:
    held: list[Route] = []
    page.route("**/job_form.js", lambda route: held.append(route))
    page.goto(f"{lives.server.url}/webui/new-job", wait_until="commit")
    name = page.get_by_label("Name", exact=True)
    expect(name).to_be_disabled()
    expect(page.get_by_role("button", name="Create")).to_be_disabled()
    held[0].continue_()
    name.fill("entered")
    expect(page.get_by_label("The job as the API takes it")).to_have_value('{\n  "name": "entered"\n}')


def test_a_form_whose_job_goes_meanwhile_says_so(eyes: Eyes, lives: Lives) -> None:
    eyes.forgive("404")
    page, job = eyes.page, lives.make()

    def go_first(route: Route) -> None:
        lives.call("DELETE", f"{JOB}{job}/")
        route.continue_()

    page.route("**/declaration", go_first)
    page.goto(f"{lives.server.url}/webui/jobs/{job}/edit")
    expect(page.get_by_role("alert").first).to_contain_text("The job cannot be shown: ")
    expect(page.get_by_role("button", name="Save")).to_be_disabled()


def test_what_was_entered_is_not_left_without_a_question(own_page: Page, lives: Lives) -> None:
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    own_page.on("dialog", stay)
    go(own_page, lives, "/webui/new-job")
    own_page.get_by_label("Name", exact=True).press_sequentially("much work")
    own_page.evaluate("location.assign('/webui/')")
    expect(own_page.get_by_label("Name", exact=True)).to_have_value("much work")
    own_page.wait_for_timeout(200)
    assert asked == ["beforeunload"]


def test_names_that_every_object_has_are_names_as_any(page: Page, lives: Lives) -> None:
    go(page, lives, "/webui/new-job")
    page.get_by_label("The job as the API takes it").fill(
        json.dumps({"name": "n", "type": 1, "remote_properties": {"url": "http://127.0.0.1:1/"}})
    )
    for i, name in enumerate(("constructor", "__proto__")):
        page.get_by_role("button", name="Add to Headers").click()
        page.get_by_label("Headers: name").nth(i).fill(name)
        page.get_by_label("Headers: value").nth(i).fill("v")
    assert said(page)["remote_properties"]["headers"] == {"constructor": ["v"], "__proto__": ["v"]}


# What is missed


def test_older_runs_and_changes_are_turned_to(page: Page, lives: Lives) -> None:
    job = lives.make(command="echo 1")
    for number in range(20):
        lives.run_now(job)
        lives.call("PUT", f"{JOB}{job}/", lives.job(job) | {"command": f"echo {number + 2}"})
    lives.run_now(job)
    go(page, lives, f"/webui/jobs/{job}/")
    rows = page.locator("#runs tbody tr")
    expect(rows).to_have_count(20)
    page.get_by_role("link", name="Runs before these").click()
    expect(rows).to_have_count(1)
    page.get_by_role("link", name="To the newest").click()
    expect(rows).to_have_count(20)
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    lives.call("PUT", f"{JOB}{job}/", lives.job(job) | {"name": "renamed"})
    page.get_by_role("link", name="Show it as it is now").click()
    expect(page.get_by_role("heading", name="renamed")).to_be_visible()
    page.get_by_role("link", name="Edit").click()
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("link", name="Changes").click()
    page.get_by_role("link", name="Changes before these").click()
    expect(page.locator(".changes > li").last).to_contain_text("created")
    page.get_by_role("link", name="To the job").click()
    expect(page.get_by_role("button", name="Run now")).to_be_visible()


def test_a_list_that_was_away_reads_itself_anew(page: Page, lives: Lives) -> None:
    for job in ("constructor", "plain"):
        lives.make(id=job, name=job)
    page.route("**/webui/pulse", lambda route: route.abort("aborted"))
    go(page, lives, "/webui/jobs/")
    rows = page.locator("#jobs tbody tr")
    expect(rows).to_have_count(2)
    page.get_by_label("Choose plain").check()
    lives.call("POST", "/api/v1/job/disable/plain/")
    lives.make(id="later", name="later")
    page.unroute("**/webui/pulse")
    expect(rows).to_have_count(3)
    expect(page.locator('tr[data-job="plain"] .state')).to_have_text("disabled")
    expect(page.get_by_label("Choose plain")).to_be_checked()
    expect(page.locator("#chosen")).to_have_text("1 chosen")
    expect(page.get_by_role("navigation", name="State")).to_contain_text("All 3")
    lives.call("POST", "/api/v1/job/disable/later/")
    expect(page.locator('tr[data-job="later"] .state')).to_have_text("disabled")
    expect(page.locator('tr[data-job="constructor"] .state')).to_have_text("ready")


def test_an_undone_deletion_brings_back_what_there_was_and_not_what_the_page_knew(page: Page, lives: Lives) -> None:
    lives.make(id="j", name="j", retries=1)
    page.route("**/webui/pulse", lambda route: route.abort("aborted"))
    go(page, lives, "/webui/jobs/")
    lives.call("PUT", f"{JOB}j/", lives.job("j") | {"retries": 5})
    delete_chosen(page, "j")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_label("Choose j")).to_have_count(1)
    assert lives.job("j")["retries"] == 5


def test_the_overview_tells_a_pause_and_failures_that_it_did_not_hear_of(page: Page, own: Lives) -> None:
    job = own.make(name="broken", command="exit 3", shell=True)
    page.route("**/webui/pulse", lambda route: route.abort("aborted"))
    go(page, own, "/webui/")
    own.run_now(job)
    own.call("POST", "/api/v1/pause/", {"reason": "a move"})
    page.unroute("**/webui/pulse")
    expect(page.locator("#failures li")).to_have_count(1)
    expect(page.locator("#above")).to_contain_text("a move")
    expect(page.locator("#no-failures")).to_be_hidden()


@pytest.mark.parametrize("is_followed", [True, False])
def test_events_of_a_log_that_began_anew_are_shown(eyes: Eyes, tmp_path: Path, is_followed: bool) -> None:
    """Also where the server has gone before the page could follow it."""
    eyes.forgive(
        "ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|status of 400"
        "|ERR_CONNECTION_ABORTED"
    )
    page = eyes.page
    with Lives(tmp_path, "--no-persist") as lives:
        for name in ("one", "two", "three"):
            lives.make(name=name)
        if not is_followed:
            page.route("**/api/v1/events/**", lambda route: route.abort("connectionaborted"))
        page.goto(f"{lives.server.url}/webui/events/")
        expect(page.locator("#live")).to_have_attribute("data-state", "on" if is_followed else "lost")
        expect(page.locator("#events tbody")).to_contain_text("three")
        lives.server.kill9()
        lives.args = (*lives.args, "--port", str(lives.server.port))
        lives.again()
        page.unroute("**/api/v1/events/**")
        expect(page.locator("#events tbody")).not_to_contain_text("three", timeout=30_000)  # the waits grow
        lives.make(name="after")
        expect(page.locator("#events tbody")).to_contain_text("after")


def test_after_a_sleep_the_stream_is_opened_anew(own_page: Page, lives: Lives) -> None:
    own_page.clock.install()
    go(own_page, lives, "/webui/")
    expect(own_page.locator("#live")).to_have_attribute("data-state", "on")
    with own_page.expect_request("**/webui/pulse"):
        own_page.clock.fast_forward("05:00")
    expect(own_page.locator("#live")).to_have_attribute("data-state", "on")


def test_a_browser_that_keeps_nothing_has_a_live_page_all_the_same(own_page: Page, lives: Lives) -> None:
    own_page.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no'); } })"
    )
    go(own_page, lives, "/webui/")
    expect(own_page.locator("#live")).to_have_attribute("data-state", "on")
    own_page.get_by_role("button", name="Colours").click()
    expect(own_page.get_by_role("button", name="Colours: Light")).to_be_visible()


# What is agreed to


def test_what_is_taken_in_is_what_the_plan_was_of(page: Page, lives: Lives) -> None:
    lives.make(id="j", name="old")
    archive = lives.directory / "jobs.archive"
    archive.write_bytes(lives.server.get("/api/v1/snapshot/").body)
    lives.call("PUT", f"{JOB}j/", lives.job("j") | {"name": "new"})
    go(page, lives, "/webui/settings/")
    held: list[Route] = []
    page.route("**/api/v1/snapshot/*", lambda route: held.append(route), times=1)
    page.locator("#archive").set_input_files(archive)
    page.locator("#conflict").select_option("skip")
    with page.expect_response("**/api/v1/snapshot/*"):
        with page.expect_request("**/api/v1/snapshot/*"):
            page.get_by_role("button", name="Show the plan").click()
        page.locator("#conflict").select_option("replace")
        held[0].continue_()
    page.wait_for_timeout(200)
    expect(page.locator("#plan")).to_be_hidden()
    page.get_by_role("button", name="Show the plan").click()
    expect(page.locator("#plan")).to_contain_text("1 change")
    assert lives.job("j")["name"] == "new"
    page.get_by_role("button", name="Take these jobs in").click()
    expect(page.get_by_role("dialog")).to_contain_text("Definitions that are there are replaced")
    page.get_by_role("dialog").get_by_role("button", name="Take them in").click()
    expect(page.get_by_text("Taken in:")).to_be_visible()
    assert lives.job("j")["name"] == "old"


def test_the_output_of_a_run_is_erased_for_a_reason(page: Page, lives: Lives) -> None:
    job = lives.make(command="echo a secret")
    lives.run_now(job)
    run = lives.runs(job)[0]["id"]
    go(page, lives, f"/webui/runs/{run}/")
    page.get_by_role("button", name="Erase").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("nothing brings it back")
    dialog.get_by_role("button", name="Erase the output").click()
    expect(dialog.get_by_label("Reason")).to_have_attribute("aria-invalid", "true")
    no_serious_violations(page)
    dialog.get_by_label("Reason").fill("a <b>password</b>")
    dialog.get_by_role("button", name="Erase the output").click()
    expect(page.get_by_role("heading", name="The output was erased")).to_be_visible()
    expect(page.get_by_text("a <b>password</b>")).to_be_visible()
    assert lives.server.get(f"{JOB}{job}/executions/{run}/output/").status == 410
    expect(page.get_by_role("button", name="Erase")).to_have_count(0)


def test_a_revert_changes_what_it_showed_or_nothing(eyes: Eyes, own: Lives) -> None:
    eyes.forgive("status of 412")
    page = eyes.page
    own.make(id="j", command="echo one")
    own.call("PUT", f"{JOB}j/", own.job("j") | {"command": "echo two"})
    go(page, own, "/webui/jobs/j/changes/")
    page.get_by_role("button", name="Revert to this").click()
    own.call("PUT", f"{JOB}j/", own.job("j") | {"retries": 5})
    page.get_by_role("dialog").get_by_role("button", name="Revert to this").click()
    expect(page.locator("#said")).to_contain_text("the job was changed meanwhile")
    assert (own.job("j")["command"], own.job("j")["retries"]) == ("echo two", 5)
    page.reload()
    page.get_by_role("button", name="Revert to this").last.click()
    page.get_by_role("dialog").get_by_role("button", name="Revert to this").click()
    expect(page.get_by_role("button", name="Run now")).to_be_visible()
    assert own.job("j")["command"] == "echo one"


def test_a_name_that_turns_text_around_is_asked_about_as_it_is(page: Page, lives: Lives) -> None:
    lives.make(id="j", name="\u202egnp.exe")
    go(page, lives, "/webui/jobs/j/")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog").get_by_role("heading")).to_have_text("Delete U+202Egnp.exe?")


def test_one_job_with_very_long_texts_leaves_room_for_others(page: Page, lives: Lives) -> None:
    lives.make(id="w", name="W" * 1000, owner="o" * 500, labels={"k" * 900: "v" * 900}, command="x" * 3000)
    lives.make(id="z", name="zebra")
    page.set_viewport_size({"width": 390, "height": 844})
    for path in ("jobs/", "jobs/w/", "jobs/w/edit", "jobs/w/changes/", "events/", "calendar/", ""):
        go(page, lives, f"/webui/{path}")
        page.wait_for_load_state("load")
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
    go(page, lives, "/webui/jobs/")
    expect(page.get_by_role("link", name="zebra")).to_be_visible()
    heights = page.eval_on_selector_all("#jobs tbody tr", "rows => rows.map(row => row.offsetHeight)")
    assert max(heights) < 260, heights


def test_children_that_go_along_are_named_and_come_back(page: Page, lives: Lives) -> None:
    lives.make(name="other")
    lives.make(id="parent", name="parent")
    lives.make(id="child", name="the child", schedule="", parent_jobs=["parent"])
    lives.make(id="grandchild", name="its child", schedule="", parent_jobs=["child"])
    go(page, lives, "/webui/jobs/?q=parent")
    page.get_by_label("Choose parent").check()
    page.locator("#bulk").get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(
        "Children go with them: the child, its child; so do others that have no other parent."
    )
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("navigation", name="State")).to_contain_text("All 0")  # it was read anew
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_label("Choose parent")).to_have_count(1)
    eventually(lambda: lives.call("GET", f"{JOB}grandchild/")[0] == 200)
    assert lives.job("grandchild")["parent_jobs"] == ["child"]


def test_chosen_children_that_are_listed_before_their_parent_come_back(eyes: Eyes, lives: Lives) -> None:
    eyes.forgive("status of 40[04]")  # they are gone with their parent, and refused before it
    page = eyes.page
    lives.make(id="zzz", name="zzz")
    for child in ("aaa", "bbb"):
        lives.make(id=child, name=child, schedule="", parent_jobs=["zzz"])
    go(page, lives, "/webui/jobs/")
    delete_chosen(page, "aaa", "bbb", "zzz")
    expect(page.locator("#said")).to_contain_text("3 jobs deleted.")
    page.get_by_role("button", name="Undo").click()
    for job in ("aaa", "bbb", "zzz"):
        expect(page.get_by_label(f"Choose {job}")).to_be_visible()
    assert lives.job("aaa")["parent_jobs"] == ["zzz"]


def test_undo_leaves_a_job_alone_that_somebody_made_meanwhile(eyes: Eyes, lives: Lives) -> None:
    eyes.forgive("status of 412")
    page = eyes.page
    lives.make(id="j", name="j", command="echo old")
    go(page, lives, "/webui/jobs/")
    delete_chosen(page, "j")
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    lives.make(id="j", name="j", command="echo new")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#said")).to_contain_text("j: there is a job of this id again")
    assert lives.job("j")["command"] == "echo new"


def test_who_comes_back_to_the_form_sees_what_it_would_send(own_page: Page, lives: Lives) -> None:
    page = own_page
    go(page, lives, "/webui/new-job")
    page.get_by_label("Name", exact=True).fill("first")
    page.get_by_label("Command line", exact=True).fill("true")
    page.get_by_label("Schedule", exact=True).fill("0 0 1 1 *")
    page.get_by_label("Disabled").check()
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", name="first")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("button", name="Create")).to_be_enabled()
    expect(page.get_by_label("Schedule", exact=True)).to_have_value("")
    expect(page.get_by_label("Disabled")).not_to_be_checked()
    assert said(page) == {}


def test_a_mistake_in_the_json_is_not_written_over_by_a_field(page: Page, lives: Lives) -> None:
    go(page, lives, "/webui/new-job")
    beside = page.get_by_label("The job as the API takes it")
    beside.fill('{"name": "j", "retries": 3,}')
    expect(page.locator("#wrong-json")).to_contain_text("Not JSON yet")
    assert page.locator(".groups-form").evaluate("side => side.inert")
    beside.fill('{"name": "j", "notify": [{"when": 5}]}')
    expect(page.locator("#wrong-json")).to_have_text("Not a job: a value is of another kind than its field.")
    beside.fill('{"name": "j", "retries": 3}')
    expect(page.get_by_label("Name", exact=True)).to_have_value("j")
    page.get_by_label("Name", exact=True).fill("k")
    expect(beside).to_have_value('{\n  "name": "k",\n  "retries": 3\n}')


def show(page: Page, *, hidden: bool) -> None:
    """As a browser does when another tab is looked at, or this one again."""
    page.evaluate(
        """hidden => {
            Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


def test_a_hidden_tab_holds_no_connection_and_misses_nothing(own_page: Page, lives: Lives) -> None:
    page = own_page
    go(page, lives, "/webui/")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/webui/pulse")):
        show(page, hidden=True)
    lives.start("sleep 60", name="seen later")
    page.wait_for_timeout(1_500)
    expect(page.locator("main")).not_to_contain_text("seen later")
    show(page, hidden=False)
    expect(page.locator("main")).to_contain_text("seen later")


def test_a_hidden_tab_of_a_run_goes_on_where_it_was(own_page: Page, lives: Lives, tmp_path: Path) -> None:
    page = own_page
    job = lives.start(f"echo one; until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo two; sleep 60")
    go(page, lives, f"/webui/runs/{lives.runs(job)[0]['id']}/")
    expect(page.locator("#output")).to_contain_text("one")
    show(page, hidden=True)
    (tmp_path / "go").touch()
    page.wait_for_timeout(1_500)
    expect(page.locator("#output")).not_to_contain_text("two")
    show(page, hidden=False)
    expect(page.locator("#output")).to_contain_text("two")
