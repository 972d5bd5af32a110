"""What holds for every test: Hypothesis sets no limit on wall-clock time, which a loaded machine would fail.

`make check` tries fewer examples (`--hypothesis-profile quick`). `make postgres` has servers keep their logs in
PostgreSQL, and leaves out what is about files. What Python has compiled is kept, whatever the environment says: the
suite starts hundreds of servers, and each would compile itself anew, which takes longer than all else a start does.
A shell has what it starts in the background ignore an interrupt; the programs that are tested would do so, too.
"""

import os
import signal
import sys
from hashlib import blake2b

import pytest
from hypothesis import HealthCheck, settings

from tests.servers import IN_POSTGRES

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "no clock",
    deadline=None,
    suppress_health_check=[*settings().suppress_health_check, HealthCheck.too_slow],
)
settings.register_profile("quick", settings.get_profile("no clock"), max_examples=25)
settings.load_profile("no clock")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what says nothing of a log in PostgreSQL; and let tests that compute run beside some that wait.

    Files that are neighbours do the same. So where several processes share the suite the files are shuffled, always
    into the same order.
    """
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: blake2b(item.path.name.encode()).digest())
    if IN_POSTGRES:
        for item in items:
            for mark in item.iter_markers("files"):
                item.add_marker(pytest.mark.skip(reason=f"about a log's files: {mark.args[0]}"))
