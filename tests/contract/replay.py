"""Exchanges recorded from a server, replayed against ours, and the differences told.

An exchange is a request and the answer that the original gave, or (without a request) what became of the job that
was created just before. What is compared:

1. The status; of a 2xx the body: every recorded key is there, in the recorded order and with the recorded value.
   Further keys may follow. Ids that the original made are mapped to those that ours made in their place. Of a time only
   counts whether it is never, but for `next_run_at`, which is to be right to the second. Where null was recorded,
   null or an empty list or map may be. Durations are only to be numbers.
2. An error's body is JSON with a text under "error", whatever the original sent; a text that began with the
   sentence by which the original refuses a job begins so here too. The output of a run that failed is ours to show.
3. A GET is repeated until it is answered as expected, for what it reads may still be under way.

An exception says how ours answers instead. It is stale, which is a fault too, when ours answers as recorded.
"""

import copy
import gzip
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from tests.servers import Answer, Server, eventually

NEVER: Final = "0001-01-01T00:00:00Z"
REFUSED: Final = "Error occurred when initializing the job"
CONTENT_TYPE: Final = "application/json;charset=UTF-8"
PATIENCE: Final = 10.0
"""Seconds for which a GET is repeated."""
NEAR: Final = timedelta(days=1)
"""A schedule that starts this near the recording was meant relative to it."""

