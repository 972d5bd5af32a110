"""The modules of the output's viewer by themselves, in the browser that runs them: values in, values out."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.system.browser import looking
from tests.system.lives import Lives

pytestmark = [pytest.mark.system, pytest.mark.slow]
Script = Callable[[str, str, Any], Any]


@pytest.fixture(scope="module")
def script(browser: Browser, standing_on: Callable[[str], Lives]) -> Iterator[Script]:
    """Gives what a function makes of a module and an argument. One page has them all: they leave nothing in it."""
    with looking(browser) as eyes:
        eyes.page.goto(f"{standing_on('lmdb').server.url.rstrip('/')}/webui/")

        def run(name: str, body: str, argument: Any) -> Any:
            source = f"""async (argument) => {{
                const beside = document.querySelector('link[href$="kala.css"]').href;
                return ({body})(await import(new URL({name!r}, beside)), argument);
            }}"""
            found = eyes.page.evaluate(source, argument)
            eyes.check()
            return found

        yield run


SHOWN = {
    "plain": "plain",
    "10%\r20%\r100%": "100%",
    "longer\rshort": "shortr",
    "gone\r\x1b[Kleft": "left",
    "abc\x1b[2Kd": "   d",
    "abc\x1b[1K": "   ",
    "ab\b\bxy": "xy",
    "\b\bx": "x",
    "a\tb\rX": "X       b",
    "a\tb": "a\tb",
    "ab\x1b[6Gz": "ab   z",
    "ab\x1b[2Dz": "zb",
    "a\x1b[3Cb": "a   b",
    "a\x1b[999999999Cb": None,
    "\x1b[31mred\x1b[0m": "red",
    "\x1b[?25l\x1b[2J\x1b(B\x1b7\x1b=x": "x",
    "\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b": "ab",
    "\x1b]never ended": "",
    "\x1b": "",
    "\x1b[": "",
    "\x1b[12;": "",
    "\x00\x01\x1f\x7f": "^@^A^_^?",
    "\x85\x9b\u202e\u2066\ufeff": "U+0085U+009BU+202EU+2066U+FEFF",
    "漢字 \U0001f600\r漢": "漢字 \U0001f600",
}


def test_a_line_is_shown_as_a_terminal_would(script: Script) -> None:
    found = script("ansi.js", "(ansi, lines) => lines.map(ansi.plain)", list(SHOWN))
    for (line, wanted), shown in zip(SHOWN.items(), found, strict=True):
        if wanted is None:
            assert len(shown) <= 100_001, line
        else:
            assert shown == wanted, repr(line)


STYLES = {
    "31": [1, None, 0],
    "97;104": [15, 12, 0],
    "38;5;208": [208, None, 0],
    "48;2;1;2;3": [None, [1, 2, 3], 0],
    "38:2::9:8:7": [[9, 8, 7], None, 0],
    "38:5:100": [100, None, 0],
    "58;5;1;32": [2, None, 0],
    "1;2;3;4;7;9": [None, None, 63],
    "1;4;22": [None, None, 8],
    "31;1;0": [None, None, 0],
    "31;": [None, None, 0],
    "": [None, None, 0],
    "4:0": [None, None, 0],
    "38;5;999": [None, None, 0],
    "38;2;1": [None, None, 0],
    "999;x": [None, None, 0],
    "41;49;32;39": [None, None, 0],
}


def test_colours_and_styles_follow_their_sequences(script: Script) -> None:
    body = (
        "(ansi, all) => all.map(text => { const s = ansi.styleAfter(ansi.PLAIN, text); return [s.fg, s.bg, s.flags]; })"
    )
    assert script("ansi.js", body, list(STYLES)) == list(STYLES.values())


def test_a_style_goes_on_to_the_next_line_of_its_channel(script: Script) -> None:
    body = """(ansi) => {
        const first = ansi.parse([{channel: "stdout", text: "\\x1b[31mred"}, {channel: "stderr", text: "err"}]);
        const second = ansi.parse([{channel: "stdout", text: "on"}, {channel: "stderr", text: "off"}], first.styles);
        return [...first.spans, ...second.spans].map(span => [span.text, span.style.fg]);
    }"""
    assert script("ansi.js", body, None) == [["red", 1], ["err", None], ["on", 1], ["off", None]]


def test_every_colour_can_be_read_on_every_ground(script: Script) -> None:
    body = """(colours) => {
        let worst = 21;
        for (const under of [colours.GROUND, colours.STDERR_GROUND])
            for (let fg = 0; fg < 256; fg++)
                for (let bg = -1; bg < 256; bg++)
                    for (const flags of [0, 1, 2, 16]) {
                        const { text, ground } = colours.look({ fg, bg: bg < 0 ? null : bg, flags }, under);
                        worst = Math.min(worst, colours.contrast(text ?? [214, 222, 230], ground ?? under));
                    }
        return worst;
    }"""
    assert script("colours.js", body, None) >= 4.5


def test_lines_are_let_go_and_come_back(script: Script) -> None:
    body = """({ LineStore }) => {
        const store = new LineStore(60_000);
        store.begin({ first: 1, lines: 0, position: 0, pieces: [] });
        for (let i = 1; i <= 2000; i++) store.append(i, { channel: "stdout", attempt: 1, text: `line ${i}\\n` });
        store.append(2000, { channel: "stdout", attempt: 1, text: "again" });
        const missing = store.look(1, 10);
        const newest = store.get(2000).pieces[0].text;
        store.put({ first: 1, pieces: [{ channel: "stdout", attempt: 1, text: "line 1\\nline 2\\nline 3\\n" }] });
        return [store.lines, missing, newest, store.get(3)?.pieces[0].text, store.look(1, 10)];
    }"""
    assert script("output_lines.js", body, None) == [2000, [1, 10], "line 2000", "line 3", [4, 10]]


def test_a_long_line_is_bounded_and_one_written_over_keeps_its_end(script: Script) -> None:
    body = """({ LineStore }) => {
        const told = (text) => {
            const store = new LineStore(1e6);
            store.begin({ first: 1, lines: 0, position: 0, pieces: [] });
            for (let i = 1; i <= 3000; i++) store.append(i, { channel: "stdout", attempt: 1, text: text(i) });
            const line = store.get(1);
            return [store.lines, line.size < 100_000, line.cut, line.pieces.at(-1).text.slice(-9)];
        };
        return [told(() => "x".repeat(100)), told((i) => `\\r${"=".repeat(100)} ${i}`)];
    }"""
    assert script("output_lines.js", body, None) == [
        [1, True, True, "xxxxxxxxx"],
        [1, True, False, "==== 3000"],
    ]


def test_frames_are_whole_however_they_are_cut(script: Script) -> None:
    output = 'id: 3\nevent: output\ndata: {"text":"a: b\\n"}\n\n'
    text = f"retry: 1000\n\n{output}: ping\n\nid: 4\nevent: end\ndata: {{}}\n\nid: 5\n"
    body = """({ FrameParser }, text) => [1, 2, 7, 1000].map(size => {
        const parser = new FrameParser(), found = [];
        for (let at = 0; at < text.length; at += size) found.push(...parser.feed(text.slice(at, at + size)));
        return found;
    })"""
    wanted = [{"id": 3, "event": "output", "data": {"text": "a: b\n"}}, {"id": 4, "event": "end", "data": {}}]
    assert script("run_stream.js", body, text) == [wanted] * 4


def test_the_nearest_hit_is_found_in_both_directions(script: Script) -> None:
    body = "({ nearest }) => [1, 5, 6, 9, 10].map(line => [nearest([5, 9], line, true), nearest([5, 9], line, false)])"
    assert script("output_search.js", body, None) == [[0, -1], [0, 0], [1, 0], [1, 1], [-1, 1]]
