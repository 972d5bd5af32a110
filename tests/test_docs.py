"""The documents say what is so: the README's session runs, every setting, route, event and limit is described.

Each check is a function from a text to its faults, and each is shown to find one.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

import pytest

from kala_es import limits
from kala_es.domain import events
from kala_es.settings import SETTINGS, Setting, Settings, key, variable
from kala_es.web.routes import ROUTES
from tests.servers import Server

ROOT: Final = Path(__file__).resolve().parents[1]
README: Final = ROOT / "README.md"
ADRS: Final = sorted((ROOT / "docs" / "adr").glob("*.md"))
ADDRESS: Final = "http://127.0.0.1:8000"
SESSION_SECONDS: Final = 120
HEADINGS: Final = ("Status", "Context", "Options", "Decision", "Consequences", "Confirmation")
SKIPPED: Final = {".venv", ".git", "__pycache__", ".hypothesis", "node_modules"}
DOCUMENTS: Final = sorted(p for p in ROOT.rglob("*.md") if not SKIPPED.intersection(p.relative_to(ROOT).parts))


# The session in the README


@dataclass(frozen=True)
class Step:
    """A command of a `console` block, where it stands, and what it is expected to print."""

    line: int
    command: str
    output: str


def console(text: str) -> Iterator[Step]:
    """The steps of all `console` blocks. A command goes on in lines that begin with `> `."""
    number = 0
    lines = iter(text.splitlines())
    for line in lines:
        number += 1
        if line.strip() != "```console":
            continue
        step: Step | None = None
        for line in lines:
            number += 1
            if line.strip() == "```":
                break
            if step is not None and line.startswith("> ") and not step.output:
                step = Step(step.line, f"{step.command}\n{line[2:]}", "")
            elif line.startswith("$ "):
                if step is not None:
                    yield step
                step = Step(number, line[2:], "")
            elif step is None:
                raise ValueError(f"line {number}: output without a command")
            else:
                step = Step(step.line, step.command, f"{step.output}{line}\n")
        if step is not None:
            yield step


def fits(expected: str, actual: str) -> bool:
    """Whether the output is as expected: `...` in a line is any text, as a line of its own any lines."""
    pattern = ""
    for line in expected.splitlines():
        pattern += r"(?:.*\n)*" if line.strip() == "..." else re.escape(line).replace(r"\.\.\.", ".*") + r"\n"
    return re.fullmatch(pattern, actual if actual.endswith("\n") or not actual else actual + "\n") is not None


def session(steps: Sequence[Step], environment: Mapping[str, str], directory: Path) -> list[str]:
    """Run the commands one after another in one shell; what each printed, stderr too."""
    mark = "end of step"
    after = f"ended=$?; printf '%s\\n' '{mark}'; (exit $ended)"
    script = "".join(f"{step.command}\n{after}\n" for step in steps)
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", script],
        env=environment,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SESSION_SECONDS,
        check=False,
    )
    return done.stdout.decode("utf-8", "replace").replace("\r\n", "\n").split(f"{mark}\n")[: len(steps)]


def session_faults(steps: Sequence[Step], printed: Sequence[str]) -> Iterator[str]:
    """What came back otherwise than the document says."""
    for step, actual in zip(steps, printed, strict=False):
        if not fits(step.output, actual):
            yield f"README.md:{step.line}: $ {step.command}\nexpected:\n{step.output}came:\n{actual}"
    if len(printed) != len(steps):
        yield f"the session ended after {len(printed)} of {len(steps)} steps"


def shell_environment(directory: Path) -> dict[str, str]:
    """A person's shell, with the program on its path; curl shows no progress meter, as on a terminal."""
    (directory / ".curlrc").write_text("silent\nshow-error\nmax-time = 30\n")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {"PATH": path, "HOME": str(directory), "CURL_HOME": str(directory), "LC_ALL": "C.UTF-8"}


