"""The folds of memory, saved at a position: only to start sooner. A snapshot that does not fit is not used.

The file is CBOR: a map {"format", "position", "time" (the latest of an event), "anchor", "jobs" (how many), "graph",
"trees", "joins", "attempted", "busy", "failing", "notices", "pause", "days", "recent"} and, if there are any,
"handovers"; lists of jobs, and the BLAKE2b digest of all that. One without "days" or "recent" is older than they
are: it shows a moment of the past, or is a base, and counts none.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Final

import cbor2

from kala_es.domain.handovers import Handover
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.model import Job
from kala_es.domain.notices import Waiting
from kala_es.domain.notify import NoticeId
from kala_es.domain.reactions import Tree
from kala_es.domain.tick_policy import Pause
from kala_es.domain.trimming import BaseTaken
from kala_es.domain.values import from_plain, to_plain
from kala_es.event_log import LogDamaged
from kala_es.projections.days import Days
from kala_es.projections.folds import Folds
from kala_es.projections.recent import Recent

_FORMAT: Final = 1
_DIGEST: Final = 32
_SLICE: Final = 500


def anchor_of(body: bytes) -> bytes:
    """What ties a snapshot to its log: a digest of the record at its position, given that record's body."""
    return blake2b(body, digest_size=16).digest()


def freeze(folds: Folds, anchor: bytes) -> Iterator[bytes]:
    """The snapshot's bytes, as of now. Draw them at leisure: the jobs are frozen values, noted at the first draw."""
    jobs = list(folds.jobs.by_id.values())
    head = {
        "format": _FORMAT,
        "position": folds.position,
        "time": folds.latest,
        "anchor": anchor,
        "jobs": len(jobs),
        "graph": folds.jobs.graph.dump(),
        "trees": {root: to_plain(tree) for root, tree in folds.trees.open.items()},
        "joins": {job: dict(seen) for job, seen in folds.trees.joins.items()},
        "attempted": folds.stats.last_attempted_run,
        "busy": [run.id for _, run in folds.busy],
        "failing": sorted(folds.watch.failing),
        "notices": {notice: to_plain(waiting) for notice, waiting in folds.watch.waiting.items()},
        "pause": to_plain(folds.server_pause) if folds.server_pause else None,
        "days": folds.days.dump(),
        "recent": folds.recent.dump(),
    }
    if folds.handovers.count:
        head["handovers"] = [to_plain(handover) for handover in folds.handovers]
    yield cbor2.dumps(head)
    for i in range(0, len(jobs), _SLICE):
        yield cbor2.dumps([to_plain(job) for job in jobs[i : i + _SLICE]])


def sealed(parts: list[bytes]) -> bytes:
    """A file's content: the parts, with their digest."""
    content = b"".join(parts)
    return content + blake2b(content, digest_size=_DIGEST).digest()


def write(path: Path, content: bytes) -> None:
    """Put what `sealed` gave in the place of the file, whole or not at all. Raises OSError."""
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def place(path: Path) -> tuple[int, bytes] | None:
    """A file's position and anchor, None when it cannot be read."""
    with suppress(OSError), path.open("rb") as file:
        return place_in(file)
    return None


def place_in(content: IO[bytes]) -> tuple[int, bytes] | None:
    """The same, of its content."""
    with suppress(ValueError, KeyError, TypeError, cbor2.CBORDecodeError):
        top: dict[str, Any] = cbor2.CBORDecoder(content).decode()
        return top["position"], top["anchor"]
    return None


def fill(folds: Folds, body: bytes, head: int) -> bool:
    """Fill empty folds from what `freeze` gave. False, and they stay empty, when it does not fit."""
    return any(filling(folds, body, head))


def filling(folds: Folds, body: bytes, head: int) -> Iterator[bool]:
    """The same, a slice of jobs at a time; the last is True when it fits."""
    with suppress(ValueError, KeyError, TypeError, cbor2.CBORDecodeError):
        yield from _fill(folds, body, head)


def filling_base(folds: Folds, content: bytes, base: BaseTaken) -> Iterator[None]:
    """Fill empty folds from a base, whose parts' content this is, a slice at a time. Raises LogDamaged."""
    if blake2b(content, digest_size=_DIGEST).digest() == base.digest:
        for done in filling(folds, content, base.base):
            yield
            if done:
                return
    raise LogDamaged(f"The base at position {base.base} cannot be read.")


def job_in(body: bytes, job: JobId) -> Job | None:
    """A job's state in what `freeze` gave. Raises ValueError when that cannot be read."""
    decoder = cbor2.CBORDecoder(BytesIO(body))
    left: int = decoder.decode()["jobs"]
    while left > 0:
        some = decoder.decode()
        left -= len(some)
        for plain in some:
            if plain["id"] == job:
                return from_plain(Job, plain)
    return None


def load(path: Path, folds: Folds, head: int) -> bool:
    """Fill empty folds from the file. False, and they stay empty, when it is missing, damaged, of another log, or too
    old to have all of them."""
    with suppress(OSError):
        body = checked(path.read_bytes())
        return has_all(body) and fill(folds, body, head)
    return False


def has_all(body: bytes) -> bool:
    """Whether all folds of memory are in what `freeze` gave, as this version has them: a start goes on from that."""
    with suppress(ValueError, TypeError, cbor2.CBORDecodeError):
        top: dict[str, Any] = cbor2.CBORDecoder(BytesIO(body)).decode()
        return "days" in top and "recent" in top
    return False


def checked(content: bytes) -> bytes:
    """What `freeze` gave, out of a file's content; nothing when that is damaged."""
    body, digest = content[:-_DIGEST], content[-_DIGEST:]
    return body if blake2b(body, digest_size=_DIGEST).digest() == digest else b""


def _fill(folds: Folds, body: bytes, head: int) -> Iterator[bool]:
    decoder = cbor2.CBORDecoder(BytesIO(body))
    top: dict[str, Any] = decoder.decode()
    if top["format"] != _FORMAT or top["position"] > head:
        return
    jobs: list[Job] = []
    while len(jobs) < top["jobs"]:
        jobs += [from_plain(Job, plain) for plain in decoder.decode()]
        yield False
    trees = {RunId(root): from_plain(Tree, plain) for root, plain in top["trees"].items()}
    failing = {JobId(job) for job in top.get("failing", ())}
    notices = {NoticeId(notice): from_plain(Waiting, plain) for notice, plain in top.get("notices", {}).items()}
    handovers = [from_plain(Handover, plain) for plain in top.get("handovers", ())]
    days, recent = Days(), Recent()
    days.load(top.get("days", {}))
    recent.load(top.get("recent", {}))
    folds.days, folds.recent = days, recent
    for i in range(0, len(jobs), _SLICE):
        for job in jobs[i : i + _SLICE]:
            folds.jobs.put(job.id, None, job)
            folds.stats.apply(None, job)
            folds.busy.apply(None, job)
        yield False
    folds.busy.order([RunId(run) for run in top["busy"]])
    folds.jobs.graph.load(top["graph"])
    folds.trees.open.update(trees)
    folds.trees.joins.update({JobId(job): dict(seen) for job, seen in top["joins"].items()})
    folds.stats.last_attempted_run = top["attempted"]
    folds.watch.failing.update(failing)
    folds.watch.waiting.update(notices)
    for handover in handovers:
        folds.handovers.put(handover)
    folds.server_pause = from_plain(Pause, top["pause"]) if top.get("pause") else None
    folds.position, folds.latest = top["position"], Instant(top.get("time", 0))
    yield True
