"""The executors that installed packages bring (entry points `kala_es.executors`).

An entry point names something that is called without arguments and gives an executor. It is loaded, on a thread, when a
job first names it: in the node's process to check the job against its options, in the agent's to carry it out.
"""

from typing import Any, Final

import trio

from kala_es.domain.named_work import OUR_OWN
from kala_es.executor import ExecutorError, NamedExecutor
from kala_es.options import schema_of_options
from kala_es.packages import NotInstalled, load, names_of

GROUP: Final = "kala_es.executors"


class InstalledExecutors:
    """What there is; each is made once."""

    def __init__(self, group: str = GROUP) -> None:
        self._group = group
        self._found: dict[str, NamedExecutor] = {}

    async def find(self, name: str) -> NamedExecutor:
        """The executor of this name. Raises ExecutorError."""
        if name not in self._found:
            self._found[name] = await trio.to_thread.run_sync(self._load, name)
        return self._found[name]

    def _load(self, name: str) -> NamedExecutor:
        try:
            executor: NamedExecutor | None = load(self._group, name, what="the executor")
        except NotInstalled as error:
            raise ExecutorError(str(error)) from error
        if executor is None:
            here = sorted({*OUR_OWN, *names_of(self._group)})
            raise ExecutorError(f"there is no executor {name!r}; here are {', '.join(here)}")
        return executor

    async def schemas(self) -> dict[str, dict[str, Any] | str]:
        """The schema of each one's config, by name; a sentence for one that cannot be loaded."""
        found: dict[str, dict[str, Any] | str] = {}
        for name in await trio.to_thread.run_sync(names_of, self._group):
            try:
                found[name] = schema_of_options((await self.find(name)).options)
            except Exception as error:  # whatever a package does when it is asked
                found[name] = str(error) if isinstance(error, ExecutorError) else f"its options: {error!r}"
        return {name: schema for name, schema in found.items() if name not in OUR_OWN}
