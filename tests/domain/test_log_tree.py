"""The digest of a log: the tree against the recursion of RFC 9162, with any of its places in any holes."""

from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala_es.event_log import NewRecord, Record
from kala_es.log_tree import Span, leaf, row, span_of, stand_in


def rfc(leaves: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1: MTH(D[n]) over the leaves' digests."""
    if not leaves:
        return blake2b(digest_size=32).digest()
    if len(leaves) == 1:
        return leaves[0]
    left = 1 << ((len(leaves) - 1).bit_length() - 1)
    return blake2b(b"\1" + rfc(leaves[:left]) + rfc(leaves[left:]), digest_size=32).digest()


def leaves_of(count: int) -> list[bytes]:
    return [leaf(b"%d" % number) for number in range(count)]


def span_over(leaves: list[bytes], first: int = 0) -> Span:
    span = Span(first)
    for digest in leaves:
        span.add(digest)
    return span


def test_the_root_is_the_rfcs_at_every_size() -> None:
    leaves, span = leaves_of(70), Span()
    assert span.root() == rfc([])
    for number, digest in enumerate(leaves, 1):
        span.add(digest)
        assert span.root() == rfc(leaves[:number])


@given(st.integers(0, 300), st.data())
def test_any_places_may_be_known_by_their_subtrees_only(count: int, data: st.DataObject) -> None:
    leaves = leaves_of(count)
    whole = Span()
    while whole.end < count:
        first = whole.end
        hole = data.draw(st.integers(0, count - first))
        whole.add_all(span_over(leaves[first : first + hole], first).digests, hole)
        if whole.end < count:
            whole.add(leaves[whole.end])
    assert whole.root() == rfc(leaves)


@given(st.integers(0, 1000), st.integers(1, 300), st.integers(1, 300))
def test_holes_that_meet_are_one(first: int, count: int, more: int) -> None:
    leaves = leaves_of(count + more)
    one = span_of(span_over(leaves[:count], first).digests, count, first)
    one.add_all(span_over(leaves[count:], first + count).digests, more)
    whole = span_over(leaves, first)
    assert (one.digests, one.end) == (whole.digests, first + count + more)
    assert len(whole.digests) <= 32 * 2 * (count + more).bit_length()


def test_digests_of_another_number_of_places_are_refused() -> None:
    with pytest.raises(ValueError, match="3 places from 4 on are 2 subtrees, not 32 bytes"):
        span_of(bytes(32), 3, 4)


def test_a_copy_goes_its_own_way() -> None:
    span = span_over(leaves_of(3))
    before = span.root()
    span.copy().add(leaf(b"more"))
    assert span.root() == before


def test_a_record_and_the_same_record_stored_are_one_leaf() -> None:
    new = NewRecord("job:a", "RunStarted", 1, 2**50, "alice", b"body")
    assert row(new) == row(Record(7, "job:a", "RunStarted", 1, 2**50, "alice", b"body"))
    assert row(new) != row(NewRecord("job:a", "RunStarted", 1, 2**50, "bob", b"body"))


def test_a_stand_in_fills_its_places_and_no_others() -> None:
    digests = stand_in(bytes(32), 5, 3)
    assert span_of(digests, 5, 3).end == 8
    assert digests != stand_in(bytes(32), 5, 4)
