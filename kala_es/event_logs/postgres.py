"""The event log in a PostgreSQL database: one statement, and one commit, for each append.

1. Two connections: one holds the log (a lock of its session), appends and erases; the other reads. What is said to the
   server is said on a worker thread, except by `read_now`. Begun, it is not cancelled.
2. While the server is away, calls wait, and are repeated with growing pauses; `away` says why. An append whose answer
   was lost is looked for by its position and digest before it is repeated: it happens once.
3. When the log is not as this server left it, or another server holds it, there are no more appends: memory may be
   ahead of the log, or behind.
4. What finds a stream's records is a fold in the fold store, as it is beside LMDB. So is the digest of what was folded:
   where the database was put back to an earlier state and went on from there, the folds are thrown away.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import Final, TypeVar

import psycopg
import trio

from kala_es import limits, log_tree
from kala_es.event_log import LogAway, LogDamaged, LogError, LogIsFull, NewRecord, Record
from kala_es.event_logs.batch import split
from kala_es.event_logs.postgres_asking import Asking
from kala_es.event_logs.postgres_holder import Holder, compact, take
from kala_es.event_logs.postgres_patience import Patience
from kala_es.event_logs.postgres_place import ELSEWHERE, Database
from kala_es.event_logs.postgres_session import (
    Connection,
    connect,
    refusal,
    sentence,
)
from kala_es.event_logs.postgres_tables import Commit, LogMoved, commit_of
from kala_es.event_logs.postgres_values import Values
from kala_es.event_logs.stream_index import LOOK_PAGE, StreamIndex, looked_through, records_of
from kala_es.fold_store import FoldsFull, FoldStore

Result = TypeVar("Result")
_DIGEST: Final = b"\x00digest"
"""In the fold store: up to which position it may be folded, and the log's digest there."""
_INDEX_PAGE: Final = 2048
_LOOK_SECONDS: Final = 0.5
_SIZE_EVERY: Final = 15
"""The log's size is asked for each so many times that the connection is watched."""


def open_log(
    database: Database,
    folds: FoldStore,
    *,
    part: int = limits.PARTITION_POSITIONS,
    silent: float = limits.DATABASE_SILENT_SECONDS,
    may_begin: Callable[[], None] = lambda: None,
) -> "PostgresEventLog":
    """Open the log in a database, or begin one there; `folds` gets the index of its streams.

    `may_begin` is asked before the folds of another log go for one that is empty, and raises LogError if it may not.
    Raises LogInUse, LogIsNewer, LogDamaged, LogIsFull, LogError (also when the server is away: nothing is waited for
    yet), and the fold store's FoldsError. `folds` stays the caller's to close.
    """
    try:
        with ExitStack() as undo:
            holder = take(database, part=part)
            undo.callback(holder.let_go)
            if not holder.end().end:
                may_begin()
            reader = connect(database)
            undo.callback(reader.close)
            log = PostgresEventLog(database, (holder, reader), folds, part=part, silent=silent)
            undo.pop_all()
            return log
    except FoldsFull as error:
        raise LogIsFull(f"There is no room to open the log in {database}: {error}.") from error
    except psycopg.Error as error:
        raise refusal(error, database, doing="opened") from error


