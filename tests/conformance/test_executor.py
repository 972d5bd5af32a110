"""The executor's conformance suite: what every adapter of the port keeps, then what only processes or requests have.

Rules: a test of the port takes a `World`, which knows how to order the same thing of each adapter. Waits end on what
was emitted or on the attempt's end, never on a guess of how long something takes.
"""

import os
import resource
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from kala_es import limits
from kala_es.executor import AttemptEnd, Channel, Order, Remote
from kala_es.executors.shell import ShellExecutor
from tests.conformance.executor_worlds import (
    Packages,
    Processes,
    Requests,
    Sink,
    World,
    answer,
    carried_out,
    children,
    descriptors,
    gone,
    living,
    local,
    remote,
    script,
)

EVERY_BYTE = bytes(range(256))


@pytest.fixture
async def server() -> AsyncIterator[Requests]:
    world = Requests()
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, world.serve, 0, host="127.0.0.1"))
        world.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        await world.executor.validate(Remote(url="", method="", body=""))  # opens the client, which takes its time
        yield world
        await world.executor.aclose()
        nursery.cancel_scope.cancel()


@pytest.fixture
def shell(tmp_path: Path) -> Processes:
    return Processes(tmp_path)


@pytest.fixture(params=["shell", "http", "named"])
def world(request: pytest.FixtureRequest, shell: Processes, server: Requests) -> World:
    worlds: dict[str, World] = {"shell": shell, "http": server, "named": Packages()}
    return worlds[request.param]


# The port


async def test_output_arrives_byte_for_byte(world: World) -> None:
    content = EVERY_BYTE + os.urandom(1024 * 1024) + b"\0\r\n\xff"
    end, sink = await carried_out(world, world.printing(content))
    assert end.outcome == "succeeded"
    assert end.reason == ""
    assert sink.of("stdout") == content


async def test_failure_has_a_reason(world: World) -> None:
    end, _ = await carried_out(world, world.failing())
    assert end.outcome == "failed"
    assert end.reason


async def test_a_refused_order_fails_with_its_reason(world: World) -> None:
    end, sink = await carried_out(world, replace(world.printing(b"x"), refused="the template is broken"))
    assert end == AttemptEnd(outcome="failed", reason="the template is broken")
    assert not sink.chunks


async def test_an_order_for_another_adapter_fails(world: World) -> None:
    end, _ = await carried_out(world, world.other())
    assert end.outcome == "failed"
    assert end.reason


async def test_the_limit_ends_the_attempt_and_keeps_what_it_wrote(world: World) -> None:
    end, sink = await carried_out(world, replace(world.hanging(b"ready"), timeout=0.5))
    assert end.outcome == "timed-out"
    assert "0.5 s" in end.reason
    assert sink.of("stdout") == b"ready"


async def test_a_slow_taker_loses_nothing(world: World) -> None:
    content, sink = os.urandom(300_000), Sink()

    async def slowly(channel: Channel, piece: bytes) -> None:
        await trio.sleep(0.01)
        await sink.emit(channel, piece)

    end = await world.executor.execute(world.printing(content), slowly)
    assert end.outcome == "succeeded"
    assert sink.of("stdout") == content


async def test_cancelling_raises_and_keeps_what_it_wrote(world: World) -> None:
    sink = Sink()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.executor.execute, world.hanging(b"ready"), sink.emit)
            await sink.until(b"ready")
            scope.cancel()
    assert scope.cancelled_caught
    assert sink.of("stdout") == b"ready"


async def test_no_descriptor_and_no_zombie_is_left(world: World) -> None:
    order = replace(world.hanging(b"x"), timeout=0.1)
    await carried_out(world, order)
    before = descriptors()
    for each in (order, world.failing(), world.other(), order):
        await carried_out(world, each)
    await trio.testing.wait_all_tasks_blocked(0.02)
    assert descriptors() == before
    assert not children()


# Processes: how they end

NOT_STARTED = [
    (local(""), "the command is empty"),
    (local("''"), "the command is empty"),
    (local("$UNSET"), "the command is empty"),
    (script("  "), "the command is empty"),
    (local("no-such-binary-xyz"), "no-such-binary-xyz: command not found"),
    (local("no-such-binary-xyz", cwd="/"), "no-such-binary-xyz: command not found"),
    (local("./no-such"), "./no-such: no such file"),
    (local("/tmp"), "/tmp: is a directory"),
    (local("/etc/passwd"), "/etc/passwd: Permission denied"),
    (local("true", cwd="/no/such"), "/no/such: this directory cannot be entered (No such file or directory)"),
    (local("true", cwd="/etc/passwd"), "/etc/passwd: this directory cannot be entered (Not a directory)"),
    (local("true 'x"), "a ' is not closed (column 6)"),
    (local("true `exit 3`"), "`exit 3` failed: exit status 3"),
    (local("true `yes`"), "`yes` writes more than 131072 bytes"),
    (local("true", stdin="\ud800"), "its input has a character that cannot be encoded"),
]


