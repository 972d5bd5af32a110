"""A value of the log that was not written as one is damage, whatever stands in it."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala_es.event_log import LogDamaged
from kala_es.event_logs.batch import decode_batch, erase, only_hole


def refused(value: bytes) -> None:
    for read in (decode_batch, only_hole, lambda first, value: erase(first, value, deque([first]))):
        with pytest.raises(LogDamaged, match="The records from position 7 on are damaged"):
            read(7, value)


@pytest.mark.parametrize("size", range(10))
def test_nothing_and_zeros_are_damage(size: int) -> None:
    """What is left of a value when a page's pointers lead beside it; a checksum of nothing is zero as well."""
    refused(bytes(size))


@given(st.binary(max_size=64))
def test_bytes_that_nobody_wrote_are_damage(value: bytes) -> None:
    refused(value)
