"""The node's end of the link, without sockets: what is told, what goes on, what is lost, at each meeting."""

from dataclasses import dataclass, field

import pytest

from kala_es.domain.ids import Instant
from kala_es.executor import AttemptEnd, Local, Named, Order
from kala_es.link import (
    CAPABILITIES,
    Acknowledge,
    Attempt,
    Cancel,
    Chunk,
    Ended,
    Key,
    Resume,
    Settle,
    Start,
    ToAgent,
    TooLarge,
    Welcome,
)
from kala_es.runtime.order_book import OrderBook, OutOfOrder

NOW = Instant(5)


def order(run: str = "r", attempt: int = 1) -> Order:
    return Order(run=run, attempt=attempt, work=Local(command_line="true"))


def chunk(sequence: int, run: str = "r") -> Chunk:
    return Chunk(run, 1, sequence, "stdout", sequence - 1, b"x", NOW)


def ended(run: str = "r") -> Ended:
    return Ended(run, 1, AttemptEnd(outcome="succeeded", exit_code=0), NOW, NOW)


@dataclass
class Desk:
    """A book, what it says, and what it loses."""

    durable: dict[Key, int] = field(default_factory=dict)
    said: list[ToAgent] = field(default_factory=list)
    lost: list[Key] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.book = OrderBook(lost=self.lost.append)

    def meet(self, *listed: Attempt, agent: str = "a", since: int = 0) -> list[ToAgent]:
        """A connection to this agent, which has these; what is said."""
        self.said = []
        there = {(each.run, each.attempt): self.durable.get((each.run, each.attempt), 0) for each in listed}
        self.book.meet(Welcome(1, agent, 1, since), there, self.said.append)
        return self.said


def test_an_order_waits_for_an_agent_and_is_told_once() -> None:
    desk = Desk()
    desk.book.order(order(), 7)
    assert desk.meet(since=9) == [Start(order()), Resume()]
    desk.book.order(order("s"), 8)
    assert desk.said[2:] == [Start(order("s"))]
    desk.book.hang_up()
    assert desk.meet(Attempt("r", 1), Attempt("s", 1)) == [Acknowledge("r", 1, 0), Acknowledge("s", 1, 0), Resume()]


def test_what_was_told_and_did_not_arrive_is_told_again_to_the_same_agent() -> None:
    desk = Desk()
    desk.meet()
    desk.book.order(order(), 7)
    desk.book.hang_up()
    assert desk.meet() == [Start(order()), Resume()]
    assert desk.lost == []


def test_what_was_told_to_another_agent_is_lost_and_what_was_not_told_is_not() -> None:
    desk = Desk()
    desk.meet()
    desk.book.order(order("told"), 7)
    desk.book.hang_up()
    desk.book.order(order("untold"), 8)
    assert desk.meet(agent="b", since=8) == [Start(order("untold")), Resume()]
    assert desk.lost == [("told", 1)]


def test_when_no_agent_lives_what_was_told_is_lost_at_once() -> None:
    desk = Desk()
    desk.meet()
    desk.book.order(order("told"), 7)
    desk.book.hang_up()
    desk.book.order(order("untold"), 8)
    desk.book.bury()
    desk.book.bury()
    assert desk.lost == [("told", 1)]
    desk.book.settle(("told", 1))
    assert desk.meet(agent="b", since=8) == [Start(order("untold")), Resume()]


@pytest.mark.parametrize(
    ("position", "since", "told", "lost"),
    [(8, 7, [Start(order())], []), (7, 7, [], [("r", 1)]), (6, 7, [], [("r", 1)])],
)
def test_what_an_earlier_life_ordered_and_the_agent_has_not(
    position: int, since: int, told: list[ToAgent], lost: list[Key]
) -> None:
    desk = Desk()
    desk.book.inherit(("r", 1), position, order)
    assert desk.meet(since=since) == [*told, Resume()]
    assert desk.lost == lost


def test_what_an_earlier_life_ordered_goes_on_where_the_log_ends() -> None:
    desk = Desk(durable={("r", 1): 4})
    desk.book.inherit(("r", 1), 3, order)
    assert desk.meet(Attempt("r", 1, 6), since=9) == [Acknowledge("r", 1, 4), Resume()]
    assert [desk.book.is_new(chunk(sequence)) for sequence in (3, 4, 5, 5, 6)] == [False, False, True, False, True]


def test_all_of_an_earlier_life_is_lost_when_no_agent_lives() -> None:
    desk = Desk()
    desk.book.inherit(("r", 1), 3, order)
    desk.book.bury()
    assert desk.lost == [("r", 1)]


def test_what_the_agent_has_and_the_log_has_the_end_of_is_let_go() -> None:
    desk = Desk()
    assert desk.meet(Attempt("x", 2, 3, True)) == [Cancel("x", 2), Settle("x", 2), Resume()]


def test_a_cancel_reaches_the_agent_now_or_at_the_next_meeting() -> None:
    desk = Desk()
    desk.book.order(order(), 7)
    desk.book.cancel(("r", 1))
    desk.book.cancel(("unknown", 1))
    assert desk.meet() == [Start(order()), Cancel("r", 1), Resume()]
    desk.book.order(order("s"), 7)
    desk.book.cancel(("s", 1))
    desk.book.cancel(("s", 1))
    assert desk.said[3:] == [Start(order("s")), Cancel("s", 1)]
    desk.book.hang_up()
    assert Cancel("s", 1) in desk.meet(Attempt("r", 1), Attempt("s", 1))


def test_an_end_is_taken_once_and_settled_when_recorded() -> None:
    desk = Desk()
    desk.meet()
    desk.book.order(order(), 7)
    assert [desk.book.is_new(ended()), desk.book.is_new(ended()), desk.book.is_new(chunk(1))] == [True, False, False]
    desk.book.hang_up()
    desk.book.bury()
    assert desk.lost == [], "its end is known"
    desk.meet(Attempt("r", 1, 0, True))
    assert not desk.book.is_new(ended())
    desk.book.settle(("r", 1))
    assert desk.said[-1] == Settle("r", 1)
    assert len(desk.book) == 0
    assert not desk.book.is_new(ended())


def test_a_gap_is_out_of_order() -> None:
    desk = Desk()
    desk.meet()
    desk.book.order(order(), 7)
    desk.book.is_new(chunk(1))
    with pytest.raises(OutOfOrder, match="chunk 3 of the run r came after chunk 1"):
        desk.book.is_new(chunk(3))


def test_an_order_that_fits_into_no_frame_is_told_as_one_that_cannot_be() -> None:
    said: list[ToAgent] = []

    def send(message: ToAgent) -> None:
        if isinstance(message, Start) and not message.order.refused:
            raise TooLarge("it is too large")
        said.append(message)

    desk = Desk()
    desk.book.order(order(), 7)
    desk.book.meet(Welcome(1, "a", 1, 0), {}, send)
    assert isinstance(said[0], Start)
    assert said[0].order.refused == "it is too large"


def test_an_agent_that_does_not_know_executors_by_name_is_told_a_refusal() -> None:
    desk = Desk()
    named = Order(run="n", attempt=1, work=Named(executor="kafka"))
    desk.book.order(named, 7)
    (start, _) = desk.meet(since=9)
    assert isinstance(start, Start)
    assert isinstance(start.order.work, Local)
    assert "restart the server when nothing runs" in start.order.refused
    desk.book.hang_up()
    desk.book.meet(Welcome(1, "a", 1, 9, CAPABILITIES), {}, desk.said.append)
    assert desk.said[-2:] == [Start(named), Resume()]
