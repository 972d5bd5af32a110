"""The viewer of a run's output in a browser: follow, pause, search, colours, channels, and much output."""

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.servers import eventually
from tests.system.browser import Eyes, no_serious_violations
from tests.system.lives import Lives
from tests.system.run_pages import all_rows, begin, carried_out, newest, row, rows, show, state, touch

pytestmark = [pytest.mark.system, pytest.mark.slow]
HARMFUL = r"""
say("<script>alert(1)</script><img src=x onerror=alert(2)>\n")
say("bell \x07 nul \x00 delete \x7f c1 \x9b31m\n")
say("right to left \u202e evil \u2066 hidden \u2028 line\n")
say("\x1b]0;a title\x07\x1b]8;;http://elsewhere.example\x1b\\link\x1b]8;;\x1b\\ ")
say("\x1bPq#0\x1b\\\x1b[2J\x1b[10;10Hmoved\n")
say(b"bad \xff\xfe bytes \xc3\xbc\n")
say("\x1b[31;44mred on blue\x1b[0m \x1b[38;5;208morange\x1b[39m \x1b[38;2;1;2;3mdark\x1b[0m ")
say("\x1b[1;4;3mloud\x1b[m plain\n")
say("\x1b[999mstrange \x1b[38;5;999mtoo much\x1b[0m \x1b[;;;m \x1b[\n")
say("an unfinished \x1b[3")
"""
STEADY = r"""
n = 0
while not os.path.exists("%s"):
    n += 1
    say(f"line {n}\n")
    time.sleep(0.01)
"""
NEEDLES = r"""
say("".join(f"line {n}{' NEEDLE' if n in (3, 9000, 19999) else ''}\n" for n in range(1, 20001)))
"""
APART = r"""
for n in range(1, 41):
    say(f"out {n}\n")
    time.sleep(0.06)
    if n % 4 == 0:
        say(f"err {n}\n", err)
        time.sleep(0.06)
"""
PROGRESS = r"""
say("start\n")
for n in range(101):
    say(f"\r{n:3} %")
    time.sleep(0.01)
until("end")
say("\r\x1b[Kdone\nend\n")
"""
IN_HALVES = r"""
say(b"z\xc3")
time.sleep(0.3)
say("err", err)
time.sleep(0.3)
say(b"\xbcrich\n\xe6\xbc")
until("end")
say(b"\xa2")
"""
MUCH = r"""
for n in range(1, {lines} + 1, 1000):
    say("".join(f"{{i:9}} {{'x' * 50}}{{'*' if i == {middle} else '.'}}\n" for i in range(n, n + 1000)))
"""
MUCH_AT_ONCE = r"""
until("go")
for n in range(300):
    say("".join(f"{n * 1000 + i:9} {'y' * 40}\n" for i in range(1, 1001)))
"""


@pytest.fixture
def lives(standing: Lives, tmp_path: Path) -> Lives:
    return standing.lent(tmp_path)


def follow(page: Page) -> Locator:
    return page.get_by_role("button", name="Follow")


def hits(page: Page) -> Locator:
    return page.locator('[data-part="hits"]')


def pane(page: Page) -> Locator:
    return page.locator('[data-part="pane"]')


def size(page: Page) -> Locator:
    return page.locator('[data-part="size"]')


def test_following_ends_when_one_scrolls_up_and_begins_at_the_end(page: Page, lives: Lives) -> None:
    end = lives.directory / "end"
    _, run = begin(lives, STEADY % end)
    show(page, lives, run)
    eventually(lambda: newest(page) > 120)
    expect(follow(page)).to_have_attribute("aria-pressed", "true")
    pane(page).hover()
    page.mouse.wheel(0, -700)
    expect(follow(page)).to_have_attribute("aria-pressed", "false")
    page.wait_for_timeout(200)
    first, before = min(rows(page)), size(page).inner_text()
    expect(size(page)).not_to_have_text(before)
    page.wait_for_timeout(300)
    assert min(rows(page)) == first, "it stays where it was put"
    follow(page).click()
    last = newest(page)
    eventually(lambda: newest(page) > last + 20)
    page.get_by_role("button", name="Pause").click()
    page.wait_for_timeout(100)
    held = rows(page)
    expect(page.locator('[data-part="notes"]')).to_contain_text("more by now")
    assert rows(page) == held
    page.get_by_role("button", name="Pause").click()
    expect(page.locator('[data-part="notes"]')).to_be_empty()
    eventually(lambda: newest(page) > max(held) + 20)
    pane(page).hover()
    page.mouse.wheel(0, -500)
    expect(follow(page)).to_have_attribute("aria-pressed", "false")
    pane(page).press("End")
    expect(follow(page)).to_have_attribute("aria-pressed", "true")
    end.touch()
    expect(state(page)).to_have_text("succeeded")


