"""How fast a log is exported, imported, verified and restored. One JSON line: MiB of rows, and events, a second."""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import trio

from bench.replay import history
from kala_es import codec, log_tree
from kala_es.event_logs.lmdb import open_log
from kala_es.fold_stores.memory import MemoryFoldStore
from kala_es.replay.exporting import export
from kala_es.replay.moments import Moment
from kala_es.replay.telling import nobody
from kala_es.replay.verify import prove_digests, verify
from kala_es.runtime.rebuilding import import_into, restore

_TOGETHER = 500


async def fill(directory: Path, count: int) -> int:
    """A log of so many events; the bytes of their rows."""
    log, size = open_log(directory, MemoryFoldStore()), 0
    events = history(count)
    for first in range(0, len(events), _TOGETHER):
        batch = [codec.encode(event) for event in events[first : first + _TOGETHER]]
        size += sum(len(log_tree.row(record)) for record in batch)
        await log.append(batch)
    await log.close()
    return size


def measure(place: Path, count: int) -> dict[str, float]:
    """Each kind of work once."""
    source, file = place / "source", place / "archive"
    source.mkdir()
    size = trio.run(fill, source, count)
    figures: dict[str, float] = {"row_bytes": size}

    def timed(name: str, work: Callable[[], object]) -> None:
        began, used = time.perf_counter(), time.process_time()
        work()
        took = time.perf_counter() - began
        figures[f"{name}_mib_per_second"] = size / took / (1 << 20)
        figures[f"{name}_events_per_second"] = count / took
        figures[f"{name}_cpu_seconds"] = time.process_time() - used

    def write() -> None:
        with file.open("wb") as target:
            export(source, target.write)

    def read() -> None:
        with file.open("rb") as archive:
            import_into(archive, place / "copy")

    timed("export", write)
    timed("import", read)
    timed("verify_digests", lambda: prove_digests(source, tell=nobody))
    timed("verify", lambda: verify(source, tell=nobody))
    figures["children_most_mib"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    timed("restore", lambda: restore(source, place / "restored", Moment(position=count - 1)))
    figures["archive_bytes"] = file.stat().st_size
    return figures


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=500_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        figures = measure(Path(directory), arguments.events)
    print(json.dumps({"bench": "archive", "events": arguments.events} | {k: round(v, 1) for k, v in figures.items()}))


if __name__ == "__main__":
    main()
