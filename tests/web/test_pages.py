"""The web UI's ground: where pages are, what they say of their safety, that values stay text, its files' digests."""

import re
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import pytest
from httpx import Response as Answer

from kala_es.limits import MAX_NAME_CHARS
from kala_es.web.pages.assets import Assets
from kala_es.web.pages.rendering import SAFETY, Pages
from kala_es.web.pages.routes import AS_PAGE, PAGES
from tests.nodes import FAILS, HANGS
from tests.web.edges import Site, draft, serving, writes

NASTY = "<img src=x onerror=alert(1)>\"'&{{7*7}}"
IDS = {"{digest}": Assets().digest, "{name}": "kala.css"}


class Elements(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


async def filled(site: Site) -> dict[str, str]:
    """Jobs of all sorts; what stands for the names in the addresses of pages."""
    await site.create("nasty", "hangs", name=NASTY, owner=NASTY, labels={NASTY: NASTY})
    await site.create("fails", "fails", name="fails")
    await site.create("good", "prints", name="good", schedule="*/5 * * * *")
    await site.run_whole("fails")
    run = await site.run_whole("good")
    await site.start("nasty")
    return {**IDS, "/webui/jobs/{id}": "/webui/jobs/nasty", "/webui/runs/{id}": f"/webui/runs/{run}"}


def address(pattern: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        pattern = pattern.replace(name, value)
    assert "{" not in pattern, pattern
    return pattern


SCRIPTS = {"hangs": HANGS, "fails": FAILS, "prints": writes(("stdout", NASTY.encode() + b"\n\x1b[31mred\x1b[0m\n"))}


def check_page(answer: Answer) -> None:
    """Everything that a page says of itself, and nothing inline."""
    assert answer.headers["content-type"] == "text/html;charset=UTF-8"
    for name, value in SAFETY:
        assert answer.headers[name] == value
    assert answer.headers["cache-control"] == "no-store"
    elements = Elements(answer.text)
    for tag, attributes in elements.found:
        assert tag != "style", "a style is inline"
        assert tag != "script" or attributes.get("src"), "a script is inline"
        assert not [a for a in attributes if a.startswith("on") or a == "style"], (tag, attributes)
        for name in ("src", "href", "action"):
            assert re.match(r"/|#|\?|$", attributes.get(name) or ""), f"{tag} leads elsewhere: {attributes}"
    assert "img" not in {tag for tag, _ in elements.found}, "a value became an element"
    assert len(answer.content) < 300 * 1024
    assert elements.text.count("Skip to the content") == 1
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids)), "an id is there twice"


async def test_every_page_is_shown_escaped_and_under_the_policy() -> None:
    async with serving(SCRIPTS) as site:
        names = await filled(site)
        for row in PAGES:
            path = address(row.pattern, names)
            if path in ("/", "/dashboard/", "/ui/", "/webui/pulse") or "/static/" in path or row.replies != AS_PAGE:
                continue
            answer = await site.http.get(path)
            assert answer.status_code == 200, (path, answer.text, site.complaints)
            check_page(answer)
        assert site.complaints == []


async def test_no_page_is_large_whatever_its_jobs_are_called() -> None:
    """Ids, names and the rest are as long as they may be, and of letters that take the most room in an address."""
    many: dict[str, Any] = {
        "name": "ä" * MAX_NAME_CHARS,
        "owner": "ö" * 1_000,
        "labels": {f"{n}": "ü" * 900 for n in range(5)},
        "schedule": "|".join(["0 0 5 31 1,3,5,7,8,10,12 *"] * 8),
    }
    async with serving({"fails": FAILS, "hangs": HANGS}) as site:
        for number in range(60):
            await site.create(f"{number:03}{'ß' * 90}", "fails", **many)
        for number in range(25):
            await site.run_whole(f"{number:03}{'ß' * 90}")
        await site.create("new", "hangs", name="ä" * MAX_NAME_CHARS)
        await site.start("new")
        past = f"at/?at={site.node.node.folds.position}"
        for path in ("", "jobs/", "calendar/?view=day", past, "events/", "jobs/new/"):
            assert await size_of(site, path) < 300_000, path


async def size_of(site: Site, path: str) -> int:
    answer = await site.http.get(f"/webui/{path}", headers={"Accept-Encoding": "identity"})
    assert answer.status_code == 200, (path, answer.text)
    return len(answer.content)


async def test_no_page_is_large_whoever_goes_along_or_comes_next() -> None:
    """Families of long names, and ticks of all of them on one time line."""
    async with serving() as site:
        name = "ä" * MAX_NAME_CHARS
        for number in range(60):
            await site.create(f"p{number:02}{'ß' * 90}", name=name, schedule="* * * * *")
        for parent in range(20):
            for number in range(30):
                job = f"{parent:02}-{number:02}{'ß' * 90}"
                await site.create(job, name=name, schedule="", parent_jobs=[f"p{parent:02}{'ß' * 90}"])
        await site.create("child", schedule="", parent_jobs=[f"p{number:02}{'ß' * 90}" for number in range(60)])
        for path in ("", "jobs/?q=p", "jobs/child/", f"jobs/p00{'ß' * 90}/"):
            assert await size_of(site, path) < 300_000, path


async def test_a_page_of_long_changes_ends_early_and_none_is_left_out() -> None:
    """Also one whose every text is long, of characters that take the most room."""
    async with serving() as site:
        await site.create("j", name="'" * MAX_NAME_CHARS)
        for number in range(10):
            fields = dict.fromkeys(("command", "stdin", "cwd", "owner"), f"/{number}" + "'" * 3_000)
            every = {**fields, "env": {"A": "'" * 3_000}} if number == 5 else {"command": f"{number}" + "'" * 3_000}
            changed = await site.http.put("/api/v1/job/j/", json=draft(**every))
            assert changed.status_code == 200, changed.text
        path, seen = "jobs/j/changes/", list[str]()
        while path:
            assert await size_of(site, path) < 300_000, path
            page = (await site.http.get(f"/webui/{path}")).text
            seen += re.findall(r'<li class="card" id="p(\d+)"', page)
            older = re.search(r"\?before=\d+", page)
            path = f"jobs/j/changes/{older[0]}" if older else ""
        assert seen == [str(position) for position in range(11, 0, -1)]


