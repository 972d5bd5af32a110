"""A log, or a part of one, as one portable file; docs/archive.md has the format byte for byte.

1. The file is a header, blocks and an end. Each is followed by a digest over it and over the digest before: what was
   altered, moved or cut off is refused, with the byte where that shows.
2. What is said of a log is proved: rows and holes lead from the header's digests to the end's (log_tree.py).
3. Both ways it is made and read a block at a time, from and to any file; nothing here knows where logs are kept.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import groupby
from typing import Any, Final, Protocol, assert_never, cast

import cbor2
import msgspec

from kala_es import log_tree
from kala_es.event_log import LogError
from kala_es.limits import MAX_ARCHIVE_PART_BYTES, MAX_ARCHIVE_VALUES

MAGIC: Final = "kala-es archive"
VERSION: Final = 1
_END: Final = "end"
_CONTENT: Final = 0x5A
"""The head of a CBOR byte string with four bytes of length..."""
_DIGEST: Final = b"\x58\x20"
"""...and that of one with 32 bytes."""
_STRINGS: Final = (2, 3)
"""The kinds of CBOR values whose bytes follow."""
_LEVEL: Final = 1

Hole = list[Any]
"""[count, digests]: so many records that are not there, and the digests of the subtrees that they fill."""
Item = bytes | Hole
"""A record's row (log_tree.py), or a hole."""


_ID_BYTES: Final = 16
_FRAME: Final = 5 + len(_DIGEST) + log_tree.DIGEST_BYTES
"""What a part takes beside its content."""
_BLOCK_HEAD: Final = 32
"""What a block takes at most beside what is compressed."""
_FIELDS: Final = ({str}, {str}, {int}, {int}, {str}, {bytes})
"""Of a record: stream, type, version, time, principal, body."""
_SHARING: Final = (25, 28, 29)
"""CBOR's tags by which a value stands for one that was there before."""


class Source(Protocol):
    """What an archive is read from: a file, a pipe, an answer."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, so many unless it ends before."""


class ArchiveRefused(Exception):
    """This is no archive, or not a whole one; the sentence says at which byte that shows, and what is wrong."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(f"byte {offset}: {reason}")
        self.offset = offset


class TooLarge(LogError):
    """Records that no archive may have."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive is of. It begins `after` a position; `tree` has the digests of all places before."""

    log: bytes
    after: int = 0
    tree: bytes = b""
    at: int
    """When it was made; microseconds since the epoch, UTC."""
    output: bool = True
    """False when the output of runs was left out."""


class Block(msgspec.Struct, frozen=True):
    """The positions `first` to `last`. `offset` is where it stands in the file."""

    first: int
    last: int
    items: Sequence[Item]
    offset: int = 0


class End(msgspec.Struct, frozen=True, kw_only=True):
    """Where an archive ends: the last position, the log's digest there, how many records it has and how many not."""

    position: int
    digest: bytes
    records: int
    erased: int
    offset: int = 0


Part = Header | Block | End


class Writer:
    """Makes an archive's bytes, a part at a time."""

    def __init__(self) -> None:
        self._digest = b""

    def header(self, header: Header) -> bytes:
        """The first bytes."""
        return self._framed([MAGIC, VERSION, header.log, header.after, header.tree, header.at, header.output])

    def block(self, block: Block) -> bytes:
        """The bytes of a block. Raises TooLarge: nothing is written that is not read."""
        content = cbor2.dumps(list(block.items))
        squeezed = zlib.compress(content, _LEVEL)
        size = max(len(content), len(squeezed) + _BLOCK_HEAD)
        if size > MAX_ARCHIVE_PART_BYTES:
            raise TooLarge(
                f"The records from position {block.first} to {block.last} take {size} bytes; "
                f"a part of an archive may have {MAX_ARCHIVE_PART_BYTES}."
            )
        return self._framed([block.first, block.last, squeezed])

    def end(self, end: End) -> bytes:
        """The last bytes."""
        return self._framed([_END, end.position, end.digest, end.records, end.erased])

    def _framed(self, value: list[Any]) -> bytes:
        content = cbor2.dumps(value)
        self._digest = _chained(self._digest, content)
        return b"%c%b%b%b%b" % (_CONTENT, len(content).to_bytes(4, "big"), content, _DIGEST, self._digest)


