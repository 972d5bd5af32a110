"""Whether a job can be carried out here: there is such a user and group, there is such an executor, and there are such
processors, who take what the job says to them. It is asked when a job is created or edited.
"""

from collections.abc import Callable
from dataclasses import dataclass

import trio

from kala_es.domain.errors import Invalid
from kala_es.domain.model import JobSpec
from kala_es.domain.named_work import NamedWork, check_named
from kala_es.domain.processing import Processors
from kala_es.domain.terms import AttemptTerms
from kala_es.executor import ExecutorError, Executors
from kala_es.options import check_options
from kala_es.processor import FindProcessor, ProcessorError, check_config

CheckAccount = Callable[[AttemptTerms], None]
"""Raises Invalid when this system has no such user or group, or may not run as it. It may take its time."""


@dataclass(frozen=True, slots=True)
class Admission:
    """What there is here."""

    check_account: CheckAccount
    find_processor: FindProcessor
    executors: Executors

    async def check(self, spec: JobSpec) -> None:
        """Raise Invalid, naming the key, when something that the job asks for is not here."""
        if spec.terms.user or spec.terms.group or spec.terms.nice < 0:
            await trio.to_thread.run_sync(self.check_account, spec.terms)
        if spec.kind == "named":
            await self._check_executor(spec.named)
        if spec.processors:
            await self._check_processors(spec.processors)

    async def _check_executor(self, work: NamedWork) -> None:
        check_named(work)
        try:
            executor = await self.executors.find(work.executor)
            options = tuple(executor.options)
        except ExecutorError as error:
            raise Invalid("executor", str(error)) from error
        except Exception as error:  # whatever a package does when it is asked
            raise Invalid(
                "executor", f"the executor {work.executor!r} does not say what it knows: {error!r}"
            ) from error
        check_options(work.config, options, within="executor_config", whose=f"the executor {work.executor!r}")

    async def _check_processors(self, processors: Processors) -> None:
        for name, config in processors:
            try:
                processor = await self.find_processor(name)
            except ProcessorError as error:
                raise Invalid(f"processors.{name}", str(error)) from error
            check_config(name, processor, config)
