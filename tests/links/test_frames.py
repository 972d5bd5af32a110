"""Frames: every message comes back, however it is cut; garbage is refused and neither crashes nor hangs anybody.

`FUZZ_SEED` repeats a run.
"""

import os
import random
from collections.abc import Callable
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kala_es import limits
from kala_es.domain.ids import Instant
from kala_es.executor import AttemptEnd, Local, Order, Remote, Tls
from kala_es.link import (
    Acknowledge,
    Attempt,
    Bye,
    Cancel,
    Chunk,
    Ended,
    Hello,
    List,
    Listed,
    Message,
    Resume,
    Settle,
    Start,
    TooLarge,
    Welcome,
)
from kala_es.links.frames import Frames, Garbled, encode, from_agent, from_node

FUZZED = 100_000
TO_AGENT: tuple[Message, ...] = (
    Hello(1, 7, outlives=False, environment=((b"PATH", b"/bin\xff"),)),
    List(),
    Resume(),
    Start(Order(run="r", attempt=2, work=Local(command_line="echo \u00e4", env=(("A", "b"),)), timeout=1.5)),
    Start(Order(run="r", attempt=2, work=Remote(url="http://x", method="GET", body="", headers=(("a", "b"),)))),
    Start(Order(run="r", attempt=1, work=Remote(url="", method="", body="", lenient=True, tls=Tls(ca_file="/a")))),
    Acknowledge("r", 1, 3),
    Settle("r", 1),
    Cancel("r", 1),
    Bye(),
)
TO_NODE: tuple[Message, ...] = (
    Welcome(1, "a", 7, 3, ("local",)),
    Listed((Attempt("r", 1, 4, True), Attempt("s", 2)), last=False),
    Chunk("r", 1, 1, "stderr", 0, bytes(range(256)), Instant(9)),
    Ended("r", 1, AttemptEnd(outcome="failed", exit_code=3, reason="exit status 3"), Instant(1), Instant(2)),
)
DIRECTIONS: tuple[tuple[Callable[[], Frames[Any]], tuple[Message, ...]], ...] = (
    (from_node, TO_AGENT),
    (from_agent, TO_NODE),
)


@pytest.mark.parametrize(("frames", "messages"), DIRECTIONS)
def test_every_message_comes_back_however_it_is_cut(
    frames: Callable[[], Frames[Any]], messages: tuple[Message, ...]
) -> None:
    content = b"".join(map(encode, messages))
    for size in (1, 3, 100, len(content)):
        received, found = frames(), []
        for start in range(0, len(content), size):
            found += received.feed(content[start : start + size])
        assert tuple(found) == messages


def test_a_field_from_a_later_release_is_left_out_of_account() -> None:
    plain = {"type": "Cancel", "run": "r", "attempt": 1, "politely": True}
    content = cbor2.dumps(plain)
    assert from_node().feed(len(content).to_bytes(4, "big") + content) == [Cancel("r", 1)]


def test_a_message_that_is_too_large_is_neither_sent_nor_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    large = encode(Chunk("r", 1, 1, "stdout", 0, bytes(2000), Instant(0)))
    monkeypatch.setattr(limits, "MAX_FRAME_BYTES", 1000)
    with pytest.raises(TooLarge):
        encode(Chunk("r", 1, 1, "stdout", 0, bytes(2000), Instant(0)))
    with pytest.raises(Garbled, match="a frame of"):
        from_agent().feed(large[:4])


@pytest.mark.parametrize(("frames", "messages"), DIRECTIONS)
def test_a_message_of_the_other_direction_is_refused(
    frames: Callable[[], Frames[Any]], messages: tuple[Message, ...]
) -> None:
    for other in {*TO_AGENT, *TO_NODE} - {*messages}:
        with pytest.raises(Garbled):
            frames().feed(encode(other))


def mutated(content: bytes, chance: random.Random) -> bytes:
    """The bytes with some of them changed, taken out, doubled or put in."""
    damaged = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(damaged) + 1)
        match chance.randrange(4):
            case 0 if at < len(damaged):
                damaged[at] = chance.randrange(256)
            case 1:
                del damaged[at : at + chance.randint(1, 8)]
            case 2:
                damaged[at:at] = chance.randbytes(chance.randint(1, 8))
            case _:
                damaged[at:at] = damaged[at : at + 16]
    return bytes(damaged)


@pytest.mark.slow
def test_random_and_mutated_frames_are_taken_or_refused_and_nothing_else() -> None:
    seed = int(os.environ.get("FUZZ_SEED", random.randrange(1 << 32)))
    print(f"FUZZ_SEED={seed}")
    chance = random.Random(seed)
    taken = refused = 0
    for number in range(FUZZED):
        frames, messages = DIRECTIONS[number % 2]
        content = chance.randbytes(chance.randint(0, 60)) if number % 5 == 0 else b""
        content = content or mutated(encode(chance.choice(messages)), chance)
        if number % 3 == 0:  # whole frames, so that what is inside is looked at
            content = len(content).to_bytes(4, "big") + content
        try:
            taken += len(frames().feed(content))
        except Garbled:
            refused += 1
    assert taken > FUZZED // 100
    assert refused > FUZZED // 4


def test_a_text_that_cannot_be_encoded_is_passed_on_as_far_as_it_can() -> None:
    end = AttemptEnd(outcome="failed", reason="caf\udce9: command not found")
    (message,) = from_agent().feed(encode(Ended("r", 1, end, Instant(1), Instant(2))))
    assert isinstance(message, Ended)
    assert message.end.reason.startswith("caf\ufffd")


LEAVES = st.none() | st.booleans() | st.integers() | st.text() | st.binary()


@settings(max_examples=60)
@given(st.recursive(LEAVES, lambda x: st.lists(x) | st.dictionaries(st.text(), x), max_leaves=20))
def test_any_cbor_is_taken_or_refused(value: object) -> None:
    content = cbor2.dumps(value)
    with pytest.raises(Garbled):
        from_node().feed(len(content).to_bytes(4, "big") + content)
