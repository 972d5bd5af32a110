"""Makes an archive of a log, as it is at one moment, beside whoever has it open.

As a program, `python -m kala_es.replay.exporting LOG SINCE OUTPUT RESERVE`, it writes the archive to its standard
output, a file, for a server that goes on meanwhile. It fails with a sentence on standard error and 1; with 3
when there is no room, with 4 when there is no such position.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from kala_es import archive
from kala_es.event_log import LogError, LogIsFull
from kala_es.event_logs.postgres_place import Place, place_of
from kala_es.limits import ARCHIVE_BLOCK_BYTES
from kala_es.replay.log_file import Moment, NoSuchPosition, items_of, open_moment, since
from kala_es.replay.telling import Tell, nobody

Write = Callable[[bytes], object]
OUTPUT: Final = "OutputChunk"
"""The type of the records that are left out on demand."""
NO_ROOM_EXIT: Final = 3
NO_POSITION_EXIT: Final = 4


def export(place: Place, write: Write, *, after: int = 0, output: bool = True, tell: Tell = nobody) -> archive.End:
    """Write an archive of what a log has after a position; what it ends with. Raises LogError.

    Without `output`, records of the output of runs become holes. `tell` is told the position as far as is written.
    """
    with open_moment(place) as moment:
        writer = archive.Writer()
        tree = moment.tree_at(after)
        now, is_whole = time.time_ns() // 1000, output and moment.left_out() <= after
        write(writer.header(archive.Header(log=moment.log_id, after=after, tree=tree.digests, at=now, output=is_whole)))
        records = 0
        for block in _blocks(moment, after, output=output):
            records += archive.rows_in(block.items)
            write(writer.block(block))
            tell(block.last, moment.position)
        erased = moment.position - after - records
        end = archive.End(position=moment.position, digest=moment.digest(), records=records, erased=erased)
        write(writer.end(end))
    return end


def _blocks(moment: Moment, after: int, *, output: bool) -> Iterator[archive.Block]:
    items: list[archive.Item] = []
    size, place = 0, after
    for batch, value in moment.batches(after):
        whole = value if batch.first > after else b""
        some = items_of(since(batch, after), whole, without=() if output else (OUTPUT,))
        more = len(value)
        if items and size + more > ARCHIVE_BLOCK_BYTES:
            block = archive.Block(place + 1, place + _places(items), items)
            yield block
            items, size, place = [], 0, block.last
        items += some
        size += more
    if items:
        yield archive.Block(place + 1, place + _places(items), items)


def _places(items: Sequence[archive.Item]) -> int:
    rows = archive.rows_in(items)
    return rows if rows == len(items) else rows + sum(item[0] for item in items if not isinstance(item, bytes))


def main(argv: Sequence[str]) -> int:
    """Write an archive to standard output; the exit code."""
    place, after, output, reserve = place_of(argv[0], os.environ), int(argv[1]), argv[2] == "all", int(argv[3])

    def write(content: bytes) -> None:
        disk = os.fstatvfs(sys.stdout.fileno())
        if disk.f_bavail * disk.f_frsize < reserve:
            raise LogIsFull("there is no room for an archive")
        sys.stdout.buffer.write(content)

    try:
        export(place, write, after=after, output=output)
        sys.stdout.buffer.flush()
    except (LogError, OSError) as error:
        print(error, file=sys.stderr)
        if isinstance(error, LogIsFull):
            return NO_ROOM_EXIT
        return NO_POSITION_EXIT if isinstance(error, NoSuchPosition) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
