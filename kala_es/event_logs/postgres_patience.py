"""Says something to a PostgreSQL server until it is answered: while it is away, with growing pauses.

What was said last before a connection was lost may have been done. So whoever is asked to say it again is told that it
is again, and looks first.

A server that does not answer for long (it is frozen, its disk hangs, a synchronous standby is gone) is away too, though
the connection stands: what was said to it is waited for, because nobody knows what becomes of it.
"""

from collections.abc import Callable
from functools import partial
from math import inf
from typing import TypeVar

import psycopg
import trio
from psycopg import errors

from kala_es.event_log import LogAway
from kala_es.event_logs.postgres_place import Database
from kala_es.event_logs.postgres_session import is_passing, refusal, sentence
from kala_es.event_logs.postgres_tables import NotTheEnd
from kala_es.limits import DATABASE_PAUSE_SECONDS, DATABASE_SILENT_SECONDS, MAX_DATABASE_PAUSE_SECONDS

Result = TypeVar("Result")


class Patience:
    """One connection's; `doing` is what it is for: "read", "written". Ends when it is `given_up`."""

    def __init__(
        self, database: Database, given_up: trio.Event, *, doing: str, silent: float = DATABASE_SILENT_SECONDS
    ) -> None:
        self._database = database
        self._given_up = given_up
        self._doing = doing
        self._thread = trio.CapacityLimiter(1)
        self._turn = trio.Lock()
        self._silent = silent
        self._fault: str | None = None
        self._since = inf
        self._asked = inf
        """When was said what is not answered yet."""

    @property
    def since(self) -> float:
        """Since when the server does not answer (trio's clock); infinite: it does."""
        return min(self._since, self._asked if self._is_silent() else inf)

    @property
    def reason(self) -> str | None:
        """Why it does not at present; None: it does."""
        return "the server has not answered for some time" if self._is_silent() else self._fault

    def _is_silent(self) -> bool:
        return self._asked < inf and trio.current_time() - self._asked >= self._silent

    async def until_answered(self, say: Callable[[bool], Result]) -> Result:
        """The answer; `say` is called on a thread, with whether that is again. Raises LogIsFull, LogError, and what it
        raises that is not a passing fault. Not cancelled while it is under way."""
        pause, again = DATABASE_PAUSE_SECONDS, False
        while True:
            try:
                answer = await self.on_thread(partial(say, again))
            except (psycopg.Error, LogAway, NotTheEnd) as fault:
                if isinstance(fault, psycopg.Error) and not _may_pass(fault):
                    raise refusal(fault, self._database, doing=self._doing) from fault
                self._since, self._fault = min(self._since, trio.current_time()), sentence(fault)
            else:
                self._since, self._fault = inf, None
                return answer
            if self._given_up.is_set():
                raise LogAway(f"The log in {self._database} cannot be {self._doing}: {self._fault}.")
            with trio.move_on_after(pause):
                await self._given_up.wait()
            pause, again = min(2 * pause, MAX_DATABASE_PAUSE_SECONDS), True

    async def on_thread(self, act: Callable[[], Result]) -> Result:
        """What this gives, done on the thread of this connection."""
        async with self._turn:
            self._asked = trio.current_time()
            try:
                return await trio.to_thread.run_sync(act, limiter=self._thread)
            except RuntimeError:  # the system has no thread to spare, so nothing was begun: the loop itself waits
                return act()
            finally:
                self._asked = inf


def _may_pass(fault: psycopg.Error) -> bool:
    """A key that is there already may be that of the same append."""
    return is_passing(fault) or isinstance(fault, errors.UniqueViolation)
