"""Line feeds of a run's output: how many there are, and the chunk of each, of both channels or of one."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from kala_es.domain.events import OutputChunk
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.projections.output import CHANNELS, Output, bytes_before, feeds_before

R = RunId("r")
WRITTEN = st.lists(st.tuples(st.sampled_from(CHANNELS), st.text("\nx", max_size=4)), max_size=14)


def folded(chunks: Sequence[tuple[str, bytes]], store: MemoryFoldStore, first: int = 0) -> Output:
    """The fold after these chunks, the first of which has this number; its rows are in the store."""
    changes: dict[bytes, bytes | None] = {}
    output = Output(store, changes)
    for number, (channel, content) in enumerate(chunks, first):
        event = OutputChunk(
            job=JobId("j"), at=Instant(1), run=R, attempt=1, sequence=number, channel=channel, offset=0, content=content
        )
        output.apply(number + 10, event)
    store.write(changes.items())
    return output


def written(chunks: Sequence[tuple[str, bytes]], channel: str | None) -> bytes:
    return b"".join(content for its_channel, content in chunks if channel in (None, its_channel))


@settings(max_examples=200, deadline=None)
@given(chunks=WRITTEN, reopened=st.integers(0, 14))
def test_every_line_feed_is_found(chunks: list[tuple[str, str]], reopened: int) -> None:
    told = [(channel, text.encode()) for channel, text in chunks]
    store = MemoryFoldStore()
    folded(told[:reopened], store)
    output = folded(told[reopened:], store, min(reopened, len(told)))
    for channel in (None, *CHANNELS):
        whole = written(told, channel)
        feeds = whole.count(b"\n")
        assert output.line_feeds(R, channel) == Output(store, {}).line_feeds(R, channel) == feeds
        for number in range(feeds + 3):
            piece = output.feed(R, number, channel)
            assert (piece is not None) == (1 <= number <= feeds)
            if piece is not None:
                before = feeds_before(piece, channel)
                assert before < number <= before + piece.feeds
                assert whole[: bytes_before(piece, channel)].count(b"\n") == before


def test_there_are_none_of_a_run_that_has_printed_nothing() -> None:
    output = Output(MemoryFoldStore(), {})
    assert output.line_feeds(R) == 0
    assert output.feed(R, 1) is None