_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_MAY_BE_EMPTY: Final[tuple[Any, ...]] = (None, [], {})


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One line of the recordings. `body` is bytes to send; `answer` the recorded JSON, None when there is none."""

    group: str
    case: str
    method: str = ""
    path: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    status: int = 200
    answered: Mapping[str, str] = field(default_factory=dict)
    answer: Any = None


@dataclass(frozen=True, kw_only=True)
class Ours:
    """How ours answers instead, and why.

    `status` None is the recorded one. `like` names the case whose answer this one gets; `amend` changes the recorded
    answer into ours. With `undo` the job that was created is deleted again, for the recording goes on without it.
    """

    reason: str
    status: int | None = None
    like: str = ""
    amend: Callable[[Any], Any] = lambda answer: answer
    undo: bool = False


def load(path: Path, faithful: Mapping[str, Callable[[str], bytes]]) -> list[Exchange]:
    """The recordings. `faithful` gives by case the bytes that a body stood for which no JSON line can hold."""
    return [_exchange(json.loads(line), faithful) for line in path.read_text().splitlines()]


def _exchange(line: dict[str, Any], faithful: Mapping[str, Callable[[str], bytes]]) -> Exchange:
    group, case = line["group"], line["case"]
    if "request" not in line:
        return Exchange(group=group, case=case, answer={"metadata": line["metadata"], "runs": line["runs"]})
    request = line["request"]
    body = request["body"]
    text = body if isinstance(body, str) or body is None else json.dumps(body)
    return Exchange(
        group=group,
        case=case,
        method=request["method"],
        path=request["path"],
        headers=request["headers"],
        body=None if text is None else faithful[case](text) if case in faithful else text.encode(),
        status=line["status"],
        answered=line["headers"],
        answer=line.get("json"),
    )


class Replay:
    """One group on one server. `texts` are words in recorded output that stand for others here."""

    def __init__(self, server: Server, exchanges: Mapping[str, Exchange], texts: Mapping[str, str]) -> None:
        self._server = server
        self._exchanges = exchanges
        self._texts = texts
        self._ids: dict[str, str] = {}
        self._now = datetime.now(UTC)

    def play(self, exchange: Exchange, ours: Ours | None, recorded_at: datetime) -> list[str]:
        """Ask what was asked then; the faults of the answer."""
        expected = self._expected(exchange, ours)
        known = dict(self._ids)
        ask = self._asker(exchange, recorded_at)
        answer = ask()
        if exchange.method in ("GET", ""):
            answer = self._patiently(ask, answer, expected)
        stale = ours is not None and not list(self._faults(answer, exchange))
        faults = ["the exception is stale: ours answers as recorded"] if stale else []
        faults += self._faults(answer, expected)
        if ours is not None and ours.like:
            self._ids = known  # the other case's ids stand for what that case makes
        if ours is not None and ours.undo and answer.status == 201:
            faults += self._undo(answer.json["id"])
        return faults

    def _expected(self, exchange: Exchange, ours: Ours | None) -> Exchange:
        if ours is None:
            return exchange
        other = self._exchanges[ours.like] if ours.like else exchange
        return Exchange(
            group=exchange.group,
            case=exchange.case,
            method=exchange.method,
            status=ours.status or other.status,
            answer=ours.amend(copy.deepcopy(other.answer)),
        )

    def _asker(self, exchange: Exchange, recorded_at: datetime) -> Callable[[], Answer]:
        if not exchange.method:
            return lambda: self._outcome(exchange.answer["runs"][0]["job_id"])
        body = exchange.body
        if body is not None and (_UUID.search(body.decode(errors="replace")) or b"schedule" in body):
            text = _rebased(body.decode("utf-8", "surrogateescape"), recorded_at, self._now)
            body = self._mapped(text).encode("utf-8", "surrogateescape")
        path = self._mapped(exchange.path)
        return lambda: self._server.request(exchange.method, path, body, headers=exchange.headers)

    def _outcome(self, job: str) -> Answer:
        """What became of a job: its counters and its runs, as one answer."""
        path = self._mapped(f"/api/v1/job/{job}/")
        state, runs = self._server.get(path), self._server.get(path + "executions/")
        if (state.status, runs.status) != (200, 200):
            return Answer(state.status, state.body, state.headers)
        both = {"metadata": state.json["job"]["metadata"], "runs": runs.json["job_stats"]}
        return Answer(200, json.dumps(both).encode() + b"\n", state.headers)

    def _patiently(self, ask: Callable[[], Answer], first: Answer, expected: Exchange) -> Answer:
        answers = [first]

        def fits() -> bool:
            if not list(self._faults(answers[-1], expected)):
                return True
            answers.append(ask())
            return False

        try:
            eventually(fits, PATIENCE)
        except TimeoutError:
            return answers[-1]
        return answers[-1]

    def _undo(self, job: str) -> list[str]:
        status = self._server.request("DELETE", f"/api/v1/job/{job}/").status
        return [] if status == 204 else [f"undoing it was answered {status}"]

    # Comparing

    def _faults(self, answer: Answer, expected: Exchange) -> Iterator[str]:
        body = gzip.decompress(answer.body) if answer.headers.get("Content-Encoding") == "gzip" else answer.body
        if answer.status != expected.status:
            yield f"status {answer.status}, not {expected.status}: {body[:500]!r}"
        elif "Content-Encoding" in expected.answered and "Content-Encoding" not in answer.headers:
            yield "the body is not compressed"
        elif expected.method == "HEAD" or answer.status == 204:
            yield from ["there is a body"] if body else []
        elif answer.status >= 400:
            yield from _error_faults(body, answer, expected)
        elif expected.answer is not None:
            yield from self._body_faults(body, answer, expected)

    def _body_faults(self, body: bytes, answer: Answer, expected: Exchange) -> Iterator[str]:
        if answer.headers.get("Content-Type") != CONTENT_TYPE:
            yield f"Content-Type is {answer.headers.get('Content-Type')}"
        if not body.endswith(b"\n") or (expected.method and any(mark in body for mark in b"<>&")):
            yield "the body does not end with a newline, or <, > or & are not escaped"
        yield from self._compare(expected.answer, json.loads(body), "")

    def _compare(self, recorded: Any, ours: Any, where: str) -> Iterator[str]:
        match recorded:
            case None:
                yield from [] if ours in _MAY_BE_EMPTY else [f"{where}: {ours!r}, not null"]
            case dict() if isinstance(ours, dict):
                yield from self._compare_objects(recorded, ours, where)
            case list() if isinstance(ours, list):
                if len(recorded) != len(ours):
                    yield f"{where}: {len(ours)} items, not {len(recorded)}: {ours!r}"
                    return
                for i, (one, other) in enumerate(zip(recorded, ours, strict=True)):
                    yield from self._compare(one, other, f"{where}[{i}]")
            case str() if isinstance(ours, str):
                yield from self._compare_texts(recorded, ours, where)
            case _:
                number = where.endswith(".execution_duration") and type(ours) is int
                if type(recorded) is not type(ours) or (recorded != ours and not number):
                    yield f"{where}: {ours!r}, not {recorded!r}"

    def _compare_objects(self, recorded: dict[str, Any], ours: dict[str, Any], where: str) -> Iterator[str]:
        if where == ".jobs":
            recorded = {self._mapped(job): state for job, state in recorded.items()}
            if sorted(recorded) != list(ours):
                yield f"{where}: {list(ours)}, not {sorted(recorded)}"
                return
        elif list(ours)[: len(recorded)] != list(recorded):
            yield f"{where}: the keys are {list(ours)}, not {list(recorded)}"
            return
        for key, value in recorded.items():
            if key == "output" and recorded.get("status") == "Failed":
                yield from [] if isinstance(ours[key], str) else [f"{where}.output is no text"]
            else:
                yield from self._compare(value, ours[key], f"{where}.{key}")

    def _compare_texts(self, recorded: str, ours: str, where: str) -> Iterator[str]:
        key = where.rpartition(".")[2]
        if key == "id" and _UUID.fullmatch(recorded) and _UUID.fullmatch(ours):
            self._ids.setdefault(recorded, ours)
        if _TIME.fullmatch(recorded):
            same = bool(_TIME.fullmatch(ours)) and (recorded == NEVER) == (ours == NEVER)
            if same and key == "next_run_at":
                same = recorded[:19] == ours[:19]
        else:
            expected = self._texts.get(recorded, recorded) if key == "output" else recorded
            same = ours == self._mapped(expected)
        if not same:
            yield f"{where}: {ours!r}, not {recorded!r}"

    def _mapped(self, text: str) -> str:
        return _UUID.sub(lambda match: self._ids.get(match[0], match[0]), text)


def _error_faults(body: bytes, answer: Answer, expected: Exchange) -> Iterator[str]:
    if answer.headers.get_content_type() != "application/json":
        yield f"the error's Content-Type is {answer.headers.get('Content-Type')}"
        return
    text = json.loads(body)["error"]
    if not isinstance(text, str) or not text or not body.endswith(b"\n"):
        yield f"the error has no text: {body!r}"
    recorded = expected.answer["error"] if isinstance(expected.answer, dict) and "error" in expected.answer else None
    if recorded is not None and text.startswith(REFUSED) != recorded.startswith(REFUSED):
        yield f"the error begins otherwise than {recorded[:60]!r}: {text!r}"


def _rebased(text: str, recorded_at: datetime, now: datetime) -> str:
    """The body, its schedule shifted to now when it was meant relative to the recording."""

    def moved(match: re.Match[str]) -> str:
        try:
            start = datetime.fromisoformat(match[0])
        except ValueError:  # February 30
            return match[0]
        return _written(start - recorded_at + now) if abs(start - recorded_at) < NEAR else match[0]

    return _TIME.sub(moved, text)


def _written(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


# What exceptions are made of


def setting(**values: Any) -> Callable[[Any], Any]:
    """Changes the recorded answer at places like job__metadata__success_count."""

    def amend(answer: Any) -> Any:
        for place, value in values.items():
            *outer, last = place.split("__")
            target = answer
            for key in outer:
                target = target[key]
            target[last] = value
        return answer

    return amend


def own_runs(answer: Any, job: str) -> Any:
    """Of recorded runs those of one job, in the order of their starts."""
    runs = [run for run in answer["job_stats"] if run["job_id"] == job]
    return {"job_stats": sorted(runs, key=lambda run: str(run["ran_at"]))}