class PostgresEventLog:
    """The port. Made by `open_log`; used by one trio run. `keep_watch` is to run beside it."""

    def __init__(
        self, database: Database, connections: tuple[Holder, Connection], folds: FoldStore, *, part: int, silent: float
    ) -> None:
        self._database = database
        self._part = part
        self._holder, reader = connections
        self._given_up = trio.Event()
        self._hurried = threading.Event()
        self._writing = Patience(database, self._given_up, doing="written", silent=silent)
        self._asking = Asking(database, reader, self._given_up, silent=silent)
        self._tree = self._holder.end()
        self._folds = folds
        self._check_folds()
        self._index = StreamIndex(folds, self._holder.log_id, self.head)
        while self._index_page():
            pass
        self._note(ELSEWHERE, str(database).encode())
        self._ended: str | None = None
        """Why there are no more appends."""
        self._closed = False
        self._turn = trio.Lock()
        self._rewriting = trio.Lock()
        self._appended = trio.lowlevel.ParkingLot()
        self._size = self._holder.size() or 0

    def _check_folds(self) -> None:
        """Throw the folds away unless they are of this log as it is."""
        marked = self._folds.get(_DIGEST) or b""
        position, digest = int.from_bytes(marked[:8], "big"), marked[8:]
        if position > self.head or (position and self._asking.now(lambda log: log.digest_at(position)) != digest):
            self._folds.clear()

    @property
    def head(self) -> int:
        """The last durable position; 0 while the log is empty."""
        return self._tree.end

    @property
    def digest(self) -> bytes:
        """The digest of all that is durable: of the records up to `head`."""
        return self._tree.root()

    @property
    def left_out(self) -> int:
        """Up to here records may be missing that the log was made without; 0: none are."""
        return self._holder.left_out

    @property
    def size_bytes(self) -> int:
        """What the log took in the database a short while ago."""
        return self._size

    @property
    def unindexed(self) -> int:
        """Records that reads of a stream have to scan: 0, or more while the fold store has no room."""
        return self.head - self._index.position

    @property
    def away(self) -> str | None:
        """Why nothing can be written at present; None: it can."""
        return self._writing.reason

    @property
    def refusing(self) -> str | None:
        """The same, once that lasts for so long that whoever can come again should."""
        if trio.current_time() - self._writing.since < limits.DATABASE_AWAY_SECONDS:
            return None
        return f"the log's database is away: {self.away}"

    def hurry(self) -> None:
        """Put off what can be: the tables are not written anew if that has to wait for who reads them."""
        self._hurried.set()

    def give_up(self) -> None:
        """Wait for the server no longer: what waits fails, and the log with it."""
        self._given_up.set()
        if self._writing.reason is not None:
            self._holder.hang_up()
        self._asking.stop()

    # Writing

    async def append(self, batch: Sequence[NewRecord], *, reserve: int = 0) -> int:
        """Make `batch` (not empty) durable as one commit and give the position of its last record.

        LogIsFull: the server has no room, or a table cannot have `reserve` bytes more. LogAway: it was not begun,
        because the server is away. LogError: the log is closed, or there are no more appends. Cancelled: either before
        it began, or not at all.
        """
        records = tuple(batch)
        if not records:
            raise ValueError("An append needs at least one record.")
        parts: list[list[bytes]] = []
        for part in split(records):
            parts.append([log_tree.row(record) for record in part])
            if len(part) < len(records):
                await trio.lowlevel.checkpoint()
        if reserve > limits.MAX_TABLE_BYTES - self._size:
            raise LogIsFull(f"A table has room for {limits.MAX_TABLE_BYTES} bytes; {reserve} would not stay free.")
        await self._take_turn()
        try:
            self._check_writable()
            with trio.CancelScope(shield=True):
                commit = commit_of(self._tree, parts)
                await self._carry_out(partial(self._holder.put, commit), commit)
                self._tree = commit.tree
                self._appended.unpark_all()
                self._note(_DIGEST, self.head.to_bytes(8, "big") + self.digest)  # before it is folded
                while self._index_page(records):
                    await trio.lowlevel.checkpoint()
            return self.head
        finally:
            self._turn.release()

    async def _take_turn(self) -> None:
        """Wait for it, unless the server is away for long: what is not begun need not wait. Raises LogAway."""
        while True:
            with trio.move_on_after(_LOOK_SECONDS):
                await self._turn.acquire()
                return
            if self.refusing is not None:
                raise LogAway(self.refusing)

    async def _carry_out(self, write: Callable[[], Result | None], commit: Commit | None = None) -> Result | None:
        """Have it done, however often that takes; None: it was found to be done. Raises LogIsFull, LogError."""

        def say(again: bool) -> Result | None:
            return None if again and self._is_done(self._holder.back(), commit) else write()

        try:
            return await self._writing.until_answered(say)
        except LogIsFull:
            raise
        except Exception as error:
            self._ended = f"The log in {self._database} takes no more records: {sentence(error)}."
            raise LogError(self._ended) from error

    def _is_done(self, tree: log_tree.Span, commit: Commit | None) -> bool:
        """Whether the commit whose answer was lost is there, given where the log ends. Raises LogMoved."""
        end = (tree.end, tree.root())
        if commit is not None and end == (commit.tree.end, commit.tree.root()):
            return True
        if end != (self.head, self.digest):
            raise LogMoved(
                f"it ends at position {tree.end}, and not where this server left it, at {self.head}: another server "
                "has written it, or it was put back to an earlier state"
            )
        return False

    def _note(self, key: bytes, value: bytes) -> None:
        """Something about the folds, beside them."""
        with suppress(FoldsFull):
            self._folds.write([(key, value)])

    def _index_page(self, records: Sequence[NewRecord] = ()) -> bool:
        """Index some of the records that are not, `records` being the last; whether there are more, and room."""
        before, lag = self._index.position, self.unindexed
        if lag and lag <= len(records):
            fresh = records[-lag:][:_INDEX_PAGE]
            self._index.add(enumerate([record.stream for record in fresh], before + 1), before + len(fresh))
        elif lag and not records:
            page, last = self._asking.now(lambda values: values.page(before, _INDEX_PAGE), away=self.away)
            self._index.add([(record.position, record.stream) for record in page], last)
        return before < self._index.position < self.head

    # Reading

    async def read(self, after: int, *, limit: int, stream: str | None = None) -> list[Record]:
        """The next records after position `after`, at most `limit`; of one stream if named.

        Empty at the end. Raises LogError, LogDamaged. Waits while the server is away.
        """
        found: list[Record] = []
        await trio.lowlevel.checkpoint()
        self._check_open()
        while limit > len(found) and after < self.head:
            left = limit - len(found)
            page, last = await (self._page(after, left) if stream is None else self._of_stream(stream, after, left))
            self._check_last(after, last)
            after = last
            found += page
        return found

    async def _page(self, after: int, limit: int) -> tuple[list[Record], int]:
        return await self._asking.until_answered(lambda values: values.page(after, limit))

    async def _of_stream(self, stream: str, after: int, limit: int) -> tuple[list[Record], int]:
        """Some of a stream's records after `after`, at most `limit`, and the position up to which that is all."""
        if after >= self._index.position:
            return looked_through(stream, await self._page(after, LOOK_PAGE), limit)
        positions, last = self._index.ahead(stream, after, limit)
        found: list[Record] = []
        if positions:
            found = await self._asking.until_answered(lambda values: values.fetch(positions))
        return records_of(stream, found), last

    def read_now(self, after: int, *, limit: int, stream: str | None = None) -> list[Record]:
        """The same, at once, on the calling thread. Raises LogError also while the server is away."""
        self._check_open()
        found: list[Record] = []
        while limit > len(found) and after < self.head:
            left = limit - len(found)
            question = partial(self._page_now, after=after, limit=left, stream=stream)
            page, last = self._asking.now(question, away=self.away)
            self._check_last(after, last)
            after = last
            found += page
        return found

    def _page_now(self, values: Values, *, after: int, limit: int, stream: str | None) -> tuple[list[Record], int]:
        if stream is None:
            return values.page(after, limit)
        return self._index.page(values, stream, after=after, limit=limit)

    def _check_last(self, after: int, last: int) -> None:
        if last == after:
            raise LogDamaged(
                f"The log in {self._database} is damaged: its rows end at position {last}, before {self.head}."
            )

    async def trim(self, positions: Sequence[int]) -> None:
        """Erase these records (rising, the log's last not among them). Raises LogError, LogIsFull, ValueError.

        A step at a time, each durable and in its turn among the appends.
        """
        if positions and positions[-1] >= self.head:
            raise ValueError("The last record cannot be erased: it says where the log ends.")
        await trio.lowlevel.checkpoint()
        rest = deque(positions)
        async with self._rewriting:
            while rest:
                async with self._turn:
                    self._check_writable()
                    with trio.CancelScope(shield=True):
                        erased = await self._carry_out(partial(self._holder.trim, rest))
                        await self._asking.until_answered(Values.forget)
                        self._index.remove(erased or ())

    async def compact(self) -> tuple[int, int]:
        """Write the tables anew without what is free in them; their size in bytes before and after.

        Who appends waits while the newest part is written. Raises LogIsFull, LogError (also when it is put off).
        """
        async with self._rewriting:
            self._check_writable()
            try:
                with trio.CancelScope(shield=True):
                    sizes = await trio.to_thread.run_sync(
                        partial(compact, self._database, part=self._part, given_up=self._hurried)
                    )
            except psycopg.Error as error:
                raise refusal(error, self._database, doing="made smaller") from error
            self._size = sizes[1]
            return sizes

    async def wait(self, after: int) -> int:
        """Return the last position as soon as it is greater than `after`. Raises LogError when the log is closed."""
        await trio.lowlevel.checkpoint()
        self._check_open()
        while self.head <= after:
            await self._appended.park()
            self._check_open()
        return self.head

    async def keep_watch(self) -> None:
        """Find out in good time when the server is away, or is back, or the log is another's. Raises LogError then."""
        count = 0
        while True:
            await trio.sleep(limits.DATABASE_WATCH_SECONDS)
            count += 1
            async with self._turn:
                self._check_writable()
                if count % _SIZE_EVERY == 0:
                    self._size = await self._carry_out(self._holder.size) or self._size
                else:
                    await self._carry_out(self._holder.watch)
                if self.unindexed:
                    page, last = await self._page(self._index.position, _INDEX_PAGE)
                    self._index.add([(record.position, record.stream) for record in page], last)

    async def close(self) -> None:
        """Let go of the log, after the append that is under way; who waits gets LogError. Idempotent."""
        self._given_up.set()
        with trio.CancelScope(shield=True):
            async with self._turn:
                if not self._closed:
                    self._closed = True
                    self._appended.unpark_all()
                    await self._writing.on_thread(self._let_go)
        await trio.lowlevel.checkpoint()

    def _let_go(self) -> None:
        self._asking.close()
        self._holder.let_go()

    def _check_writable(self) -> None:
        self._check_open()
        if self._ended is not None:
            raise LogError(self._ended)

    def _check_open(self) -> None:
        if self._closed:
            raise LogError(f"The log in {self._database} is closed.")
