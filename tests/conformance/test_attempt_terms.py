"""What an attempt is confined to, and what counts as its success: as whom it runs, within which limits.

The tests that need root are skipped without it, but not where CI says that everything is to be shown.
"""

import os
import pwd
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kala_es.domain.errors import Invalid
from kala_es.domain.terms import AttemptTerms
from kala_es.executor import AttemptEnd, Confines, Order
from kala_es.executors.accounts import check_account
from kala_es.executors.shell import ShellExecutor
from tests.conformance.executor_worlds import Processes, carried_out, descriptors, local, script
from tests.programs import lacks


@pytest.fixture
def shell(tmp_path: Path) -> Processes:
    return Processes(tmp_path)


@pytest.fixture
def nobody() -> pwd.struct_passwd:
    if os.geteuid():
        lacks("root, to run a process as somebody else")
    return pwd.getpwnam("nobody")


async def said(shell: Processes, order: Order) -> list[str]:
    """What a process that succeeds writes, in words."""
    end, sink = await carried_out(shell, order)
    assert (end.outcome, end.reason) == ("succeeded", ""), sink.of("stderr")
    return sink.of("stdout").decode().split()


# As whom


@pytest.mark.parametrize("by_number", [False, True])
async def test_it_runs_as_its_user(shell: Processes, nobody: pwd.struct_passwd, by_number: bool) -> None:
    user = str(nobody.pw_uid) if by_number else "nobody"
    text = "id -u; id -g; id -G; echo $HOME $USER $LOGNAME $SHELL"
    groups = [str(group) for group in os.getgrouplist("nobody", nobody.pw_gid)]
    assert await said(shell, script(text, confines=Confines(user=user))) == [
        *(str(nobody.pw_uid), str(nobody.pw_gid), *groups),
        *(nobody.pw_dir, "nobody", "nobody", nobody.pw_shell),
    ]


async def test_a_group_takes_the_place_of_the_users_own(shell: Processes, nobody: pwd.struct_passwd) -> None:
    assert await said(shell, script("id -un; id -gn", confines=Confines(user="nobody", group="daemon"))) == [
        "nobody",
        "daemon",
    ]
    assert await said(shell, script("id -u; id -gn; id -Gn", confines=Confines(group="daemon"))) == [
        "0",
        "daemon",
        "daemon",
    ]


async def test_it_cannot_become_us_again(shell: Processes, nobody: pwd.struct_passwd) -> None:
    text = "grep -E '^(Uid|Gid):' /proc/self/status"
    ids = await said(shell, script(text, confines=Confines(user="nobody")))
    assert set(ids) == {"Uid:", "Gid:", str(nobody.pw_uid), str(nobody.pw_gid)}


async def test_a_command_within_its_command_line_is_its_users_too(shell: Processes, nobody: pwd.struct_passwd) -> None:
    assert await said(shell, local("echo `id -un` $USER", confines=Confines(user="nobody"))) == ["nobody", "nobody"]


async def test_its_pipes_are_its_own(shell: Processes, nobody: pwd.struct_passwd) -> None:
    text = "cat /dev/stdin >/dev/stderr; echo out >/dev/stdout"
    end, sink = await carried_out(shell, script(text, stdin="in", confines=Confines(user="nobody")))
    assert (end.outcome, sink.of("stdout"), sink.of("stderr")) == ("succeeded", b"out\n", b"in")
    null = await carried_out(shell, script("cat </dev/stdin", confines=Confines(user="nobody")))
    assert null[0].outcome == "succeeded"
    assert os.stat("/dev/null").st_uid == 0


async def test_a_directory_is_entered_as_its_user(shell: Processes, nobody: pwd.struct_passwd) -> None:
    shell.directory.chmod(0o700)
    end, _ = await carried_out(shell, local("true", cwd=str(shell.directory), confines=Confines(user="nobody")))
    assert end.outcome == "failed"
    assert end.reason == f"{shell.directory}: this directory cannot be entered (Permission denied)"


@pytest.mark.parametrize(
    ("confines", "reason"),
    [
        (Confines(user="no-such-user"), "there is no user 'no-such-user' here"),
        (Confines(group="no-such-group"), "there is no group 'no-such-group' here"),
        (Confines(user="4294967294"), "there is no user '4294967294' here"),
        (Confines(open_files=1 << 40), "its limit of open files cannot be set ("),
    ],
)
async def test_what_it_cannot_be_is_the_reason(shell: Processes, confines: Confines, reason: str) -> None:
    end, sink = await carried_out(shell, local("true", confines=confines))
    assert (end.outcome, end.exit_code, sink.chunks) == ("failed", None, [])
    assert end.reason.startswith(reason)


def test_an_account_is_refused_at_once_when_it_cannot_be_had(nobody: pwd.struct_passwd) -> None:
    check_account(AttemptTerms(user="nobody", group="daemon", nice=-5))
    for terms, key in ((AttemptTerms(user="no-such"), "user"), (AttemptTerms(group="no-such"), "group")):
        with pytest.raises(Invalid, match=f"there is no {key} 'no-such' here") as refusal:
            check_account(terms)
        assert refusal.value.field == key


