"""The terms on which a job's attempts are carried out: when the next one follows, as whom, within which limits.

Durations and the file mode stay in their text; sizes are bytes. "", 0 and None mean that nothing is said.
"""

import re
from typing import Final, Literal

from kala_es import limits
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import SECOND
from kala_es.domain.iso8601 import parse_duration
from kala_es.domain.values import Value

OutputPolicy = Literal["truncate-head", "truncate-tail", "kill"]
"""What happens beyond `max_output`: the newest is kept, the first is kept, or the attempt is ended and has failed."""

_SIZE: Final = re.compile(r"(\d{1,15})\s?([KMGT]?)(?:iB|B)?", re.ASCII)
_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_MODE: Final = re.compile(r"0?[0-7]{1,3}", re.ASCII)


class AttemptTerms(Value, frozen=True):
    """What holds for each attempt of a job.

    `retry_backoff` multiplies `retry_delay` with each retry (None is 1), up to `retry_max_delay`; `retry_jitter` is
    the part of it, 0 to 1, that is spread. `success_codes` None is 0 alone, `on_max_output` None is
    "truncate-tail". `cpu_limit` in seconds, the other limits in bytes and files.
    """

    retry_delay: str = ""
    retry_backoff: float | None = None
    retry_max_delay: str = ""
    retry_jitter: float | None = None
    user: str = ""
    group: str = ""
    umask: str = ""
    nice: int = 0
    memory_limit: int = 0
    cpu_limit: int = 0
    open_files_limit: int = 0
    success_codes: tuple[int, ...] | None = None
    max_output: int = 0
    on_max_output: OutputPolicy | None = None


USUAL: Final = AttemptTerms()


def parse_size(text: str, field: str) -> int:
    """A number of bytes, with a unit of 1024s or without: `65536`, `64K`, `64KiB`. Raises Invalid for `field`."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise Invalid(field, f"{text[:40]!r} is not a size; write bytes, or 64K, 256M, 2G")
    return int(match[1]) * _UNITS[match[2]]


def check_terms(terms: AttemptTerms) -> None:
    """Raise Invalid, naming the JSON key, unless attempts can be carried out on these terms somewhere."""
    if terms == USUAL:
        return
    _check_retries(terms)
    _check_account(terms)
    _check_limits(terms)
    _check_output(terms)


def _check_retries(terms: AttemptTerms) -> None:
    for key, text in (("retry_delay", terms.retry_delay), ("retry_max_delay", terms.retry_max_delay)):
        if text and parse_duration(text, key) > limits.MAX_RETRY_DELAY_SECONDS * SECOND:
            raise Invalid(key, f"longer than {limits.MAX_RETRY_DELAY_SECONDS // 86_400} days")
    backoff, jitter = terms.retry_backoff, terms.retry_jitter
    if backoff is not None and not 1 <= backoff <= limits.MAX_RETRY_BACKOFF:
        raise Invalid("retry_backoff", f"not between 1 and {limits.MAX_RETRY_BACKOFF}")
    if jitter is not None and not 0 <= jitter <= 1:
        raise Invalid("retry_jitter", "not between 0 and 1")
    shaped = (("retry_backoff", backoff), ("retry_max_delay", terms.retry_max_delay), ("retry_jitter", jitter))
    for key, value in shaped:
        if value and not terms.retry_delay:
            raise Invalid(key, "there is no retry_delay for it to shape")


def _check_account(terms: AttemptTerms) -> None:
    for key, name in (("user", terms.user), ("group", terms.group)):
        if len(name) > limits.MAX_ACCOUNT_CHARS or not name.isprintable():
            raise Invalid(key, f"{name[:40]!r} cannot be the name of a {key}")
    if terms.umask and not _MODE.fullmatch(terms.umask):
        raise Invalid("umask", f"{terms.umask[:40]!r} is no octal mask such as 022")
    if not -20 <= terms.nice <= 19:
        raise Invalid("nice", "not between -20 and 19")


def _check_limits(terms: AttemptTerms) -> None:
    ranges = (
        ("memory_limit", terms.memory_limit, (limits.MIN_MEMORY_LIMIT_BYTES, 1 << 62)),
        ("cpu_limit", terms.cpu_limit, (1, limits.MAX_TIMEOUT_SECONDS)),
        ("open_files_limit", terms.open_files_limit, (limits.MIN_OPEN_FILES_LIMIT, limits.MAX_OPEN_FILES_LIMIT)),
    )
    for key, value, (least, most) in ranges:
        if value and not least <= value <= most:
            raise Invalid(key, f"not between {least} and {most}")
    codes = terms.success_codes
    if codes is not None and not 1 <= len(codes) <= 256:
        raise Invalid("success_codes", "names no code" if not codes else "names more codes than there are")
    for code in codes or ():
        if not 0 <= code <= 255:
            raise Invalid("success_codes", f"{code} is no exit code: not between 0 and 255")


def _check_output(terms: AttemptTerms) -> None:
    if not 0 <= terms.max_output <= 1 << 62:
        raise Invalid("max_output", "not a number of bytes")
    if terms.on_max_output and not terms.max_output:
        raise Invalid("on_max_output", "there is no max_output for it to follow")