def test_search_counts_goes_on_and_back_and_finds_what_is_not_at_hand(page: Page, lives: Lives) -> None:
    _, run = carried_out(lives, NEEDLES)
    show(page, lives, run)
    expect(row(page, 20_000)).to_be_visible()
    expect(row(page, 19_999).locator("mark")).to_have_count(0)
    page.keyboard.press("/")
    field = page.get_by_role("searchbox", name="Search the output")
    expect(field).to_be_focused()
    field.press_sequentially("needle")
    expect(hits(page)).to_have_text("3 lines")
    expect(row(page, 19_999).locator("mark")).to_have_text("NEEDLE")
    field.press("Enter")
    expect(hits(page)).to_have_text("3 of 3 lines")
    field.press("Enter")
    expect(hits(page)).to_have_text("1 of 3 lines")
    expect(row(page, 3).locator("mark")).to_be_visible()
    expect(page.locator(".line.current .line-number")).to_have_text("3")
    expect(follow(page)).to_have_attribute("aria-pressed", "false")
    page.get_by_role("button", name="Next match").click()
    expect(row(page, 9_000).locator("mark")).to_be_visible()
    field.press("Shift+Enter")
    expect(row(page, 3).locator("mark")).to_be_visible()
    page.get_by_role("button", name="Next match").click()
    page.get_by_role("button", name="Previous match").click()
    expect(page.locator(".line.current .line-number")).to_have_text("3")
    no_serious_violations(page)
    field.fill("nowhere")
    field.press("Enter")
    expect(hits(page)).to_have_text("No line")
    expect(page.get_by_role("button", name="Next match")).to_be_disabled()
    field.press("Escape")
    expect(hits(page)).to_be_empty()


def test_search_goes_on_with_what_comes(page: Page, lives: Lives) -> None:
    _, run = begin(lives, 'say("\\x1b[31mne\\x1b[0medle\\nneed"); until("more"); say("le\\nneedle\\n"); until("end")')
    show(page, lives, run)
    page.get_by_role("searchbox").fill("needle")
    expect(hits(page)).to_have_text("1 line")
    expect(row(page, 1).locator("mark")).to_have_text(["ne", "edle"])
    touch(lives, "more")
    expect(hits(page)).to_have_text("3 lines")
    touch(lives, "end")


def test_output_can_do_no_harm_and_shows_what_it_says(page: Page, lives: Lives) -> None:
    _, run = carried_out(lives, HARMFUL)
    show(page, lives, run)
    told = all_rows(page)
    assert told == {
        1: "<script>alert(1)</script><img src=x onerror=alert(2)>",
        2: "bell ^G nul ^@ delete ^? c1 U+009B31m",
        3: "right to left U+202E evil U+2066 hidden U+2028 line",
        4: "link moved",
        5: "bad \ufffd\ufffd bytes ü",
        6: "red on blue orange dark loud plain",
        7: "strange too much  ",
        8: "an unfinished ",
    }
    assert page.locator(".line script, .line img").count() == 0
    assert page.title() == "succeeded · a job · kala_es"
    spans = row(page, 6).locator("span")
    looks = spans.evaluate_all("spans => spans.map(s => [s.textContent, s.style.color, s.style.backgroundColor])")
    assert [look for look in looks if look[0] in ("orange", " plain")] == [
        ["orange", "rgb(255, 135, 0)", ""],
        [" plain", "", ""],
    ]
    assert looks[0][1] != ""
    assert looks[0][2] == "rgb(121, 192, 255)"
    assert spans.nth(6).evaluate("s => [s.style.fontWeight, s.style.fontStyle, s.style.textDecoration]") == [
        "bold",
        "italic",
        "underline",
    ]
    no_serious_violations(page)


def test_channels_apart_have_lines_and_a_download_of_their_own(page: Page, lives: Lives) -> None:
    job, run = carried_out(lives, APART)
    show(page, lives, run)
    told = all_rows(page)
    assert len(told) == 50
    assert sum(text.startswith("stderr: err") for text in told.values()) == 10
    assert page.locator(".line.stderr").count() == sum(text.startswith("stderr") for text in rows(page).values())
    page.get_by_role("button", name="stderr").click()
    expect(size(page)).to_contain_text("10 lines")
    expect(page.locator(".line:not(.waits)")).to_have_count(10)
    assert rows(page) == {n: f"stderr: err {n * 4}" for n in range(1, 11)}
    page.get_by_role("searchbox").fill("err 4")
    expect(hits(page)).to_have_text("2 lines")
    raw = f"/api/v1/job/{job}/executions/{run}/output/"
    for name, channel in (("stderr", "?channel=stderr"), ("stdout", "?channel=stdout"), ("Both", "")):
        page.get_by_role("button", name=name).click()
        expect(size(page)).to_contain_text("lines")
        with page.expect_download() as download:
            page.get_by_role("link", name="Download").click()
        assert Path(download.value.path()).read_bytes() == lives.server.get(raw + channel).body
        assert download.value.suggested_filename.startswith(run)


