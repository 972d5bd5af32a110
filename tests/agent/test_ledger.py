"""The agent's end of the link, without sockets: what is kept, what is told, to whom and in which order."""

import pytest

from kala_es import limits
from kala_es.agent.ledger import Ledger
from kala_es.domain.ids import Instant
from kala_es.executor import AttemptEnd, Local, Order
from kala_es.link import Attempt, Chunk, Ended, Key, Listed, ToNode

KEY: Key = ("r", 1)
END = AttemptEnd(outcome="succeeded", exit_code=0)
NOW = Instant(5)


def order(run: str = "r", attempt: int = 1) -> Order:
    return Order(run=run, attempt=attempt, work=Local(command_line="true"))


def written(count: int, *, key: Key = KEY) -> Ledger:
    """A ledger with one attempt that has written so many bytes, one a chunk."""
    ledger = Ledger()
    ledger.take_on(order(*key))
    for _ in range(count):
        ledger.chunk(key, ("stdout", b"x", 0), NOW)
    return ledger


def told(ledger: Ledger) -> list[ToNode]:
    """What a node that begins to listen is told, and what comes after."""
    messages: list[ToNode] = []
    ledger.listen(messages.append)
    return messages


def test_an_order_is_taken_on_once() -> None:
    ledger = Ledger()
    assert [ledger.take_on(order()), ledger.take_on(order()), ledger.take_on(order(attempt=2))] == [True, False, True]
    assert len(ledger) == 2


def test_chunks_are_numbered_and_know_their_place_in_the_channel() -> None:
    ledger = Ledger()
    ledger.take_on(order())
    messages = told(ledger)
    for channel, content in (("stdout", b"ab"), ("stderr", b"c"), ("stdout", b"d")):
        ledger.chunk(KEY, (channel, content, 0), NOW)  # type: ignore[arg-type]
    ledger.end(KEY, END, (Instant(1), NOW))
    assert messages == [
        Chunk("r", 1, 1, "stdout", 0, b"ab", NOW),
        Chunk("r", 1, 2, "stderr", 0, b"c", NOW),
        Chunk("r", 1, 3, "stdout", 2, b"d", NOW),
        Ended("r", 1, END, Instant(1), NOW),
    ]


def test_without_a_node_all_is_kept_and_told_to_the_next_in_order() -> None:
    ledger = written(3)
    ledger.end(KEY, END, (NOW, NOW))
    kept = told(ledger)
    assert [getattr(message, "sequence", "end") for message in kept] == [1, 2, 3, "end"]
    ledger.hang_up()
    assert told(ledger) == kept


def test_what_is_acknowledged_is_told_no_more() -> None:
    ledger = written(4)
    for sequence, left in ((2, [3, 4]), (1, [3, 4]), (9, [3, 4]), (3, [4]), (4, [])):
        ledger.acknowledge(KEY, sequence)
        assert [message.sequence for message in told(ledger) if isinstance(message, Chunk)] == left
        assert ledger.unacknowledged == len(left)


def test_an_end_is_kept_until_it_is_settled_and_an_attempt_under_way_cannot_be() -> None:
    ledger = written(2)
    ledger.settle(KEY)
    assert KEY in ledger
    ledger.end(KEY, END, (NOW, NOW))
    ledger.settle(KEY)
    assert (len(ledger), ledger.unacknowledged, told(ledger)) == (0, 0, [])


def test_the_unknown_changes_nothing() -> None:
    ledger = written(1)
    ledger.acknowledge(("other", 1), 1)
    ledger.settle(("other", 1))
    assert ledger.unacknowledged == 1


def test_there_is_room_for_so_many_chunks_of_one_and_bytes_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNKS_UNACKNOWLEDGED", 3)
    monkeypatch.setattr(limits, "UNACKNOWLEDGED_BYTES", 5)
    ledger = written(2)
    assert ledger.has_room(KEY)
    ledger.chunk(KEY, ("stdout", b"x", 0), NOW)
    assert not ledger.has_room(KEY)
    ledger.take_on(order("s"))
    assert ledger.has_room(("s", 1))
    ledger.chunk(("s", 1), ("stdout", b"xx", 0), NOW)
    assert ledger.is_full
    assert not ledger.has_room(("s", 1))
    ledger.acknowledge(KEY, 3)
    assert ledger.has_room(("s", 1))


def test_the_list_says_how_far_each_is_in_messages_of_bounded_size() -> None:
    ledger = written(2)
    ledger.take_on(order("s", 2))
    ledger.end(("s", 2), END, (NOW, NOW))
    assert list(ledger.listed()) == [Listed((Attempt("r", 1, 2), Attempt("s", 2, 0, True)))]
    for number in range(12_000):
        ledger.take_on(order(f"n{number}"))
    pages = list(ledger.listed())
    assert [page.last for page in pages] == [False, False, True]
    assert sum(len(page.attempts) for page in pages) == 12_002
    assert list(Ledger().listed()) == [Listed(())]
