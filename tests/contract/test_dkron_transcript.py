"""The requests of a running Dkron 2.2.1, replayed against a server of ours: the same statuses, answers of one shape.

A shape: every recorded key is there, in the recorded order, with a value of the recorded type; further keys may
follow. Where null or an empty map was recorded, either may be. An error's body is JSON with the reason, whatever was
sent there.
Where ours answers otherwise, `EXCEPTIONS` says how and why; one that is no difference any more is a fault.
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest

from tests.servers import Answer, Server, eventually

pytestmark = pytest.mark.system

RECORDING: Final = Path(__file__).with_name("dkron-transcript.txt")
HOST: Final = "http://localhost:28080"
EMPTY: Final[tuple[Any, ...]] = (None, [], {})

NO_EXECUTOR = "a job without an executor is refused: there it is taken, and never runs (2.1)"
NO_SUCH_JOB = f"it was not created: {NO_EXECUTOR}"
LATER = "this route came with a later version"
EXCEPTIONS: Final[dict[str, tuple[int, str]]] = {
    'POST /v1/jobs {"name":"minimal","schedule":"@manually"}': (400, NO_EXECUTOR),
    'POST /v1/jobs {"name":"nulls","schedule":"@manually","parent_job":null,"tags":null,"NAME":"ci","unknown":5}': (
        400,
        NO_EXECUTOR,
    ),
    "GET /v1/jobs/minimal/executions": (404, NO_SUCH_JOB),
    "POST /v1/jobs/minimal": (404, NO_SUCH_JOB),
    'PATCH /v1/jobs {"name":"minimal","schedule":"@every 5m"}': (400, NO_EXECUTOR),
    "GET /v1/stats": (200, LATER),
    "GET /metrics": (200, LATER),
    "GET /": (302, "it leads to the pages, as the dashboard of the original does"),
    "PUT /v1/jobs/j1 {}": (400, f"{LATER}, and the body lacks an executor"),
}


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A request, and what was answered. `answer` None when the body was no JSON."""

    method: str
    path: str
    body: bytes | None
    status: int
    location: str
    answer: Any

    @property
    def case(self) -> str:
        return " ".join(filter(None, [self.method, self.path, (self.body or b"").decode()]))


def load() -> list[Exchange]:
    return [exchange(block) for block in RECORDING.read_text().split("\n### ")[1:]]


def exchange(block: str) -> Exchange:
    """A line of curl's arguments, then the answer's head, a blank line, and its body."""
    request, _, rest = block.partition("\n")
    head, _, body = rest.partition("\n\n")
    flags, _, after = request.partition(HOST)
    path, _, content = after.partition(" -d ")
    path, _, query = path.partition(" --data-urlencode ")
    if query:
        name, _, value = query.partition("=")
        path += f"?{quote(name)}={quote(value)}"
    status, *headers = head.splitlines()
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    return Exchange(
        method=flags.strip().removeprefix("-X") if flags.startswith("-X") else "GET",
        path=path,
        body=content.encode() if " -d" in after else None,
        status=int(status.split()[1]),
        location=next((line.partition(": ")[2] for line in headers if line.startswith("Location: ")), ""),
        answer=answer,
    )


def shape_faults(ours: Any, theirs: Any, place: str = "") -> list[str]:
    if theirs in EMPTY and ours in EMPTY:
        return []
    if isinstance(theirs, dict) and isinstance(ours, dict):
        shared = [key for key in ours if key in theirs]
        faults = [] if shared == list(theirs) else [f"{place}: has {list(ours)}, not {list(theirs)}"]
        return faults + [f for key in shared for f in shape_faults(ours[key], theirs[key], f"{place}.{key}")]
    if isinstance(theirs, list) and isinstance(ours, list):
        if len(ours) != len(theirs):
            return [f"{place}: {len(ours)} items, not {len(theirs)}"]
        return [
            f for i, pair in enumerate(zip(ours, theirs, strict=True)) for f in shape_faults(*pair, f"{place}[{i}]")
        ]
    return [] if type(ours) is type(theirs) else [f"{place}: {ours!r}, not {theirs!r}"]


def faults(answer: Answer, expected: Exchange, status: int) -> list[str]:
    if answer.status != status:
        return [f"{answer.status}, not {status}: {answer.body[:300]!r}"]
    if status >= 400:
        return [] if "error" in answer.json else [f"no reason: {answer.body!r}"]
    found = shape_faults(answer.json, expected.answer)
    if expected.location and answer.headers["Location"] != expected.location:
        found.append(f"Location {answer.headers['Location']}, not {expected.location}")
    if b"\n    " in answer.body and "pretty" not in expected.path:
        found.append("indented")
    return found


def test_every_request_of_the_transcript_is_answered_as_there(tmp_path: Path) -> None:
    played = set()
    with Server.start(tmp_path) as server:
        for expected in load():
            played.add(expected.case)
            status, reason = EXCEPTIONS.get(expected.case, (expected.status, ""))
            assert not reason or status != expected.status, f"stale exception: {expected.case}"
            if reason:
                answer = server.request(expected.method, expected.path, expected.body)
                assert answer.status == status, (expected.case, answer.body)
                continue
            said: list[str] = []

            def as_there(expected: Exchange = expected, said: list[str] = said) -> bool:
                """What a GET reads may still be under way."""
                answer = server.request(expected.method, expected.path, expected.body)
                said[:] = faults(answer, expected, expected.status)
                return not said or expected.method != "GET"

            with suppress(TimeoutError):
                eventually(as_there, 5)
            assert said == [], expected.case
    assert set(EXCEPTIONS) <= played


def test_the_recording_is_read_whole() -> None:
    exchanges = load()
    assert len(exchanges) == RECORDING.read_text().count("\n### ") > 45
    assert {each.method for each in exchanges} == {"GET", "POST", "PATCH", "PUT", "DELETE"}
