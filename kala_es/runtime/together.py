"""Commands to several jobs in one commit: each job's actor decides on its own, and waits until all have.

So every job keeps its one owner: while an actor waits here it handles nothing else, and what it decided on stays so.
When one of them refuses, or the log does, nothing is recorded for any of them.
"""

from collections.abc import Sequence

from kala_es.actor import Reply
from kala_es.domain.errors import Conflict, Refusal
from kala_es.domain.events import Event
from kala_es.domain.ids import JobId
from kala_es.runtime.log_writer import LogWriter


class Together:
    """One commit of what the actors of `jobs` decide; its facts are in the order of the jobs."""

    def __init__(self, writer: LogWriter, jobs: Sequence[JobId], *, needs_reserve: bool) -> None:
        self._writer = writer
        self._facts: dict[JobId, Sequence[Event]] = dict.fromkeys(jobs, ())
        self._missing = len(jobs)
        self._needs_reserve = needs_reserve
        self._reply: Reply[int] = Reply()

    async def append(self, job: JobId, facts: Sequence[Event], principal: str) -> int:
        """Add a job's facts and wait for the others': the commit's last position. Raises the Refusal of any."""
        self._facts[job] = facts
        self._missing -= 1
        if not self._missing:
            await self._commit(principal)
        return await self._reply.wait()

    def fail(self, error: Exception) -> None:
        """Nothing comes of it. A bug in one job's actor is not the others'."""
        self._reply.fail(error if isinstance(error, Refusal) else Conflict("another job of the request met a bug"))

    async def _commit(self, principal: str) -> None:
        facts = [fact for of_one in self._facts.values() for fact in of_one]
        try:
            position = await self._writer.append(facts, principal, needs_reserve=self._needs_reserve, may_wait=False)
        except Exception as error:
            self.fail(error)
        else:
            self._reply.set(position)
