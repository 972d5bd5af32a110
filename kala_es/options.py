"""The keys of a config, which is texts by key: what each is for, what it may say, and the JSON schema of them all.

What an executor or a processor publishes of its config are such options: a job is checked against them when it is
created, and the schema is made of them, so the two never differ.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from kala_es.domain.errors import Invalid

_ANYTHING: Final = ".*"
_SHOWN_CHARS: Final = 40


def _takes_all(_: str) -> str:
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A key of a config. `pattern` is what the whole of a value looks like; `refuse` says why one is wrong all the
    same, "" if it is not."""

    key: str
    about: str
    pattern: str = _ANYTHING
    required: bool = False
    refuse: Callable[[str], str] = field(default=_takes_all)


def check_options(config: Iterable[tuple[str, str]], options: Sequence[Option], *, within: str, whose: str) -> None:
    """Raise Invalid, naming the key `within` a job's, when a config is not what the options say."""
    given = dict(config)
    known = {option.key: option for option in options}
    for key, value in given.items():
        option = known.get(key)
        if option is None:
            raise Invalid(f"{within}.{key}", f"{whose} knows {', '.join(known) or 'no keys'}")
        if not re.fullmatch(option.pattern, value, re.DOTALL):
            raise Invalid(f"{within}.{key}", f"{value[:_SHOWN_CHARS]!r} does not look like {option.pattern}")
        reason = option.refuse(value)
        if reason:
            raise Invalid(f"{within}.{key}", reason)
    for option in options:
        if option.required and option.key not in given:
            raise Invalid(f"{within}.{option.key}", f"{whose} needs it")


def schema_of_options(options: Sequence[Option]) -> dict[str, Any]:
    """The JSON schema of a config."""
    return {
        "type": "object",
        "properties": {
            option.key: {"type": "string", **_pattern(option), "description": option.about} for option in options
        },
        "required": [option.key for option in options if option.required],
        "additionalProperties": False,
    }


def _pattern(option: Option) -> dict[str, str]:
    return {} if option.pattern == _ANYTHING else {"pattern": f"^(?:{option.pattern})$"}
