"""A process that cannot end by itself is ended; one that can is left alone."""

import os
import signal
import subprocess
import sys

from kala_es.ending import print_no_stacks_of_rust

STUCK = """
import trio
from kala_es.ending import end_in_time

async def main():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end_in_time, 0.1)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield={stuck}):
            await trio.sleep_forever()

import trio.testing
trio.run(main)
"""


def test_what_is_stuck_when_it_should_end_is_ended_by_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", STUCK.format(stuck=True)], check=False)
    assert done.returncode == -signal.SIGALRM


def test_what_ends_by_itself_is_left_alone() -> None:
    done = subprocess.run([sys.executable, "-c", STUCK.format(stuck=False)], check=False)
    assert done.returncode == 0


def test_no_stack_is_printed_without_memory() -> None:
    before = os.environ.get("RUST_BACKTRACE")
    try:
        os.environ["RUST_BACKTRACE"] = "1"
        print_no_stacks_of_rust()
        assert os.environ["RUST_BACKTRACE"] == "0"
    finally:
        os.environ.pop("RUST_BACKTRACE")
        if before is not None:
            os.environ["RUST_BACKTRACE"] = before
