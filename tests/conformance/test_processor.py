"""The processor's conformance suite: what every adapter of the port keeps, then what each one has of its own.

A `World` is an adapter with a receiver, which can be closed.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
import trio

from kala_es import limits
from kala_es.domain.errors import Invalid
from kala_es.notifiers.webhook import WebhookNotifier
from kala_es.processor import End, Part, Piece, Processor, ProcessorError, check_config, schema_of
from kala_es.processors.files import FilesProcessor, safe
from kala_es.processors.fluent import FluentProcessor
from kala_es.processors.installed import our_own
from kala_es.processors.lines import lines_of
from kala_es.processors.log import LogProcessor
from kala_es.processors.syslog import SyslogProcessor
from kala_es.processors.webhook import WebhookProcessor
from kala_es.web.file_schema import jobs_file
from tests.log_receivers import fluent, syslog
from tests.receivers import hook
from tests.taking import ScriptedProcessor

ROOT: Final = Path(__file__).resolve().parents[2]
PATIENCE: Final = 30.0
AT: Final = 1_767_600_000_123_456
SUCCEEDED: Final = End(at=AT + 10**6, outcome="succeeded", over=True, exit_code=0)
FAILED: Final = End(at=AT, outcome="failed", over=True, exit_code=3, reason="exit code 3", dropped=7)
START: Final = Part(job="a/b", name="the job", run="run-1", started=AT, attempt=1, offset=0, first=True)


def part(*pieces: str, after: int = 0, end: End | None = None, **changes: Any) -> Part:
    """A part with these pieces of stdout (`!` before one: stderr), so many bytes on."""
    made = tuple(
        Piece("stderr" if text.startswith("!") else "stdout", text.removeprefix("!").encode(), AT) for text in pieces
    )
    return replace(START, offset=after, first=not after, pieces=made, end=end, **changes)


@dataclass(kw_only=True)
class World:
    """An adapter; the config of a job; the lines that its receiver got, at least so many; how it is closed."""

    processor: Processor
    got: Callable[[int], list[str]]
    close: Callable[[], None]
    config: Mapping[str, str] = field(default_factory=dict)

    async def take(self, *parts: Part) -> None:
        for each in parts:
            with trio.fail_after(PATIENCE):
                await self.processor.process(each, self.config)


def scripted(_: ExitStack, __: Path) -> World:
    processor = ScriptedProcessor()

    def close() -> None:
        processor.fate = "closed"

    return World(
        processor=processor,
        got=lambda _: [line.text for each in processor.parts for line in lines_of(each.pieces)],
        close=close,
    )


def log(_: ExitStack, __: Path) -> World:
    blocks: list[bytes] = []

    def say(block: bytes) -> None:
        if closed:
            raise BrokenPipeError("closed")
        blocks.append(block)

    closed: list[bool] = []
    return World(
        processor=LogProcessor(say),
        got=lambda _: [line for line in b"".join(blocks).decode().splitlines() if not line.startswith("-----")],
        close=lambda: closed.append(True),
    )


def files(stack: ExitStack, directory: Path) -> World:
    def got(_: int) -> list[str]:
        return [line for file in sorted(directory.rglob("*.log")) for line in file.read_text().splitlines()]

    def close() -> None:
        (directory / "a%2Fb").write_text("in the way")

    return World(processor=FilesProcessor(directory), got=got, close=close)


def messages(got: list[str]) -> list[str]:
    """What syslog was told of output."""
    return [message.partition("a/b: ")[2] for message in got if "attempt 1" not in message]


def by_udp(stack: ExitStack, directory: Path) -> World:
    server = stack.enter_context(syslog())
    config = {"address": server.address, "tag": "jobs", "facility": "local3"}
    return World(
        processor=SyslogProcessor(str(directory / "nowhere")),
        config=config,
        got=lambda count: messages(server.got(count)),
        close=server.close,
    )


def by_path(stack: ExitStack, directory: Path) -> World:
    server = stack.enter_context(syslog(directory / "log"))
    return World(
        processor=SyslogProcessor(str(directory / "log")),
        got=lambda count: messages(server.got(count)),
        close=server.close,
    )


def to_fluent(stack: ExitStack, _: Path) -> World:
    server = stack.enter_context(fluent())
    return World(
        processor=FluentProcessor({}),
        config={"host": "127.0.0.1", "port": str(server.port), "tag": "jobs.out"},
        got=lambda count: [event["message"] for _, _, event in server.events(count) if "message" in event],
        close=server.close,
    )


def webhook(stack: ExitStack, _: Path) -> World:
    server = stack.enter_context(hook())
    return World(
        processor=WebhookProcessor(WebhookNotifier()),
        config={"url": server.url},
        got=lambda _: [line["text"] for got in server.got for line in got.json["lines"]],
        close=server.close,
    )


WORLDS: Final = {
    "scripted": scripted,
    "log": log,
    "files": files,
    "syslog by UDP": by_udp,
    "syslog by path": by_path,
    "fluent": to_fluent,
    "webhook": webhook,
}


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield WORLDS[request.param](stack, tmp_path)


def found(directory: Path) -> list[Path]:
    """The log files below a directory, in the order of what they hold."""
    return sorted(directory.rglob("*.log"), key=lambda path: path.with_suffix(""))


# The port


async def test_output_is_there_line_by_line_and_in_order(world: World) -> None:
    await world.take(
        part("one\ntw", "o\n", "\n"),
        part("!\u00fcber 3 \u2264 4 \u00ab\U0001f600\u00bb\n", after=9),
        part("the last", after=34, end=SUCCEEDED),
    )
    assert world.got(6)[:5] == ["one", "two", "", "\u00fcber 3 \u2264 4 \u00ab\U0001f600\u00bb", "the last"]


async def test_an_attempt_without_output_is_taken(world: World) -> None:
    await world.take(part(end=SUCCEEDED))
    assert world.got(0) == []


async def test_bytes_that_are_no_text_are_taken(world: World) -> None:
    await world.take(replace(START, pieces=(Piece("stdout", b"\xff\xfe \x00\r\n", AT),), end=FAILED))


async def test_runs_may_take_turns(world: World) -> None:
    await world.take(part("a\n"), part("b\n", run="run-2"), part("c\n", after=2), part("d\n", after=2, run="run-2"))
    assert sorted(world.got(4)) == ["a", "b", "c", "d"]


async def test_what_is_not_taken_is_an_error(world: World) -> None:
    world.close()
    with pytest.raises((ProcessorError, OSError)) as refusal:
        await world.take(part("one\ntwo\n", end=SUCCEEDED))
    assert str(refusal.value)


async def test_its_schema_says_what_is_refused(world: World) -> None:
    schema = schema_of(world.processor)
    jsonschema.Draft202012Validator.check_schema(schema)
    said = {"forward": "false", **world.config}
    check_config("it", world.processor, tuple(said.items()))
    jsonschema.validate(said, schema)
    with pytest.raises(Invalid) as refusal:
        check_config("it", world.processor, (*said.items(), ("nonsense", "x")))
    assert refusal.value.field == "processors.it.nonsense"
    assert not jsonschema.Draft202012Validator(schema).is_valid({**said, "nonsense": "x"})


async def test_it_says_where_output_went_in_one_line(world: World) -> None:
    assert re.fullmatch(r"[^\n]{5,}", world.processor.stands_for(part(end=SUCCEEDED), world.config))


# Each for itself


async def test_the_log_has_a_block_for_each_part() -> None:
    blocks: list[bytes] = []
    await World(processor=LogProcessor(blocks.append), got=lambda _: [], close=blocks.clear).take(
        part("one\n"), part("no end", after=4, end=SUCCEEDED)
    )
    assert b"".join(blocks).decode() == (
        "----- BEGIN OUTPUT job=a/b execution=run-1 attempt=1 offset=0 -----\n"
        "one\n"
        "----- END OUTPUT -----\n"
        "----- BEGIN OUTPUT job=a/b execution=run-1 attempt=1 offset=4 -----\n"
        "no end\n"
        "----- END OUTPUT outcome=succeeded -----\n"
    )


async def test_a_file_is_of_one_attempt_and_repeats_change_nothing(tmp_path: Path) -> None:
    world = files(ExitStack(), tmp_path)
    first, second = part("one\ntwo\n"), part("three\n", after=8, end=FAILED)
    await world.take(first, second, part("two\nthree\n", after=4), part("again\n", attempt=2, end=SUCCEEDED))
    paths = sorted(path.relative_to(tmp_path).as_posix() for path in found(tmp_path))
    assert paths == [f"a%2Fb/20260105T080000.123456Z-run-1-00000{attempt}.log" for attempt in (1, 2)]
    assert [(tmp_path / path).read_bytes() for path in paths] == [b"one\ntwo\nthree\n", b"again\n"]
    assert world.processor.stands_for(first, {}) == str(tmp_path / paths[0])


@pytest.mark.parametrize(
    "job", ["..", ".", "../../etc/cron.d", "a/../../b", "/etc", "-", "\u00fc" * 200, "x" * 200, "~"]
)
async def test_no_id_leads_out_of_the_directory(tmp_path: Path, job: str) -> None:
    processor = FilesProcessor(tmp_path / "logs")
    await processor.process(part("x\n", job=job), {"log_dir": "some"})
    (path,) = found(tmp_path)
    assert path.resolve() == path
    assert path.parent.parent == tmp_path / "logs" / "some"


def test_file_names_of_different_ids_differ() -> None:
    ids = ["a/b", "a%2Fb", "a_b", ".", "..", "%2E", "x" * 200, "x" * 199, "\u00fc" * 200, "\u00fc" * 199, "a~b", ""]
    assert len({safe(job) for job in ids}) == len(ids)
    assert all("/" not in safe(job) and safe(job) not in ("", ".", "..") for job in ids)


async def test_files_are_rotated(tmp_path: Path) -> None:
    world = files(ExitStack(), tmp_path)
    world.config = {"file_bytes": "10", "keep_files": "3"}
    await world.take(part("0123456789abcdefghij\n"))
    await world.take(part("klm\n", after=21), part("n" * 30, after=25, end=SUCCEEDED))
    assert [path.read_bytes() for path in found(tmp_path)] == [b"n" * 10, b"n" * 10, b"n" * 5]
    world.config = {"max_bytes": "20"}
    await world.take(part("x\n", attempt=2, end=SUCCEEDED))
    assert [path.read_bytes() for path in found(tmp_path)] == [b"n" * 10, b"n" * 5, b"x\n"]
    world.config = {"max_bytes": "1", "keep_files": "1"}
    (tmp_path / "a%2Fb" / "somebody-else-s.log").write_text("kept")
    await world.take(part("large\n", attempt=3, end=SUCCEEDED))
    assert sorted(path.read_text() for path in found(tmp_path)) == ["kept", "large\n"]


async def test_a_file_that_was_removed_is_gone_on_with(tmp_path: Path) -> None:
    world = files(ExitStack(), tmp_path)
    await world.take(part("one\n"))
    (path,) = found(tmp_path)
    path.unlink()
    await world.take(part("two\n", after=4))
    assert path.read_bytes() == b"two\n"


async def test_a_link_is_not_followed(tmp_path: Path) -> None:
    world = files(ExitStack(), tmp_path / "logs")
    path = Path(world.processor.stands_for(START, {}))
    path.parent.mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    os.symlink(tmp_path / "secret", path)
    with pytest.raises(ProcessorError, match="symbolic link"):
        await world.take(part("x\n"))
    assert (tmp_path / "secret").read_text() == "secret"


async def test_files_leave_the_log_its_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DISK_RESERVE_BYTES", 1 << 62)
    with pytest.raises(ProcessorError, match="no room"):
        await files(ExitStack(), tmp_path).take(part("x\n"))
    assert list(found(tmp_path)) == []


@pytest.mark.parametrize(
    ("config", "anywhere", "reason"),
    [
        ({"log_dir": "/var/log/dkron"}, True, ""),
        ({"log_dir": "/var/log/dkron"}, False, "an absolute path needs"),
        ({"log_dir": "a/../../b"}, True, "contains `..`"),
        ({"keep_files": "0"}, True, "does not look like"),
        ({"max_bytes": "10M", "file_bytes": "64K", "keep_files": "100"}, False, ""),
        ({"max_bytes": "10 bytes"}, False, "does not look like"),
    ],
)
def test_what_a_job_may_say_of_files(tmp_path: Path, config: dict[str, str], *, anywhere: bool, reason: str) -> None:
    processor = FilesProcessor(tmp_path, anywhere=anywhere)
    if not reason:
        check_config("files", processor, tuple(config.items()))
        return
    with pytest.raises(Invalid, match=reason) as refusal:
        check_config("files", processor, tuple(config.items()))
    assert refusal.value.field.removeprefix("processors.files.") in config


async def test_syslog_says_whose_a_line_is_and_how_bad() -> None:
    with ExitStack() as stack, syslog() as server:
        world = by_udp(stack, Path("/nowhere"))
        world.config = {**world.config, "address": server.address}
        await world.take(part("fine\n", "!bad\n", end=FAILED))
        fine, bad, end = server.got(3)
    host = r"1 2026-01-05T08:00:00\.123456Z \S+ jobs run-1"
    assert re.fullmatch(rf"<158>{host} stdout - a/b: fine", fine)
    assert re.fullmatch(rf"<155>{host} stderr - a/b: bad", bad)
    ended = "a/b: attempt 1 failed: exit code 3; 7 bytes of output were left out"
    assert re.fullmatch(rf"<155>{host} end - {ended}", end)


async def test_the_system_s_own_syslog_has_its_own_form(tmp_path: Path) -> None:
    with syslog(tmp_path / "log") as server:
        await SyslogProcessor(str(tmp_path / "log")).process(part("fine\n", end=SUCCEEDED), {})
        fine, end = server.got(2)
    assert re.fullmatch(r"<78>Jan  [456] \d\d:\d\d:00 kala_es\[run-1\]: a/b: fine", fine)
    assert re.fullmatch(r"<77>.*: a/b: attempt 1 succeeded", end)


async def test_a_line_that_is_too_long_for_a_message_is_cut_between_characters() -> None:
    with ExitStack() as stack, syslog() as server:
        world = by_udp(stack, Path("/nowhere"))
        world.config = {"address": server.address}
        await world.take(part("\u20ac" * 1500))
        texts = [message.partition("a/b: ")[2] for message in server.got(3)]
    assert "".join(texts) == "\u20ac" * 1500
    assert max(len(text.encode()) for text in texts) <= limits.SYSLOG_LINE_BYTES


async def test_fluent_gets_events_with_their_times() -> None:
    with fluent() as server:
        processor = FluentProcessor({"FLUENTBIT_PORT": str(server.port), "FLUENTBIT_TAG": "of.dkron"})
        await processor.process(part("one\n", end=FAILED), {})
        line, end = server.events(2)
        whose = {"job": "a/b", "job_name": "the job", "run": "run-1", "attempt": 1}
        assert (line[0], line[2]) == ("of.dkron", {**whose, "channel": "stdout", "message": "one"})
        assert line[1] == pytest.approx(AT / 1e6, abs=1e-5)
        assert end[2] == {**whose, "outcome": "failed", "exit_code": 3, "reason": "exit code 3"}
        await processor.process(part("two\n"), {"tag": "mine"})
        assert server.events(3)[2][0] == "mine"


async def test_a_webhook_gets_what_is_needed_to_know_a_repeat() -> None:
    with hook() as server:
        config = {"url": server.url, "headers": '["Authorization: Bearer x:y"]'}
        await WebhookProcessor(WebhookNotifier()).process(part("one\n", "!two\n", after=4, end=FAILED), config)
        (got,) = server.got
        assert got.id == "run-1-1-4-end"
        assert got.headers["authorization"] == "Bearer x:y"
        said = got.json
        assert [(line["channel"], line["text"]) for line in said["lines"]] == [("stdout", "one"), ("stderr", "two")]
        assert (said["job_id"], said["run_id"], said["attempt"], said["offset"]) == ("a/b", "run-1", 1, 4)
        assert (said["end"]["outcome"], said["end"]["exit_code"], said["end"]["over"]) == ("failed", 3, True)
        server.say = 500
        with pytest.raises(ProcessorError, match=r"http://127.*: answered 500"):
            await WebhookProcessor(WebhookNotifier()).process(part("one\n"), config)


@pytest.mark.parametrize("port", ["0", "65536", "99999"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    for processor, config in (
        (FluentProcessor({}), {"port": port}),
        (SyslogProcessor(), {"address": f"logs.example.com:{port}"}),
    ):
        with pytest.raises(Invalid, match="from 1 to 65535"):
            check_config("it", processor, tuple(config.items()))


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({}, "url"),
        ({"url": "ftp://x"}, "url"),
        ({"url": "http://:80/"}, "url"),
        ({"url": "http://x", "headers": "A: b"}, "headers"),
        ({"url": "http://x", "headers": "3"}, "headers"),
        ({"url": "http://x", "headers": '["no colon"]'}, "headers"),
        ({"url": "http://x", "headers": '["A: \\u00fc"]'}, "headers"),
    ],
)
def test_what_a_job_may_not_say_of_a_webhook(config: dict[str, str], key: str) -> None:
    with pytest.raises(Invalid) as refusal:
        check_config("webhook", WebhookProcessor(WebhookNotifier()), tuple(config.items()))
    assert refusal.value.field == f"processors.webhook.{key}"


def test_every_key_is_described(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "processors.md").read_text()
    for name, processor in our_own(tmp_path, WebhookNotifier(), {}, anywhere=True).items():
        section = re.search(rf"^### `{name}`\n(.*?)(?=^##)", text, re.M | re.S)
        assert section is not None, name
        described = {option.key for option in processor.options}
        assert set(re.findall(r"^\| `(\w+)` \|", section[1], re.M)) == described


@pytest.mark.parametrize(
    ("processors", "fits"),
    [
        ({"log": None, "files": {"keep_files": "3", "forward": "false"}, "somebody-s": {"any": "thing"}}, True),
        ({"files": {"keep": "3"}}, False),
        ({"files": {"keep_files": "none"}}, False),
        ({"webhook": {}}, False),
        ({"somebody-s": {"any": 3}}, False),
    ],
)
def test_files_of_jobs_are_checked_by_what_ours_publish(processors: dict[str, Any], *, fits: bool) -> None:
    jobs = {"jobs": {"j": {"name": "n", "processors": processors}}}
    assert jsonschema.Draft202012Validator(jobs_file()).is_valid(jobs) == fits


def test_a_line_of_two_channels_is_two() -> None:
    lines = [(line.channel, line.text) for line in lines_of(part("a", "!b\n", "c\r\n", "!d", "e").pieces)]
    assert lines == [("stderr", "b"), ("stdout", "ac"), ("stderr", "d"), ("stdout", "e")]


def test_a_character_that_two_pieces_share_is_whole() -> None:
    pieces = tuple(Piece("stdout", bytes([byte]), AT + i) for i, byte in enumerate("\u20ac\n".encode()))
    assert [(line.text, line.at) for line in lines_of(pieces)] == [("\u20ac", AT)]
