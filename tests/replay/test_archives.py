"""An archive of a log, and the log that is made of it again: the same, or refused with the byte."""

import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import cbor2
import pytest
import trio

from kala_es import archive, log_tree
from kala_es.archive import ArchiveRefused
from kala_es.domain.ids import Instant
from kala_es.event_log import LogError, LogInUse, NewRecord
from kala_es.event_logs.check import check, data_file
from kala_es.event_logs.lmdb import hold
from kala_es.replay.exporting import export
from kala_es.replay.jobs_of import jobs_of
from kala_es.replay.log_file import open_moment
from kala_es.replay.moments import Moment
from kala_es.replay.verify import prove_archive
from kala_es.runtime.rebuilding import Unfit, import_into, restore
from tests.replay.logs import contents, fill, new, opened

HOLES = [*range(3, 15), 17, 20, 21, 30]


def exported(directory: Path, *, after: int = 0, output: bool = True) -> bytes:
    parts: list[bytes] = []
    export(directory, parts.append, after=after, output=output)
    return b"".join(parts)


@pytest.mark.parametrize("size", [20, 40_000])
@pytest.mark.parametrize("erase", [[], HOLES])
async def test_an_import_is_exact(tmp_path: Path, erase: list[int], size: int) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    head, digest = await fill(source, 40, erase=erase, size=size)
    end = import_into(BytesIO(exported(source)), copy)
    assert (end.position, end.digest, end.records, end.erased) == (head, digest, 40 - len(erase), len(erase))
    assert await contents(copy) == await contents(source)
    assert check(copy) == 40


