"""The end of a process that cannot end by itself, because memory is exhausted and a result gets lost on its way.

Rules: the system ends it (SIGALRM), because that needs neither memory nor a thread; and nothing waits for itself.
"""

import os
import signal
from math import ceil

import trio

from kala_es import limits


async def end_in_time(seconds: float = limits.ENDING_SECONDS) -> None:
    """Wait until cancelled, which is when the process ends, well or not; from then on it has so many seconds."""
    try:
        await trio.sleep_forever()
    finally:
        signal.alarm(ceil(seconds))


def print_no_stacks_of_rust() -> None:
    """Without memory cbor2 panics; to print its stack it then takes a lock twice, and waits for itself for ever."""
    os.environ["RUST_BACKTRACE"] = "0"
