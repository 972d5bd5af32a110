"""Whom a job wants told of what: a part of its definition, and whether its texts are valid.

`to` is an address: `mail` (mail to the job's owner), `mailto:ADDRESS`, or an http(s) URL.
"""

import re
from typing import Final, Literal, NewType, get_args
from urllib.parse import urlsplit

from kala_es import limits
from kala_es.domain import template
from kala_es.domain.errors import Invalid
from kala_es.domain.ids import SECOND, Micros
from kala_es.domain.iso8601 import parse_duration
from kala_es.domain.values import Value

NoticeId = NewType("NoticeId", str)
Occasion = Literal["failure", "first-failure", "recovery", "missed", "overdue"]
"""What a notice is about. `first-failure` follows a success, `recovery` a failure; `failure` is each of them."""
OCCASIONS: Final[tuple[Occasion, ...]] = get_args(Occasion)
OWNER: Final = "mail"
MAIL: Final = "mailto:"
DELIMITERS: Final = ("{{", "}}")
_ADDRESS: Final = re.compile(r"[^\s@<>,;:\"\\()\x00-\x1f\x7f]+@[^\s@<>,;:\"\\()\x00-\x1f\x7f]+")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e]*")


class Target(Value, frozen=True):
    """One who is to be told. `template` is a Go template for the text, "" for the standard one."""

    to: str
    when: tuple[Occasion, ...] = ("failure",)
    template: str = ""
    headers: tuple[tuple[str, str], ...] = ()


class Notify(Value, frozen=True):
    """Whom a job wants told; None for the node's defaults, () for nobody. `expected_duration` is ISO 8601."""

    targets: tuple[Target, ...] | None = None
    expected_duration: str = ""


NOTHING_SAID: Final = Notify()


def is_address(text: str) -> bool:
    """Whether mail can be sent to it."""
    return len(text) <= limits.MAX_NOTICE_ADDRESS_CHARS and _ADDRESS.fullmatch(text) is not None


def expected_of(notify: Notify) -> Micros | None:
    """How long a run is expected to take at most; None for any time."""
    return parse_duration(notify.expected_duration, "expected_duration") if notify.expected_duration else None


def check_notify(notify: Notify, owner: str) -> None:
    """Raise Invalid, naming the field, unless everybody can be told."""
    expected = expected_of(notify)
    if expected is not None and not 0 < expected <= limits.MAX_TIMEOUT_SECONDS * SECOND:
        raise Invalid("expected_duration", f"not between 0 and {limits.MAX_TIMEOUT_SECONDS} seconds")
    targets = notify.targets or ()
    if len(targets) > limits.MAX_NOTIFY_TARGETS:
        raise Invalid("notify", f"more than {limits.MAX_NOTIFY_TARGETS} targets")
    for i, target in enumerate(targets):
        within = f"notify[{i}]"
        _check_address(target, owner, f"{within}.to")
        if "overdue" in target.when and expected is None:
            raise Invalid(f"{within}.when", "overdue needs an expected_duration")
        _check_template(target.template, f"{within}.template")
        _check_headers(target, f"{within}.headers")


def _check_address(target: Target, owner: str, field: str) -> None:
    to = target.to
    if len(to) > limits.MAX_NOTICE_ADDRESS_CHARS:
        raise Invalid(field, f"longer than {limits.MAX_NOTICE_ADDRESS_CHARS} characters")
    if to == OWNER:
        if not is_address(owner):
            raise Invalid(field, f"mail goes to the owner, and {owner[:40]!r} is no mail address")
    elif to.startswith(MAIL):
        if not is_address(to.removeprefix(MAIL)):
            raise Invalid(field, f"{to[:40]!r} has no mail address")
    elif not _is_url(to):
        raise Invalid(field, f"{to[:40]!r} is neither mail, mailto:ADDRESS nor an http or https URL")


def _is_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        has_port = url.port is None or url.port > 0
    except ValueError:
        return False
    plain = all(character.isprintable() and not character.isspace() for character in text)
    return url.scheme in ("http", "https") and bool(url.hostname) and has_port and plain


def _check_template(text: str, field: str) -> None:
    try:
        template.parse(text, DELIMITERS)
    except template.TemplateError as error:
        raise Invalid(field, f"not a template: {error}") from None


def _check_headers(target: Target, field: str) -> None:
    if target.headers and not target.to.startswith("http"):
        raise Invalid(field, "a mail has none")
    for name, value in target.headers:
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise Invalid(field, f"{name[:40]!r} cannot be a header")