async def test_what_a_client_reports_of_a_run_takes_no_more_than_its_share_of_the_page() -> None:
    async with serving({"hangs": HANGS}) as site:
        await site.create("j", "hangs")
        run = await site.start("j")
        for _ in range(5):
            told = await site.http.put(f"/api/v1/job/j/executions/{run}/", json="ß" * 200_000)
            assert told.status_code == 204, told.text
        assert await size_of(site, f"runs/{run}/") < 300_000


async def test_an_address_without_a_page_says_so_as_a_page_or_as_the_api_does() -> None:
    async with serving() as site:
        answer = await site.http.get("/webui/nowhere/<b>", headers={"Accept": "text/html,*/*;q=0.8"})
        assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html;charset=UTF-8")
        assert "there is no page /webui/nowhere/%3Cb%3E/" in answer.text
        answer = await site.http.get("/webui/nowhere")
        assert (answer.status_code, answer.json()) == (404, {"error": "404 page not found"})


async def test_no_answer_is_taken_for_something_else() -> None:
    async with serving() as site:
        for path in ("/api/v1/job/", "/api/v1/job/none/", "/v1/jobs", "/metrics", "/webui/"):
            assert (await site.http.get(path)).headers.get_list("x-content-type-options") == ["nosniff"], path


@pytest.mark.parametrize("path", ["/", "/dashboard/", "/dashboard", "/ui/", "/ui"])
async def test_the_other_addresses_lead_there(path: str) -> None:
    async with serving() as site:
        answer = await site.http.get(path)
        assert (answer.status_code, answer.headers["location"]) == (302, "/webui/")
        assert (await site.http.get("/webui")).status_code == 200


async def test_a_value_stays_text() -> None:
    async with serving(SCRIPTS) as site:
        await filled(site)
        for path in ("/webui/", "/webui/jobs/"):
            page = (await site.http.get(path)).text
            assert NASTY in Elements(page).text, path
            assert "<img" not in page
            assert "49" not in page.partition("<main")[2].partition("onerror")[2][:60]


async def test_a_refusal_is_a_page() -> None:
    async with serving() as site:
        answer = await site.http.get("/webui/jobs/?state=strange")
        assert answer.status_code == 400
        assert "must be one of running" in Elements(answer.text).text
        check_page(answer)


async def test_a_page_takes_no_writing() -> None:
    async with serving() as site:
        for path in ("/webui/", "/webui/jobs/"):
            answer = await site.http.post(path, content=b"x=1")
            assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
        answer = await site.http.post("/api/v1/pause/", headers={"Sec-Fetch-Site": "cross-site"})
        assert answer.status_code == 403


async def test_files_are_kept_for_ever_under_their_digest_and_asked_for_under_another() -> None:
    digest = Assets().digest
    async with serving() as site:
        answer = await site.http.get(f"/webui/static/{digest}/kala.css")
        assert answer.headers["content-type"] == "text/css;charset=UTF-8"
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        old = await site.http.get("/webui/static/0000/kala.css")
        assert (old.status_code, old.headers["cache-control"]) == (200, "no-cache")
        assert old.content == answer.content
        for known in (answer.headers["etag"], f'"x", {answer.headers["etag"]}', f"W/{answer.headers['etag']}", "*"):
            same = await site.http.get("/webui/static/0000/kala.css", headers={"If-None-Match": known})
            assert (same.status_code, same.content) == (304, b"")
        changed = await site.http.get("/webui/static/0000/kala.css", headers={"If-None-Match": '"other"'})
        assert changed.status_code == 200


@pytest.mark.parametrize("name", ["no.css", "..%2Fapp.py", "%2Fetc%2Fpasswd", "__init__.py"])
async def test_other_files_are_not_given(name: str) -> None:
    async with serving() as site:
        assert (await site.http.get(f"/webui/static/{Assets().digest}/{name}")).status_code == 404


async def test_a_page_names_files_that_are_there() -> None:
    async with serving() as site:
        page = Elements((await site.http.get("/webui/")).text)
        named: list[Any] = [a.get("src") or a.get("href") for tag, a in page.found if tag in ("script", "link")]
        assert len(named) >= 4
        for path in named:
            answer = await site.http.get(path)
            assert (answer.status_code, "immutable" in answer.headers["cache-control"]) == (200, True), path


def test_scripts_set_no_markup_and_import_what_is_there() -> None:
    assets = Assets()
    names = [name for name in assets.names if name.endswith(".js")]
    assert len(names) >= 5
    for name in names:
        asset = assets.get(name)
        assert asset is not None
        text = asset.content.decode()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            name
        )
        for imported in re.findall(r"from \"\./([^\"]+)\"", text):
            assert assets.get(imported) is not None, f"{name} imports {imported}"


def test_no_template_marks_a_value_as_safe() -> None:
    for file in files("kala_es.web").joinpath("templates").iterdir():
        text = file.read_text()
        assert not re.search(r"\|\s*safe\b|autoescape|Markup|tojson", text), file.name


def test_a_text_that_no_page_can_say_does_not_take_the_page_away() -> None:
    made = Pages().render("refused.html", {"here": "", "status": 404, "reason": "no \udcff such file"})
    assert b"no ? such file" in bytes(made.body)  # type: ignore[arg-type]
