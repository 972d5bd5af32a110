"""An executor for kala_es: counts down, a line a step."""

from collections.abc import Sequence

import trio

from kala_es.executor import AttemptEnd, Emit, Named, Order
from kala_es.options import Option


class CountdownExecutor:
    """It is made once, without arguments, when a job first names it."""

    @property
    def options(self) -> Sequence[Option]:
        """What a job may say: its config is checked against this when it is created."""
        return (
            Option(key="from", about="the number it begins with", pattern="[0-9]{1,4}", required=True),
            Option(key="step", about="seconds between two numbers; 1 without", pattern=r"[0-9]{1,3}(\.[0-9]{1,3})?"),
            Option(key="abort_at", about="the number at which it fails", pattern="[0-9]{1,4}"),
        )

    async def execute(self, order: Order, emit: Emit) -> AttemptEnd:
        """Carry out one attempt. It may be cancelled at each await: there is nothing to clean up here."""
        assert isinstance(order.work, Named)
        config, job = dict(order.work.config), dict(order.identity)["KALA_JOB_ID"]
        for number in range(int(config["from"]), 0, -1):
            await emit("stdout", f"{number}\n".encode())
            if config.get("abort_at") == str(number):
                await emit("stderr", f"{job} is aborted\n".encode())
                return AttemptEnd(outcome="failed", reason=f"aborted at {number}")
            await trio.sleep(float(config.get("step", "1")))
        await emit("stdout", b"lift-off\n")
        return AttemptEnd(outcome="succeeded")