@pytest.mark.system
def test_the_readme_session_runs(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with Server.start(tmp_path / "server") as server:
        steps = list(console(README.read_text().replace(ADDRESS, server.url.rstrip("/"))))
        assert len(steps) > 20, "the session is gone"
        faults = list(session_faults(steps, session(steps, shell_environment(home), home)))
    assert not faults, "\n".join(faults)


def test_a_session_that_goes_otherwise_is_noticed(tmp_path: Path) -> None:
    text = (
        "```console\n$ x=1\n> echo a $x b\na ... b\n$ echo no\nyes\n```\n"
        "```json\n$ false\n```\n```console\n$ echo $x >&2; false\n1\n$ echo $?\n1\n```"
    )
    steps = list(console(text))
    assert [(step.line, step.output) for step in steps] == [(2, "a ... b\n"), (5, "yes\n"), (12, "1\n"), (14, "1\n")]
    printed = session(steps, shell_environment(tmp_path), tmp_path)
    assert printed == ["a 1 b\n", "no\n", "1\n", "1\n"]
    assert len(list(session_faults(steps, printed))) == 1
    assert len(list(session_faults(steps, printed[:1]))) == 1


@pytest.mark.parametrize(
    ("expected", "actual", "answer"),
    [
        ("", "", True),
        ("", "x\n", False),
        ("a\n", "a", True),
        ("a ... c\n", "a b c\n", True),
        ("a ... c\n", "a b\nc\n", False),
        ("a\n...\nc\n", "a\nb\nb\nc\n", True),
        ("a\n...\nc\n", "a\nc\n", True),
        ("a\n...\nc\n", "a\nb\nd\n", False),
        ("a.c\n", "abc\n", False),
    ],
)
def test_wildcards(expected: str, actual: str, *, answer: bool) -> None:
    assert fits(expected, actual) is answer


# Settings


def table(text: str, *columns: str) -> list[dict[str, str]]:
    """The rows of the first table that has these columns, by column; code marks are left out."""
    rows: list[list[str]] = []
    for line in text.splitlines():
        cells = [c.replace("\\|", "|").replace("`", "").strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]]
        if line.startswith("|") and (rows or [c.lower() for c in cells[: len(columns)]] == list(columns)):
            rows.append(cells)
        elif rows:
            break
    return [dict(zip(columns, row, strict=False)) for row in rows[2:]]


def setting_faults(text: str) -> Iterator[str]:
    """Settings that the table lacks or has wrong, and rows without a setting."""
    rows = {row["variable"]: row for row in table(text, "flag", "variable", "key", "default", "meaning")}
    for setting in SETTINGS:
        row = rows.pop(variable(setting), None)
        if row is None:
            yield f"{variable(setting)} is not in the table"
            continue
        if row["flag"].split(", ") != list(setting.flags):
            yield f"{variable(setting)}: its flags are {', '.join(setting.flags)}"
        if row["key"] != key(setting):
            yield f"{variable(setting)}: its key is {key(setting)}"
        if not default_fits(setting, row["default"]):
            yield f"{variable(setting)}: its default is {getattr(Settings(), setting.name)!r}"
        if not row["meaning"]:
            yield f"{variable(setting)}: there is no word about it"
    yield from (f"there is no setting {name}" for name in rows if name != "KALA_ES_CONFIG")


def default_fits(setting: Setting, text: str) -> bool:
    """Whether a default, as it would be written in the environment, is the setting's."""
    try:
        return bool(setting.read(text) == getattr(Settings(), setting.name))
    except ValueError:
        return False


def test_every_setting_is_described() -> None:
    assert list(setting_faults(README.read_text())) == []


def test_a_setting_that_is_described_wrongly_is_noticed() -> None:
    text = README.read_text()
    for old, new in (
        ("KALA_ES_GRACE", "KALA_ES_PATIENCE"),
        ("`--grace`", "`--patience`"),
        ("`grace`", "`patience`"),
        ("`3h`", "`4h`"),
    ):
        assert list(setting_faults(text.replace(old, new))), f"{old} -> {new}"


# Routes, events, limits