def rows_in(items: Iterable[Item]) -> int:
    """How many of them are rows."""
    return list(map(type, items)).count(bytes)


def read(file: Source) -> Iterator[Part]:
    """An archive's parts, each as it was written; the end comes when nothing follows it. Raises ArchiveRefused."""
    contents = _contents(file)
    offset, content = next(contents, (0, b""))
    header = _header(content)
    yield header
    position, end = header.after, None
    for offset, content in contents:
        if end is not None:
            raise ArchiveRefused(offset, "something follows the archive's end")
        part = _part(offset, content)
        if isinstance(part, End):
            end = part
            continue
        if part.first != position + 1:
            raise ArchiveRefused(offset, f"position {position} is followed by {part.first}")
        position = part.last
        yield part
    if end is None:
        raise ArchiveRefused(offset + _FRAME + len(content), "the archive is cut off: its end is missing")
    yield end


def check(file: Source) -> Iterator[tuple[Part, log_tree.Span]]:
    """The same, each proved, with the digests of all places up to its last. Raises ArchiveRefused.

    Rows are records, and all digests fit what the header and the end say.
    """
    tree, records = log_tree.Span(), 0
    for part in read(file):
        match part:
            case Header():
                tree = _tree_before(part)
            case Block():
                records += _extend(tree, part)
            case End():
                if (part.position, part.digest) != (tree.end, tree.root()):
                    raise ArchiveRefused(
                        part.offset, f"the records lead to {tree.end}:{tree.root().hex()}, not to here"
                    )
                if part.records != records:
                    raise ArchiveRefused(part.offset, f"there are {records} records, not {part.records}")
            case _:
                assert_never(part)
        yield part, tree


def _tree_before(header: Header) -> log_tree.Span:
    try:
        return log_tree.span_of(header.tree, header.after)
    except ValueError as error:
        raise ArchiveRefused(0, str(error)) from None


def _contents(file: Source) -> Iterator[tuple[int, bytes]]:
    """What is framed, and where its frame begins."""
    offset, digest = 0, b""
    while head := file.read(5):
        length = int.from_bytes(head[1:], "big")
        if head[0] != _CONTENT or len(head) < 5:
            raise ArchiveRefused(offset, "here is no part of an archive")
        if length > MAX_ARCHIVE_PART_BYTES:
            raise ArchiveRefused(offset, f"a part of {length} bytes; {MAX_ARCHIVE_PART_BYTES} are allowed")
        content, mark = file.read(length), file.read(len(_DIGEST) + log_tree.DIGEST_BYTES)
        if len(content) + len(mark) + 5 < length + _FRAME:
            raise ArchiveRefused(offset, "the archive is cut off")
        digest = _chained(digest, content)
        if mark != _DIGEST + digest:
            raise ArchiveRefused(offset, f"the part from here to byte {offset + _FRAME + length} was altered")
        _check_modest(offset, content)
        yield offset, content
        offset += _FRAME + length


def _chained(before: bytes, content: bytes) -> bytes:
    digest = blake2b(before, digest_size=log_tree.DIGEST_BYTES)
    digest.update(content)
    return digest.digest()


def _header(content: bytes) -> Header:
    header = _header_in(content)
    if len(header.log) != _ID_BYTES or header.after < 0:
        raise ArchiveRefused(0, f"the log's id has {len(header.log)} bytes, and it begins after {header.after}")
    return header


def _header_in(content: bytes) -> Header:
    match _loaded(content):
        case [str(magic), int(version), *_] if magic == MAGIC and version > VERSION:
            raise ArchiveRefused(0, f"an archive of version {version}; this release reads up to {VERSION}")
        case [str(magic), int(), bytes(log), int(after), bytes(tree), int(at), bool(output)] if magic == MAGIC:
            return Header(log=log, after=after, tree=tree, at=at, output=output)
    raise ArchiveRefused(0, "this is no archive")


def _part(offset: int, content: bytes) -> Block | End:
    match _loaded(content):
        case [str(end), int(position), bytes(digest), int(records), int(erased)] if end == _END:
            return End(position=position, digest=digest, records=records, erased=erased, offset=offset)
        case [int(first), int(last), bytes(squeezed)] if first <= last:
            return Block(first, last, _items(offset, squeezed), offset)
    raise ArchiveRefused(offset, "this is neither a block nor an end")