def test_a_line_has_an_address(page: Page, lives: Lives) -> None:
    _, run = carried_out(lives, 'say("".join(f"line {n}\\n" for n in range(1, 5001)))')
    show(page, lives, run, "#L1234")
    expect(row(page, 1234)).to_be_visible()
    expect(page.locator(".line.current .line-number")).to_have_text("1234")
    expect(row(page, 1240)).to_have_text("line 1240")
    page.get_by_role("link", name="1240", exact=True).click()
    assert page.url.endswith("#L1240")
    expect(page.locator(".line.current .line-number")).to_have_text("1240")
    page.reload()
    expect(page.locator(".line.current .line-number")).to_have_text("1240")


def test_a_progress_bar_is_one_line_as_on_a_terminal(page: Page, lives: Lives) -> None:
    _, run = begin(lives, PROGRESS)
    show(page, lives, run)
    expect(row(page, 2)).to_have_text("100 %")
    touch(lives, "end")
    expect(row(page, 2)).to_have_text("done")
    expect(row(page, 3)).to_have_text("end")


def test_a_character_that_is_cut_in_two_is_put_together(page: Page, lives: Lives) -> None:
    _, run = begin(lives, IN_HALVES)
    show(page, lives, run)
    expect(row(page, 1)).to_have_text("stderr: zerrürich")
    touch(lives, "end")
    expect(row(page, 2)).to_have_text("漢")
    page.reload()
    expect(row(page, 2)).to_have_text("漢")


def see_much(page: Page, lives: Lives, lines: int) -> None:
    """So many lines, 62 bytes each: the page begins with the end, jumps anywhere, and keeps little of it."""
    middle = lines // 2
    _, run = carried_out(lives, MUCH.format(lines=lines, middle=middle))
    show(page, lives, run)
    expect(row(page, lines)).to_be_visible()
    longest = page.evaluate(
        """() => new Promise(tell => {
            let longest = 0, last = performance.now();
            const watch = setInterval(() => { longest = Math.max(longest, performance.now() - last);
                last = performance.now(); }, 10);
            setTimeout(() => { clearInterval(watch); tell(longest); }, 500);
        })"""
    )
    assert longest < 2_000, "the page hangs"
    pane(page).press("Home")
    expect(row(page, 1)).to_contain_text("        1 xxx")
    page.evaluate(f"() => {{ location.hash = '#L{middle + 7}'; }}")
    expect(row(page, middle + 7)).to_contain_text(f"{middle + 7} xxx")
    pane(page).press("ArrowDown")
    page.mouse.move(400, 500)
    page.mouse.wheel(0, 180)
    page.wait_for_timeout(400)
    seen = rows(page)
    assert all(text.split()[0] == str(number) for number, text in seen.items())
    assert middle - 200 < min(seen) < middle + 200
    assert page.locator(".line").count() < 150
    page.get_by_role("searchbox").fill("x*")
    expect(hits(page)).to_have_text("1 line", timeout=120_000)
    page.get_by_role("searchbox").press("Enter")
    expect(row(page, middle)).to_be_visible()
    pane(page).press("End")
    expect(row(page, lines)).to_be_visible()
    assert page.evaluate("performance.memory.usedJSHeapSize") < 160e6


def test_20_mib_are_shown_without_being_loaded(page: Page, lives: Lives) -> None:
    see_much(page, lives, 340_000)


@pytest.mark.soak
def test_200_mib_are_shown_without_being_loaded(page: Page, lives: Lives) -> None:
    see_much(page, lives, 3_400_000)


def test_much_live_output_is_followed_to_its_end(eyes: Eyes, lives: Lives) -> None:
    page = eyes.page
    _, run = begin(lives, MUCH_AT_ONCE)
    page.goto(f"{lives.server.url.rstrip('/')}/webui/runs/{run}/")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    touch(lives, "go")
    expect(state(page)).to_have_text("succeeded", timeout=60_000)
    expect(size(page)).to_contain_text("300\u202f000 lines")
    expect(row(page, 300_000)).to_contain_text("300000 yyy")
    assert page.locator(".line").count() < 150
