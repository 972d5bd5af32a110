"""Says something to a PostgreSQL server until it is answered: while it is away, with growing pauses.

What was said last before a connection was lost may have been done. So whoever is asked to say it again is told that it
is again, and looks first.
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
from kala_es.limits import DATABASE_PAUSE_SECONDS, MAX_DATABASE_PAUSE_SECONDS

Result = TypeVar("Result")


class Patience:
    """One connection's; `doing` is what it is for: "read", "written". Ends when it is `given_up`."""

    def __init__(self, database: Database, given_up: trio.Event, *, doing: str) -> None:
        self._database = database
        self._given_up = given_up
        self._doing = doing
        self._thread = trio.CapacityLimiter(1)
        self.reason: str | None = None
        """Why the server does not answer at present; None: it does."""
        self.since = inf
        """Since when (trio's clock)."""

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
                self.since, self.reason = min(self.since, trio.current_time()), sentence(fault)
            else:
                self.since, self.reason = inf, None
                return answer
            if self._given_up.is_set():
                raise LogAway(f"The log in {self._database} cannot be {self._doing}: {self.reason}.")
            with trio.move_on_after(pause):
                await self._given_up.wait()
            pause, again = min(2 * pause, MAX_DATABASE_PAUSE_SECONDS), True

    async def on_thread(self, act: Callable[[], Result]) -> Result:
        """What this gives, done on the thread of this connection."""
        try:
            return await trio.to_thread.run_sync(act, limiter=self._thread)
        except RuntimeError:  # the system has no thread to spare, so nothing was begun: the loop itself waits
            return act()


def _may_pass(fault: psycopg.Error) -> bool:
    """A key that is there already may be that of the same append."""
    return is_passing(fault) or isinstance(fault, errors.UniqueViolation)