@pytest.mark.parametrize(("order", "reason"), NOT_STARTED)
async def test_what_cannot_start_says_why(shell: Processes, order: Order, reason: str) -> None:
    end, sink = await carried_out(shell, order)
    assert end == AttemptEnd(outcome="failed", reason=reason)
    assert not sink.chunks


@pytest.mark.parametrize(
    "order", [local("true", env=(("A=B", "x"),)), local("true \ud800"), local("true " + "x" * 10**7)]
)
async def test_what_cannot_be_passed_on_fails(shell: Processes, order: Order) -> None:
    end, _ = await carried_out(shell, order)
    assert end.outcome == "failed"
    assert end.exit_code is None


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("exit 0", AttemptEnd(outcome="succeeded", exit_code=0)),
        ("exit 3", AttemptEnd(outcome="failed", exit_code=3, reason="exit status 3")),
        ("kill -9 $$", AttemptEnd(outcome="failed", signal=9, reason="killed by SIGKILL")),
        ("kill -40 $$", AttemptEnd(outcome="failed", signal=40, reason="killed by signal 40")),
    ],
)
async def test_the_exit_code_or_the_signal_is_kept(shell: Processes, text: str, end: AttemptEnd) -> None:
    assert (await carried_out(shell, script(text)))[0] == end


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"#!/no/such\n", "its interpreter was not found"), (b"\x7fELF", "Exec format error")],
)
async def test_a_file_that_is_no_program_fails(shell: Processes, content: bytes, reason: str) -> None:
    path = shell.directory / "program"
    path.write_bytes(content)
    path.chmod(0o755)
    end, _ = await carried_out(shell, local(f"'{path}'"))
    assert end == AttemptEnd(outcome="failed", reason=f"{path}: {reason}")


async def test_the_next_directory_of_path_is_tried(shell: Processes) -> None:
    (shell.directory / "true").mkdir()
    order = local("true", env=(("PATH", f"/no/such:{shell.directory}:/bin"),))
    assert (await carried_out(shell, order))[0].outcome == "succeeded"


# Processes: what they see


async def test_the_environment_is_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")
    monkeypatch.setenv("LC_TIME", "C")
    monkeypatch.setenv("HOME", "/ours")
    monkeypatch.delenv("PATH")
    order = local(
        "/usr/bin/env -0", env=(("HOME", "/work"), ("KALA_JOB_ID", "forged")), identity=(("KALA_JOB_ID", "j"),)
    )
    _, sink = await carried_out(Processes(tmp_path), order)
    seen = dict(entry.split(b"=", 1) for entry in sink.of("stdout").split(b"\0") if entry)
    allowed = {b"PATH", b"HOME", b"USER", b"LOGNAME", b"SHELL", b"LANG", b"TZ", b"TMPDIR", b"LC_TIME", b"KALA_JOB_ID"}
    assert {name for name in seen if not name.startswith(b"LC_")} <= allowed
    assert (seen[b"HOME"], seen[b"KALA_JOB_ID"], seen[b"LC_TIME"]) == (b"/work", b"j", b"C")
    assert b"/usr/bin" in seen[b"PATH"]


async def test_variables_and_backticks_are_those_of_the_child(shell: Processes) -> None:
    order = local('printf %s "$A-`printf %s $A; echo oops >&2`-$HOME_LESS"', env=(("A", "1"),))
    end, sink = await carried_out(shell, order)
    assert end.outcome == "succeeded"
    assert (sink.of("stdout"), sink.of("stderr")) == (b"1-1-", b"oops\n")


async def test_it_has_only_its_three_descriptors(tmp_path: Path) -> None:
    ours = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(ours, True)
    _, sink = await carried_out(Processes(tmp_path), local("ls /proc/self/fd"))
    os.close(ours)
    assert sink.of("stdout").split() == [b"0", b"1", b"2", b"3"]  # 3 is the directory that ls reads


