"""Words that a job's owner hangs on it: labels to find it by, and tags of the nodes that may run it."""

from collections.abc import Iterable
from typing import Final

from kala_es import limits
from kala_es.domain.errors import Invalid

Labels = tuple[tuple[str, str], ...]
NO_LABELS: Final[Labels] = ()


def check_labels(field: str, labels: Labels) -> None:
    """Raise Invalid, naming the field, when there are too many of them or one is too long."""
    if len(labels) > limits.MAX_LABELS:
        raise Invalid(field, f"more than {limits.MAX_LABELS}")
    for key, value in labels:
        if not key or len(key) > limits.MAX_LABEL_CHARS or len(value) > limits.MAX_LABEL_CHARS:
            raise Invalid(field, f"{key[:40]!r} is empty or longer than {limits.MAX_LABEL_CHARS} characters")


def has_all(labels: Labels, wanted: Iterable[tuple[str, str]]) -> bool:
    """Whether each of the wanted pairs is there."""
    mine = dict(labels)
    return all(mine.get(key) == value for key, value in wanted)