def test_who_is_not_root_is_told_so(nobody: pwd.struct_passwd) -> None:
    program = """
import os, sys
from kala_es.domain.errors import Invalid
from kala_es.domain.terms import AttemptTerms
from kala_es.executors.accounts import check_account
os.setuid(65534)
check_account(AttemptTerms(nice=5, umask="077"))
for terms in (AttemptTerms(user="root"), AttemptTerms(group="root"), AttemptTerms(nice=-1)):
    try:
        check_account(terms)
    except Invalid as refusal:
        print(refusal.field, "root" in refusal.reason)
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["user", "True", "group", "True", "nice", "True"]


# Within which limits


async def test_its_mask_and_priority_are_as_it_asks(shell: Processes) -> None:
    before = os.nice(0)
    assert await said(shell, script("umask; nice", confines=Confines(umask=0o027, nice=3))) == [
        "0027",
        str(before + 3),
    ]
    assert os.nice(0) == before


async def test_its_limits_are_as_it_asks(shell: Processes) -> None:
    confines = Confines(memory_bytes=512 << 20, cpu_seconds=7, open_files=64)
    text = "ulimit -v; ulimit -t; ulimit -Ht; ulimit -n; ulimit -Hn"
    assert await said(shell, script(text, confines=confines)) == [str(512 << 10), "7", "12", "64", "64"]


async def test_too_much_memory_is_refused_to_it(shell: Processes) -> None:
    order = local(f"{sys.executable} -c 'bytes(1 << 30)'", confines=Confines(memory_bytes=256 << 20))
    end, sink = await carried_out(shell, order)
    assert end.outcome == "failed"
    assert b"MemoryError" in sink.of("stderr")


async def test_too_much_time_ends_it(shell: Processes) -> None:
    end, _ = await carried_out(shell, script("while :; do :; done", confines=Confines(cpu_seconds=1)))
    assert (end.outcome, end.signal, end.reason) == ("failed", signal.SIGXCPU, "killed by SIGXCPU")


@pytest.mark.parametrize("many", [0, 300])
@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("confines", [Confines(), Confines(nice=1)])
async def test_the_limit_of_open_files_is_not_the_one_that_we_raised(
    tmp_path: Path, many: int, elsewhere: bool, confines: Confines
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    usual = max(map(int, os.listdir("/proc/self/fd"))) + 20
    shell = Processes(tmp_path, ShellExecutor(open_files=usual))
    order = script("ulimit -n; ulimit -Hn; ls /proc/self/fd", cwd=str(tmp_path) if elsewhere else "", confines=confines)
    kept = "unlimited" if hard == resource.RLIM_INFINITY else str(hard)
    ours = [os.open("/dev/null", os.O_RDONLY) for _ in range(many)]
    before = descriptors()
    for _ in range(2):
        assert await said(shell, order) == [str(usual), kept, "0", "1", "2", "3"]
    assert descriptors() == before
    for descriptor in ours:
        os.close(descriptor)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)


async def test_without_a_low_descriptor_a_process_is_prepared(tmp_path: Path) -> None:
    ours = [os.open("/dev/null", os.O_RDONLY) for _ in range(40)]
    shell = Processes(tmp_path, ShellExecutor(open_files=30))
    assert await said(shell, script("ulimit -n")) == ["30"]
    for descriptor in ours:
        os.close(descriptor)


def test_what_started_us_may_ignore_signals(tmp_path: Path) -> None:
    """As under nohup, or behind a shell's `&`: a child of a directory of its own ignores none even so."""
    program = f"""
import signal, trio
from kala_es.executor import Local, Order
from kala_es.executors.shell import ShellExecutor
async def emit(channel, content):
    print(content.decode(), end="")
async def main():
    for cwd in ("", {str(tmp_path)!r}):
        work = Local(command_line="grep -E '^Sig(Blk|Ign)' /proc/self/status", cwd=cwd)
        await ShellExecutor().execute(Order(run="r", attempt=1, work=work), emit)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
trio.run(main)
"""
    ignoring = ["/bin/sh", "-c", 'trap "" HUP INT QUIT TERM; exec "$0" -c "$1"', sys.executable, program]
    answer = subprocess.run(ignoring, capture_output=True, text=True, check=True)
    words = answer.stdout.split()
    assert words[::2] == ["SigBlk:", "SigIgn:"] * 2
    assert [int(word, 16) & (1 << 31) - 1 for word in words[1::2]] == [0] * 4


# What counts as success


@pytest.mark.parametrize(
    ("codes", "code", "outcome"),
    [((0,), 0, "succeeded"), ((0, 3), 3, "succeeded"), ((3,), 0, "failed"), ((3,), 4, "failed")],
)
async def test_the_codes_decide(shell: Processes, codes: tuple[int, ...], code: int, outcome: str) -> None:
    end, _ = await carried_out(shell, script(f"exit {code}", success_codes=codes))
    reason = "" if outcome == "succeeded" else f"exit status {code}"
    assert (end.outcome, end.exit_code, end.reason) == (outcome, code, reason)


async def test_a_signal_is_no_success_whatever_the_codes(shell: Processes) -> None:
    end, _ = await carried_out(shell, script("kill -9 $$", success_codes=(9, 137)))
    assert end == AttemptEnd(outcome="failed", signal=9, reason="killed by SIGKILL")