def route_faults(text: str) -> Iterator[str]:
    """Routes that are not described, and descriptions of routes that are not."""
    known = {f"{row.method} {row.pattern}" for row in ROUTES}
    named = set(re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /[^`]*)`", text))
    yield from (f"{route} is not described" for route in sorted(known - named))
    yield from (f"there is no {route}" for route in sorted(named - known))


API_PAGES: Final = ("docs/api/http.md", "docs/api/dkron.md")


def pages(*names: str) -> str:
    return "\n".join((ROOT / name).read_text() for name in names)


@pytest.mark.parametrize("names", [("README.md",), API_PAGES])
def test_every_route_is_described(names: tuple[str, ...]) -> None:
    assert list(route_faults(pages(*names))) == []


def test_a_route_that_is_not_described_is_noticed() -> None:
    text = README.read_text()
    row = ROUTES[0]
    assert list(route_faults(text.replace(f"`{row.method} {row.pattern}`", ""))) == [
        f"{row.method} {row.pattern} is not described"
    ]
    assert list(route_faults(f"{text} `GET /nowhere/`")) == ["there is no GET /nowhere/"]


def answer_faults(text: str) -> Iterator[str]:
    """Statuses and parameters of a route that its section does not speak of."""
    parts = re.split(r"^#+ (.*)$", text, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    for row in ROUTES:
        section = sections.get(f"`{row.method} {row.pattern}`", "")
        statuses = {str(reply.status) for reply in row.replies}
        names = {parameter.name for parameter in row.parameters if parameter.where == "query"}
        for missing in sorted((statuses | names) - set(re.findall(r"\w+", section))):
            yield f"{row.method} {row.pattern}: {missing} is not described"


def test_every_answer_is_described() -> None:
    assert list(answer_faults(pages(*API_PAGES))) == []


def test_an_answer_that_is_not_described_is_noticed() -> None:
    text = pages(*API_PAGES)
    assert list(answer_faults(text.replace("416", "417").replace("`count`", "`number`"))) == [
        "GET /api/v1/job/{id}/next/: count is not described",
        "GET /api/v1/schedule/: count is not described",
        "GET /api/v1/job/{id}/executions/{run}/output/: 416 is not described",
    ]


def event_faults(text: str) -> Iterator[str]:
    """Event types that are not described."""
    for kind in get_args(events.Event):
        if not re.search(rf"\b{kind.__name__}\b", text):
            yield f"{kind.__name__} is not described"


def test_every_event_is_described() -> None:
    assert list(event_faults((ROOT / "docs" / "events.md").read_text())) == []


def test_an_event_that_is_not_described_is_noticed() -> None:
    text = " ".join(kind.__name__ for kind in get_args(events.Event))
    assert list(event_faults(text)) == []
    assert list(event_faults(text.replace("TickMissed", "TickMissedOut"))) == ["TickMissed is not described"]


def limit_faults(text: str) -> Iterator[str]:
    """Limits that the table lacks, has without what happens, or has and there are none."""
    rows = {row["name"]: row for row in table(text, "name", "value", "when it is reached")}
    for name in vars(limits):
        if name.isupper() and not (rows.pop(name, {}).get("when it is reached")):
            yield f"{name} is not described"
    yield from (f"there is no limit {name}" for name in rows)


def test_every_limit_is_described() -> None:
    assert list(limit_faults((ROOT / "docs" / "operating.md").read_text())) == []


def test_a_limit_that_is_not_described_is_noticed() -> None:
    text = (ROOT / "docs" / "operating.md").read_text().replace("| `MAX_JOBS` |", "| `MAX_TASKS` |")
    assert list(limit_faults(text)) == ["MAX_JOBS is not described", "there is no limit MAX_TASKS"]


# Decisions


def adr_faults(name: str, text: str) -> Iterator[str]:
    """What a decision's page lacks."""
    number = re.match(r"\d{4}(?=-[a-z0-9-]+\.md$)", name)
    if number is None or not text.startswith(f"# {number[0]}. "):
        yield f"{name}: its title or its name has not its number"
    parts = re.split(r"^## (.*)$", text, flags=re.MULTILINE)
    if tuple(parts[1::2]) != HEADINGS:
        yield f"{name}: its headings are {', '.join(parts[1::2])}"
    for heading, content in zip(parts[1::2], parts[2::2], strict=True):
        if not content.strip():
            yield f"{name}: {heading} is empty"
        if heading == "Confirmation" and "(../../tests/" not in content:
            yield f"{name}: no test confirms it"


def test_every_decision_has_its_parts() -> None:
    assert [int(page.name[:4]) for page in ADRS] == list(range(1, len(ADRS) + 1))
    assert [fault for page in ADRS for fault in adr_faults(page.name, page.read_text())] == []


def test_a_decision_without_a_part_is_noticed() -> None:
    page = ADRS[0]
    text = page.read_text()
    assert list(adr_faults(page.name, text)) == []
    assert list(adr_faults("decision.md", text))
    assert list(adr_faults(page.name, text.replace("## Options", "## Choices")))
    assert list(adr_faults(page.name, re.sub("(?s)(## Status).*(## Context)", r"\1\n\n\2", text)))
    assert list(adr_faults(page.name, text.replace("(../../tests/", "(../../kala_es/")))


# Links


def prose(text: str) -> str:
    """The text without its fenced blocks and code spans."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"(?ms)^ *```.*?^ *```", "", text))


def anchors(text: str) -> set[str]:
    """What a link may name behind its `#`, as code hosts make it of headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"(?ms)^ *```.*?^ *```", "", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def link_faults(page: Path, text: str) -> Iterator[str]:
    """Links that lead nowhere within the tree. Those that leave it are not followed."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        if not there.exists():
            yield f"{page.name}: {target} is not there"
        elif anchor and anchor not in anchors(there.read_text()):
            yield f"{page.name}: {target} has no such heading"


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    assert list(link_faults(page, page.read_text())) == []


def test_a_link_that_leads_nowhere_is_noticed() -> None:
    good = "[x](CHANGELOG.md) [y](docs/glossary.md#what-happens) [w](https://example.com/) `[v](nowhere)`"
    assert list(link_faults(README, good)) == []
    assert list(link_faults(README, "[x](NOWHERE.md) [y](docs/glossary.md#nowhere)")) == [
        "README.md: NOWHERE.md is not there",
        "README.md: docs/glossary.md#nowhere has no such heading",
    ]