async def test_no_signal_is_blocked_or_ignored(shell: Processes) -> None:
    _, sink = await carried_out(shell, local("grep -E '^Sig(Blk|Ign)' /proc/self/status"))
    blocked, ignored = (int(line.split()[1], 16) for line in sink.of("stdout").splitlines())
    assert blocked == 0
    assert ignored & (1 << 31) - 1 == 0  # above are two that the C library keeps for itself


async def test_it_leads_a_session_and_group(shell: Processes) -> None:
    _, sink = await carried_out(shell, script("echo $$ $(cut -d' ' -f 5,6 /proc/$$/stat)"))
    assert len(set(sink.of("stdout").split())) == 1


@pytest.mark.parametrize("command_line", ["pwd", "./here"])
async def test_it_runs_in_its_directory(shell: Processes, command_line: str) -> None:
    program = shell.directory / "here"
    program.write_text("#!/bin/sh\npwd\n")
    program.chmod(0o755)
    _, sink = await carried_out(shell, local(command_line, cwd=str(shell.directory)))
    assert sink.of("stdout").decode().strip() == str(shell.directory.resolve())


async def test_large_input_comes_back_without_deadlock(shell: Processes) -> None:
    content = "\0\x7fä€" * 300_000
    end, sink = await carried_out(shell, local("cat", stdin=content))
    assert end.outcome == "succeeded"
    assert sink.of("stdout") == content.encode()


@pytest.mark.parametrize(
    "order", [local("cat"), local("true", stdin="x" * 1_000_000), local("head -c 1", stdin="x" * 1_000_000)]
)
async def test_input_that_is_absent_or_not_read_is_fine(shell: Processes, order: Order) -> None:
    end, _ = await carried_out(shell, order)
    assert end.outcome == "succeeded"


# Processes: output


async def test_both_channels_keep_all_their_bytes(shell: Processes) -> None:
    contents = [os.urandom(10 * 1024 * 1024) for _ in range(2)]
    paths = [shell.directory / name for name in ("out", "err")]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    _, sink = await carried_out(shell, script(f"cat '{paths[0]}' & cat '{paths[1]}' >&2; wait"))
    assert sink.of("stdout") == contents[0]
    assert sink.of("stderr") == contents[1]


async def test_chunks_leave_in_the_order_of_writing_while_it_runs(shell: Processes) -> None:
    gate, sink = shell.directory / "gate", Sink()
    os.mkfifo(gate)
    writer = os.open(gate, os.O_RDWR)

    async def emit(channel: Channel, content: bytes) -> None:
        await sink.emit(channel, content)
        os.write(writer, b"go\n")

    order = script(f"exec 3<'{gate}'; printf a; read x <&3; printf b >&2; read x <&3; printf c; read x <&3")
    with trio.fail_after(10):
        await shell.executor.execute(order, emit)
    os.close(writer)
    assert sink.chunks == [("stdout", b"a"), ("stderr", b"b"), ("stdout", b"c")]


async def test_small_writes_are_gathered(shell: Processes) -> None:
    _, sink = await carried_out(shell, script("i=0; while [ $i -lt 500 ]; do echo $i; i=$((i+1)); done"))
    assert sink.of("stdout").split() == [str(number).encode() for number in range(500)]
    assert len(sink.chunks) < 50


async def test_a_pipe_is_not_read_while_emit_waits(shell: Processes) -> None:
    release, taken = trio.Event(), Sink()

    async def emit(channel: Channel, content: bytes) -> None:
        await release.wait()
        await taken.emit(channel, content)

    progress = shell.directory / "progress"
    order = script(f"for i in 1 2 3 4 5 6 7 8; do head -c 200000 /dev/zero; echo $i >> '{progress}'; done")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shell.executor.execute, order, emit)
        await trio.sleep(0.3)
        written = len(progress.read_text().split()) if progress.exists() else 0
        release.set()
    assert written < 4
    assert len(taken.of("stdout")) == 1_600_000


# Processes: the end of a group

STUBBORN = "trap '' TERM; (trap '' TERM; while :; do sleep 0.05; done) & echo $$; while :; do sleep 0.05; done"
POLITE = "trap 'echo bye; exit 7' TERM; sleep 1000 & echo $$; wait"