async def test_an_import_without_output_has_holes_and_the_same_digest(tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    head, digest = await fill(source, 40, erase=HOLES)
    import_into(BytesIO(exported(source, output=False)), copy)
    got = await contents(copy)
    assert got[:2] == (head, digest)
    assert got[2] == [record for record in (await contents(source))[2] if record.type != "OutputChunk"]  # type: ignore[attr-defined]
    assert await fill(copy, 5) == await fill(source, 5)


async def test_archives_chain(tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    await fill(source, 40, erase=HOLES)
    first = exported(source)
    await fill(source, 25)
    more = exported(source, after=40)
    with pytest.raises(Unfit, match="there is no log"):
        import_into(BytesIO(more), copy)
    import_into(BytesIO(first), copy)
    import_into(BytesIO(more), copy)
    assert await contents(copy) == await contents(source)
    with pytest.raises(Unfit, match="ends at position 65"):
        import_into(BytesIO(more), copy)


async def test_a_position_within_a_hole_is_none_to_go_on_from(tmp_path: Path) -> None:
    await fill(tmp_path, 40, erase=HOLES)
    with pytest.raises(LogError, match="Position 5 is within erased records, 3 to 9; take 2 or 9"):
        exported(tmp_path, after=5)


async def test_an_import_needs_a_place_without_records_that_nobody_uses(tmp_path: Path) -> None:
    await fill(tmp_path / "source", 10)
    content = exported(tmp_path / "source")
    used, strange, held = tmp_path / "used", tmp_path / "strange", tmp_path / "held"
    before = await fill(used, 1)
    with pytest.raises(Unfit, match="ends at position 1"):
        import_into(BytesIO(content), used)
    assert (await contents(used))[:2] == before
    strange.mkdir()
    (strange / "letter").touch()
    with pytest.raises(Unfit, match="is not empty"):
        import_into(BytesIO(content), strange)
    log = opened(held)
    with pytest.raises(LogInUse):
        import_into(BytesIO(content), held)
    await log.close()
    import_into(BytesIO(content), held)  # its log has no record yet
    assert await contents(held) == await contents(tmp_path / "source")


async def test_what_is_too_large_to_be_read_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(tmp_path, 3, size=40_000)
    monkeypatch.setattr(archive, "MAX_ARCHIVE_PART_BYTES", 130_000)
    list(archive.check(BytesIO(exported(tmp_path))))
    monkeypatch.setattr(archive, "MAX_ARCHIVE_PART_BYTES", 120_000)
    with pytest.raises(LogError, match=r"The records from position 1 to 3 take 120\d{3} bytes"):
        exported(tmp_path)


async def test_an_export_beside_a_log_that_is_open_is_of_one_moment(tmp_path: Path) -> None:
    await fill(tmp_path / "source", 100)
    log = opened(tmp_path / "source")
    wanted = (log.head, log.digest)
    command = [sys.executable, "-m", "kala_es.replay.exporting", str(tmp_path / "source"), "0", "all", "0"]
    done = await trio.run_process(command, capture_stdout=True)
    await log.append([new(100)])
    await log.close()
    end = import_into(BytesIO(done.stdout), tmp_path / "copy")
    assert (end.position, end.digest) == wanted


@pytest.mark.parametrize("erase", [[], HOLES])
async def test_every_byte_counts(tmp_path: Path, erase: list[int]) -> None:
    await fill(tmp_path, 40, erase=erase)
    content = exported(tmp_path)
    for at in range(len(content)):
        altered = bytearray(content)
        altered[at] ^= 1 << random.randrange(8)
        with pytest.raises(ArchiveRefused) as refused:
            list(archive.check(BytesIO(bytes(altered))))
        assert refused.value.offset <= at
    for length in range(len(content)):
        with pytest.raises(ArchiveRefused, match=r"^byte \d+: "):
            list(archive.check(BytesIO(content[:length])))
    with pytest.raises(ArchiveRefused, match=f"^byte {len(content)}: "):
        list(archive.check(BytesIO(content + b"more")))


def made(rows: list[bytes], *, log: bytes = bytes(16), after: int = 0, before: log_tree.Span | None = None) -> bytes:
    """An archive of these rows, whose digests are theirs, whatever they are."""
    writer, tree = archive.Writer(), before or log_tree.Span(after)
    after = tree.end
    header = writer.header(archive.Header(log=log, after=after, tree=tree.digests, at=1))
    tree.add_leaves(log_tree.leaves(rows))
    block = writer.block(archive.Block(after + 1, after + len(rows), rows))
    end = archive.End(position=tree.end, digest=tree.root(), records=len(rows), erased=0)
    return header + block + writer.end(end)


def moved_by_sharing() -> list[bytes]:
    """Two records: one is shorter, as its type refers to its stream, the other as much longer as it need be."""
    short = b"\x86\xd8\x1c" + cbor2.dumps("s" * 20) + b"\xd8\x1d\x00\x01" + cbor2.dumps(1 << 40) + b"\x60\x40"
    long = b"\x86" + b"\x7a\0\0\0\0" * 2 + b"\x01" + cbor2.dumps(1 << 40) + b"\x7a\0\0\0\0\x5a\0\0\0\0"
    length = len(cbor2.dumps(["s" * 20, "s" * 20, 1, 1 << 40, "", b""]))
    both = short + long
    assert len(both) == length + len(cbor2.dumps(["", "", 1, 1 << 40, "", b""]))
    return [both[:length], both[length:]]


def test_rows_that_are_no_records_are_refused(tmp_path: Path) -> None:
    one, other = log_tree.row(new(0)), log_tree.row(new(1))
    for rows in ([one + other, b""], [one[:-1], one[-1:] + other], moved_by_sharing()):
        for use in (lambda file: list(archive.check(file)), lambda file: import_into(file, tmp_path / "copy")):
            with pytest.raises(ArchiveRefused, match="one of the positions 1 to 2 holds no record"):
                use(BytesIO(made(rows)))
    assert import_into(BytesIO(made([one, other])), tmp_path / "copy").records == 2


def bad(kind: str, body: bytes, version: int = 1) -> bytes:
    """A record that no server can read."""
    return log_tree.row(NewRecord("job:j", kind, version, 1_700_000_000_000_000, "", body))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (bad("RunStarted", b"junk"), "RunStarted that cannot be read: "),
        (bad("RunStarted", cbor2.dumps({"job": "j"})), "RunStarted that cannot be read: Object missing required field"),
        (bad("RunStarted", cbor2.dumps([])), "RunStarted that cannot be read: "),
        (bad("JobEnabled", cbor2.dumps({"job": 5})), "JobEnabled that cannot be read: "),
        (bad("JobEnabled", b""), "JobEnabled that cannot be read: "),
        (bad("OutputChunk", b"\x81" * 100_000), "OutputChunk that cannot be read: "),
        (bad("JobExploded", cbor2.dumps({"job": "j"})), "JobExploded of version 1, which this version does not know"),
        (bad("JobEnabled", cbor2.dumps({"job": "j"}), version=9), "JobEnabled of version 9, which this version does"),
    ],
    ids=range(8),
)
def test_what_no_server_can_read_is_refused_whatever_its_digest(tmp_path: Path, row: bytes, said: str) -> None:
    content = made([log_tree.row(new(0)), log_tree.row(new(1)), row])
    for use in (lambda file: import_into(file, tmp_path / "copy"), jobs_of, prove_archive):
        with pytest.raises(LogError, match=f"[Pp]osition 3 holds a {said}"):
            use(BytesIO(content))
    assert not data_file(tmp_path / "copy").exists()


