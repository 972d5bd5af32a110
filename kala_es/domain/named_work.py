"""Work for an executor that a package brings: which one, by name, and its config of texts.

What the keys of the config mean is the executor's own matter (executor.py). Ours, `shell` and `http`, are no such work:
a job has keys of its own for them.
"""

import re
from typing import Final

from kala_es import limits
from kala_es.domain.errors import Invalid
from kala_es.domain.values import Value

OUR_OWN: Final = ("shell", "http")
"""No package can take these names."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", re.ASCII)


class NamedWork(Value, frozen=True):
    """An executor's name, and what it is told."""

    executor: str = ""
    config: tuple[tuple[str, str], ...] = ()


NO_NAMED: Final = NamedWork()


def check_named(work: NamedWork) -> None:
    """Raise Invalid, naming the key, unless this may be a job's work, whatever is installed."""
    if not work.executor:
        raise Invalid("executor", "a job of type 2 names one")
    if not _NAME.fullmatch(work.executor):
        raise Invalid("executor", f"{work.executor[:40]!r} cannot be the name of an executor")
    if work.executor in OUR_OWN:
        raise Invalid("executor", f"{work.executor!r} is our own: say `command`, or `remote_properties` with `type` 1")
    if sum(len(key) + len(value) for key, value in work.config) > limits.MAX_EXECUTOR_CONFIG_CHARS:
        raise Invalid("executor_config", f"more than {limits.MAX_EXECUTOR_CONFIG_CHARS} characters")
