"""The events of an archive's block. That the digests fit says nothing of whether a server can read its records."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import cbor2

from kala_es import archive
from kala_es.domain.events import Event
from kala_es.event_log import LogDamaged, Record
from kala_es.replay.fold_check import decoded

_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_MICRO: Final = timedelta(microseconds=1)
_FIRST: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICRO
_LAST: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICRO


def events_in(block: archive.Block) -> Iterator[tuple[Record, Event]]:
    """Each record, and its event. Raises LogDamaged, LogIsNewer, with the position that cannot be read."""
    position = block.first
    for item in block.items:
        if not isinstance(item, bytes):
            position += item[0]
            continue
        record = Record(position, *cbor2.loads(item))
        if not archive.is_modest(record.body):
            raise LogDamaged(f"Position {position} holds a {record.type} of too many values.")
        if not _FIRST <= record.time <= _LAST:
            raise LogDamaged(f"Position {record.position} has a time outside the years 0001 to 9999.")
        yield record, decoded(record)
        position += 1


def holes_in(block: archive.Block) -> Iterator[tuple[int, int]]:
    """The position at which each hole begins, and how many records are not there."""
    position = block.first
    for item in block.items:
        if isinstance(item, bytes):
            position += 1
        else:
            yield position, item[0]
            position += item[0]