async def test_what_is_added_to_a_log_must_be_readable_too(tmp_path: Path) -> None:
    before = await fill(tmp_path / "copy", 2)
    with open_moment(tmp_path / "copy") as here:
        content = made([bad("RunStarted", b"junk")], log=here.log_id, before=here.tree_at(2))
    with pytest.raises(LogError, match="Position 3 holds a RunStarted that cannot be read"):
        import_into(BytesIO(content), tmp_path / "copy")
    assert (await contents(tmp_path / "copy"))[:2] == before


@pytest.mark.parametrize(("log", "after"), [(b"x", 0), (bytes(17), 0), (bytes(16), -1)])
def test_a_header_that_cannot_be_is_refused(log: bytes, after: int) -> None:
    with pytest.raises(ArchiveRefused, match=r"^byte 0: the log's id has"):
        list(archive.check(BytesIO(made([log_tree.row(new(0))], log=log, after=after))))


async def test_an_archive_that_is_refused_leaves_no_log(tmp_path: Path) -> None:
    await fill(tmp_path / "source", 100, size=40_000)
    content = exported(tmp_path / "source")
    with pytest.raises(ArchiveRefused):
        import_into(BytesIO(content[:-1]), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    import_into(BytesIO(content), tmp_path / "copy")


async def test_a_refused_archive_leaves_a_directory_as_it_was(tmp_path: Path) -> None:
    await fill(tmp_path / "source", 40)
    content = exported(tmp_path / "source")
    here, deep = tmp_path / "here", tmp_path / "not" / "yet"
    here.mkdir(mode=0o750)
    for directory in (here, deep):
        for part in (content[:-1], exported(tmp_path / "source", after=20)):
            with pytest.raises((ArchiveRefused, Unfit)):
                import_into(BytesIO(part), directory)
    assert (list(here.iterdir()), here.stat().st_mode & 0o777, deep.parent.exists()) == ([], 0o750, False)
    with opened_by_another(here), pytest.raises(LogInUse):
        import_into(BytesIO(content), here)
    assert (here / "lock").exists()


@contextmanager
def opened_by_another(directory: Path) -> Iterator[None]:
    """Somebody is about to begin a log there."""
    lock = hold(directory)
    yield
    os.close(lock)


def test_a_lock_that_its_holder_has_removed_meanwhile_is_no_lock(tmp_path: Path) -> None:
    first = hold(tmp_path)
    waiting = os.open(tmp_path / "lock", os.O_RDWR)
    (tmp_path / "lock").unlink()
    os.close(first)
    with opened_by_another(tmp_path), pytest.raises(LogInUse):
        hold(tmp_path)
    assert os.fstat(waiting).st_nlink == 0
    os.close(waiting)


async def test_a_restored_log_is_the_beginning_of_its_source(tmp_path: Path) -> None:
    source = tmp_path / "source"
    await fill(source, 40, erase=HOLES)
    records = (await contents(source))[2]
    digests = {}
    for position in (1, 2, 14, 16, 19, 30, 39, 40):
        end, digests[position] = restore(source, tmp_path / f"{position}", Moment(position=position))
        got = await contents(tmp_path / f"{position}")
        assert end == position
        assert got == (position, digests[position], [r for r in records if r.position <= position])  # type: ignore[attr-defined]
        assert check(tmp_path / f"{position}") == position
    assert digests[40] == (await contents(source))[1]
    with pytest.raises(LogError, match="within erased"):
        restore(source, tmp_path / "hole", Moment(position=10))
    with pytest.raises(LogError, match="is not empty"):
        restore(source, tmp_path / "1", Moment(position=1))
    with pytest.raises(LogError, match="ends at position 40"):
        restore(source, tmp_path / "more", Moment(position=41))


async def test_a_log_is_restored_up_to_a_time(tmp_path: Path) -> None:
    await fill(tmp_path / "source", 40)
    assert restore(tmp_path / "source", tmp_path / "some", Moment(time=Instant(new(12).time)))[0] == 13
    assert restore(tmp_path / "source", tmp_path / "none", Moment(time=Instant(new(0).time - 1)))[0] == 0
    assert restore(tmp_path / "source", tmp_path / "all", Moment(time=Instant(new(99).time)))[0] == 40
    assert (await fill(tmp_path / "none", 3))[0] == 3