def _items(offset: int, squeezed: bytes) -> list[Item]:
    unzip = zlib.decompressobj()
    try:
        content = unzip.decompress(squeezed, MAX_ARCHIVE_PART_BYTES)
    except zlib.error as error:
        raise ArchiveRefused(offset, f"the block cannot be decompressed: {error}") from None
    if not unzip.eof or unzip.unused_data:
        raise ArchiveRefused(offset, f"the block holds more than {MAX_ARCHIVE_PART_BYTES} bytes, or less than it says")
    _check_modest(offset, content)
    items = _loaded(content)
    if not isinstance(items, list) or not all(map(_is_item, items)):
        raise ArchiveRefused(offset, "the block holds something else than rows and holes")
    return items


def _is_item(item: Any) -> bool:
    return type(item) is bytes or (isinstance(item, list) and list(map(type, item)) == [int, bytes] and item[0] > 0)


def _check_modest(offset: int, *contents: bytes) -> None:
    if not is_modest(*contents):
        raise ArchiveRefused(offset, f"a part of more than {MAX_ARCHIVE_VALUES} values")


def is_modest(*contents: bytes) -> bool:
    """Whether CBOR has so few values that it may be decoded: a small one takes many times its own bytes of memory."""
    if sum(map(len, contents)) <= MAX_ARCHIVE_VALUES:
        return True
    left = MAX_ARCHIVE_VALUES
    for content in contents:
        at = 0
        while at < len(content):
            left -= 1
            if left < 0:
                return False
            at += _extent(content, at)
    return True


def _extent(content: bytes, at: int) -> int:
    """How far the next value is: after a value's head, and after all of a string."""
    kind, argument = content[at] >> 5, content[at] & 31
    more = 1 << (argument - 24) if 24 <= argument < 28 else 0
    if kind not in _STRINGS or argument > 27:
        return 1 + more
    return 1 + more + (int.from_bytes(content[at + 1 : at + 1 + more], "big") if more else argument)


def _loaded(content: bytes, **rules: Any) -> Any:
    try:
        return cbor2.loads(content, **rules)
    except (cbor2.CBORDecodeError, ValueError):
        return None


def _refuse(_: object) -> Any:
    raise ValueError("a record refers to what another one has")


def _extend(tree: log_tree.Span, block: Block) -> int:
    """Add a block's digests to those before it; how many records it has."""
    rows = [item for item in block.items if isinstance(item, bytes)]
    _check_modest(block.offset, *rows)
    if not _are_records(rows):
        raise ArchiveRefused(block.offset, f"one of the positions {block.first} to {block.last} holds no record")
    try:
        _add(tree, block.items)
    except ValueError as error:
        raise ArchiveRefused(block.offset, str(error)) from None
    if tree.end != block.last:
        raise ArchiveRefused(block.offset, f"the block goes to position {tree.end}, and says {block.last}")
    return len(rows)


def _add(tree: log_tree.Span, items: Sequence[Item]) -> None:
    if rows_in(items) == len(items):  # as in most blocks
        tree.add_leaves(log_tree.leaves(cast("Sequence[bytes]", items)))
        return
    for is_row, some in groupby(items, key=_is_row):
        if is_row:
            tree.add_leaves(log_tree.leaves(cast("Iterable[bytes]", some)))
            continue
        for count, digests in cast("Iterable[Hole]", some):
            tree.add_all(digests, count)


def _is_row(item: Any) -> bool:
    return type(item) is bytes


def _are_records(rows: Sequence[bytes]) -> bool:
    """Whether each is one record, in the shortest form.

    No value has a shorter one, and none is shared. So it is enough to read all at once: if all together, and each one,
    are as long as the shortest form, each begins where it should.
    """
    read = _loaded(b"\x9f%b\xff" % b"".join(rows), semantic_decoders=dict.fromkeys(_SHARING, _refuse))
    if not isinstance(read, list) or len(read) != len(rows) or not all(isinstance(fields, list) for fields in read):
        return False
    try:
        columns = zip(*read, strict=True)
        if rows and tuple(set(map(type, column)) for column in columns) != _FIELDS:
            return False
    except ValueError:
        return False
    return log_tree.row_sizes(read) == list(map(len, rows))
