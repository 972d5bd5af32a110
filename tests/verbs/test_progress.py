"""Long work tells how far it is: a bar on a terminal, plain lines elsewhere, nothing of short work."""

import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pytest

from bench.replay import history
from kala_es import codec
from kala_es.cli import main
from kala_es.domain.events import Event, JobCreated, RunStarted
from kala_es.event_logs.lmdb import open_log
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.verbs import progress
from kala_es.verbs.progress import Progress, days, positions, size
from tests.servers import Server

EVENTS: Final = 12_000
"""The processes of `verify` tell each 10,000 positions."""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets what time it is."""
    now = [0.0]
    monkeypatch.setattr("kala_es.verbs.progress.time.monotonic", lambda: now[0])

    def at(moment: float) -> None:
        now[0] = moment

    return at


def test_a_terminal_gets_a_bar_in_place_that_goes_away(
    clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress() as told:
        for moment, done in ((0, 0), (0.9, 900), (1, 1_000), (1.1, 1_100), (2, 2_000)):
            clock(moment)
            told(done, 4_000)
    first, second, end = terminal.getvalue().split("\r\x1b[K")[1:]
    assert first == "kala-es: [#####---------------] 25%, 0:00:03 left, 1,000 positions a second"
    assert second == "kala-es: [##########----------] 50%, 0:00:02 left, 1,000 positions a second"
    assert end == ""


def test_elsewhere_a_line_is_written_now_and_then(
    clock: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(size) as told:
        for moment in range(12):
            clock(moment)
            told(moment << 20, 20 << 20)
    assert capsys.readouterr().err.splitlines() == [
        "kala-es: 25% of 20.0 MiB, 0:00:15 left, 1.0 MiB a second",
        "kala-es: 50% of 20.0 MiB, 0:00:10 left, 1.0 MiB a second",
    ]


def test_short_work_says_nothing(clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress() as told:
        for done in range(100):
            clock(done / 101)
            told(done, 100)
    assert terminal.getvalue() == ""


def test_another_pass_has_a_rate_of_its_own_and_what_is_not_known_is_not_said(
    clock: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(positions) as told:
        for moment, done in ((0, 0), (5, 50), (6, 0), (10, 4_000)):
            clock(moment)
            told(done, 0)
    with Progress(days) as told:
        told(0, 1 << 60)
        clock(20)
        told(0, 1 << 60)
    assert capsys.readouterr().err.splitlines() == [
        "kala-es: 50 positions, 10 positions a second",
        "kala-es: 4,000 positions, 1,000 positions a second",
        "kala-es: 0% of 13,343,998.9 days, 0.0 days a second",
    ]


def test_what_shows_itself_on_a_terminal_is_not_told_there(
    clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", Terminal())
    with Progress(beside=True) as told:
        clock(10)
        told(1, 2)
    assert terminal.getvalue() == ""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a log; and all that takes any time at all is long."""
    monkeypatch.setattr(progress, "SHORT_SECONDS", 0.0)
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    directory = tmp_path / "log"
    directory.mkdir()
    return directory


async def fill(directory: Path, events: Sequence[Event]) -> None:
    log = open_log(directory, MemoryFoldStore())
    records = [codec.encode(event) for event in events]
    for first in range(0, len(records), 500):
        await log.append(records[first : first + 500])
    await log.close()


async def test_each_verb_that_may_take_long_tells(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = history(EVENTS)
    await fill(log, events)
    data = ("--data", str(log))
    file = str(tmp_path / "archive")
    job = next(event.job for event in events if isinstance(event, JobCreated))
    run = next(event.run for event in events if isinstance(event, RunStarted))
    last, time = f"{len(events):,}", "2100-01-01T00:00:00Z"
    for verb, whole in (
        (["export", file, *data], f"100% of {last} positions"),
        (["import", file, "--data", str(tmp_path / "copy")], "MiB a second"),
        (["verify", *data], f"of {last} positions"),
        (["verify", file], "MiB a second"),
        (["restore", *data, "--into", str(tmp_path / "restored"), "--until", time], f"100% of {last} positions"),
        (["replay", "events", *data], f"100% of {last} positions"),
        (["replay", "events", *data, "--job", job], f"100% of {last} positions"),
        (["replay", "show", "jobs", *data, "--at", time], f"100% of {last} positions"),
        (["replay", "show", "run", run, *data], f"100% of {last} positions"),
        (["replay", "diff", *data, "--from", "1"], f"100% of {last} positions"),
        (
            ["replay", "simulate", *data, "--from", "2030-01-01T00:00:00Z", "--until", "2030-01-03T00:00:00Z"],
            "of 2.0 days",
        ),
    ):
        assert main(verb) == 0
        assert whole in capsys.readouterr().err, verb


@pytest.mark.system
def test_an_archive_on_its_way_from_and_to_a_server_tells(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "archive")
    with Server.start(tmp_path / "server") as server:
        assert server.send("POST", "/api/v1/job/", {"name": "a", "command": "true"}).status == 201
        assert main(["export", file, "--server", server.url]) == 0
        assert "100% of 0.0 MiB" in capsys.readouterr().err
        assert main(["import", file, "--server", server.url, "--on-conflict", "skip"]) == 0
        told = capsys.readouterr()
        assert ("100% of 0.0 MiB" in told.err, "1 unchanged" in told.out) == (True, True)