@pytest.mark.parametrize(
    ("text", "exit_code", "number"),
    [("sleep 1000 & sleep 1000 & echo $$; wait", None, signal.SIGTERM), (STUBBORN, None, 9), (POLITE, 7, None)],
)
async def test_the_limit_ends_the_whole_group(
    shell: Processes, text: str, exit_code: int | None, number: int | None
) -> None:
    end, sink = await carried_out(shell, script(text, timeout=0.5))
    assert (end.outcome, end.exit_code, end.signal) == ("timed-out", exit_code, number)
    await gone(int(sink.of("stdout").split()[0]))


@pytest.mark.parametrize("text", [POLITE, STUBBORN, "echo $$; kill -STOP $$"])
async def test_cancelling_ends_the_whole_group_and_keeps_its_last_words(shell: Processes, text: str) -> None:
    sink = Sink()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(shell.executor.execute, script(text), sink.emit)
            await sink.until(b"\n")
            scope.cancel()
    group, *words = sink.of("stdout").split()
    assert words == ([b"bye"] if text is POLITE else [])
    await gone(int(group))


async def test_a_piece_that_was_not_taken_is_offered_again(shell: Processes) -> None:
    """The limit strikes while `emit` waits for room; it is the same piece that comes next."""
    sink, calls = Sink(), 0

    async def emit(channel: Channel, content: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            await trio.sleep_forever()
        await sink.emit(channel, content)

    path = shell.directory / "content"
    path.write_bytes(os.urandom(100_000))
    with trio.fail_after(10):
        end = await shell.executor.execute(script(f"cat '{path}'; exec sleep 1000", timeout=0.3), emit)
    assert end.outcome == "timed-out"
    assert path.read_bytes().startswith(sink.of("stdout"))
    assert len(sink.of("stdout")) >= 64 * 1024


async def test_a_process_left_behind_is_left_alone_and_does_not_hold_up_the_end(shell: Processes) -> None:
    end, sink = await carried_out(shell, script("sleep 1000 & echo $$", timeout=5))
    assert end == AttemptEnd(outcome="succeeded", exit_code=0)
    assert living(int(sink.of("stdout")))
    os.killpg(int(sink.of("stdout")), signal.SIGKILL)


async def test_nor_does_one_that_goes_on_writing(shell: Processes) -> None:
    end, sink = await carried_out(shell, script("(while :; do echo x; sleep 0.02; done) & echo $$", timeout=5))
    assert end == AttemptEnd(outcome="succeeded", exit_code=0)
    assert sink.of("stdout").count(b"x") > 5


async def test_what_was_written_before_the_end_is_read_however_late(tmp_path: Path) -> None:
    hasty, sink = ShellExecutor(pipe_idle=0.0, pipe_linger=0.0), Sink()

    async def slowly(channel: Channel, piece: bytes) -> None:
        await trio.sleep(0.02)
        await sink.emit(channel, piece)

    await hasty.execute(script("sleep 1000 & echo $$; head -c 64000 /dev/zero"), slowly)
    first, rest = sink.of("stdout").split(b"\n", 1)
    os.killpg(int(first), signal.SIGKILL)
    assert len(rest) == 64000


async def test_an_emit_that_fails_ends_the_process(shell: Processes) -> None:
    sink = Sink()

    async def emit(channel: Channel, content: bytes) -> None:
        await sink.emit(channel, content)
        raise RuntimeError("full")

    with pytest.raises(RuntimeError, match="full"):
        await shell.executor.execute(script("echo $$; exec sleep 1000"), emit)
    await gone(int(sink.of("stdout")))
    assert not children()


async def test_one_that_does_not_end_when_killed_is_given_up() -> None:
    hasty = ShellExecutor(kill_grace=0.0, pipe_idle=0.0, pipe_linger=0.0)  # hardly a process ends so fast
    end = await hasty.execute(local("sleep 1000", timeout=0.05), Sink().emit)
    assert end.outcome == "timed-out"
    left = children()
    with trio.fail_after(10):
        while left and left in children():
            await hasty.execute(local("true"), Sink().emit)


async def test_want_of_descriptors_is_a_reason(shell: Processes) -> None:
    await carried_out(shell, local("true"))
    before, ends = descriptors(), []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for spare in range(8):
        resource.setrlimit(resource.RLIMIT_NOFILE, (before - 1 + spare, hard))
        try:
            ends.append(await shell.executor.execute(local("true"), Sink().emit))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert {end.reason for end in ends} == {"it could not be started: Too many open files", ""}
    assert ends[-1].outcome == "succeeded"
    assert descriptors() == before


# Requests


async def test_a_request_is_sent_as_ordered(server: Requests) -> None:
    server.answers["/x?a=b"] = answer(202, b"ok", headers="Set-Cookie: a=b; Path=/\r\n")
    order = remote(
        f"{server.url}/x?a=b",
        "put",
        "{ä}",
        headers=(("X-A", "1"), ("X-A", "2")),
        expected_codes=(200, 202),
    )
    for _ in range(2):
        end, sink = await carried_out(server, order)
        assert end == AttemptEnd(outcome="succeeded", http_status=202)
        assert sink.chunks == [("stdout", b"ok")]
    for request in server.requests:
        assert (request.method, request.target, request.body) == ("PUT", "/x?a=b", "{ä}".encode())
        assert (request.all("X-A"), request.all("content-type")) == (["1", "2"], ["application/json"])
        assert not request.all("cookie")


async def test_redirects_are_followed_and_get_is_the_default(server: Requests) -> None:
    server.answers["/"] = answer(302, headers="Location: /there\r\n")
    server.answers["/there"] = answer(200, b"here")
    end, sink = await carried_out(server, remote(server.url + "/", headers=(("content-type", "text/plain"),)))
    assert (end.http_status, sink.of("stdout")) == (200, b"here")
    assert [(each.method, each.all("Content-Type")) for each in server.requests] == [("GET", ["text/plain"])] * 2


async def test_an_unexpected_status_fails_with_its_body(server: Requests) -> None:
    server.answers["/"] = answer(500, b"oops")
    end, sink = await carried_out(server, remote(server.url + "/", expected_codes=(200, 202)))
    assert end == AttemptEnd(outcome="failed", http_status=500, reason="answered 500, expected 200 or 202")
    assert sink.of("stdout") == b"oops"


async def test_a_body_that_dribbles_does_not_exceed_the_timeout(server: Requests) -> None:
    server.drip = b"."
    server.answers["/"] = answer(200, length=1_000_000)
    end, sink = await carried_out(server, replace(remote(server.url + "/"), timeout=0.4))
    assert (end.outcome, end.http_status) == ("timed-out", 200)
    assert set(sink.of("stdout")) == {ord(".")}


async def test_a_body_is_kept_up_to_its_limit(server: Requests, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_REMOTE_OUTPUT_BYTES", 100_000)
    end, sink = await carried_out(server, server.printing(b"x" * 100_000))
    assert end.reason == ""
    end, sink = await carried_out(server, server.printing(b"x" * 100_001))
    assert (end.outcome, end.reason) == ("succeeded", "only the first 100000 bytes of the answer were kept")
    assert len(sink.of("stdout")) == 100_000


async def test_a_broken_answer_and_a_broken_request_fail(server: Requests) -> None:
    server.answers["/"] = answer(200, b"half", length=8)
    end, sink = await carried_out(server, remote(server.url + "/"))
    assert (end.outcome, end.http_status, sink.of("stdout")) == ("failed", 200, b"half")
    for url, method in (
        *((url, "GET") for url in ("http://127.0.0.1:1/", "", "nonsense", "http://[/", "ftp://x/", "http://\ud800/")),
        (server.url, "A B"),
    ):
        end, _ = await carried_out(server, remote(url, method))
        assert end.outcome == "failed"
        assert end.reason.startswith("the request failed: "), url


async def test_the_environment_names_no_proxy(server: Requests, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    end, _ = await carried_out(server, server.printing(b"direct"))
    assert end.outcome == "succeeded"


@pytest.mark.parametrize(
    ("status", "body", "refusal"),
    [
        (200, b" true\n", ""),
        (200, b"false", "/validate did not answer `true`"),
        (200, b"true" + b" " * 5000, "/validate did not answer `true`"),
        (201, b"true", "/validate answered 201, expected 200"),
    ],
)
async def test_validation(server: Requests, status: int, body: bytes, refusal: str) -> None:
    server.answers["/x?a=b/validate"] = answer(status, body)
    work = Remote(url=server.url + "/x?a=b", method="get", body="{}", headers=(("X-A", "1"),))
    assert await server.executor.validate(work) == refusal
    (request,) = server.requests
    assert (request.method, request.body, request.all("x-a")) == ("POST", b"{}", ["1"])


async def test_validation_without_an_answer(server: Requests) -> None:
    assert (await server.executor.validate(Remote(url="", method="", body=""))).startswith("/validate: the request")
    server.hang = True
    server.answers["/validate"] = b""
    work = Remote(url=server.url, method="", body="", timeout=0)
    assert await server.executor.validate(work) == "/validate did not answer within 0 s"
