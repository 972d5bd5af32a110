"""A processor for tests that keeps what it is handed and does as a script says."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import trio

from kala_es.domain import events as e
from kala_es.processor import Option, Part, ProcessorError
from tests.nodes import RunningNode


@dataclass
class ScriptedProcessor:
    """What becomes of each part comes from `script` ("" takes it, a text or an exception is why not), then from `fate`;
    each takes `seconds`."""

    script: deque[str | Exception] = field(default_factory=deque)
    fate: str | Callable[[], str] = ""
    seconds: float = 0.0
    line: str = "it went elsewhere"
    options: Sequence[Option] = (Option(key="colour", about="of the ink", pattern="red|blue"),)
    parts: list[Part] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    busy: int = 0
    most: int = 0

    async def process(self, part: Part, config: Mapping[str, str]) -> None:
        """As the script says."""
        fate = self.fate if isinstance(self.fate, str) else self.fate()
        said = self.script.popleft() if self.script else fate
        self.times.append(trio.current_time())
        self.busy += 1
        self.most = max(self.most, self.busy)
        try:
            await trio.sleep(self.seconds)
        finally:
            self.busy -= 1
        if isinstance(said, Exception):
            raise said
        if said:
            raise ProcessorError(said)
        self.parts.append(part)

    def stands_for(self, part: Part, config: Mapping[str, str]) -> str:
        """The same each time."""
        return self.line

    def output(self, run: str) -> dict[int, bytes]:
        """What was taken of each attempt, a repeated byte once."""
        found: dict[int, bytes] = {}
        for part in self.parts:
            if part.run == run:
                before = found.get(part.attempt, b"")
                assert part.offset <= len(before), "something was left out"
                found[part.attempt] = before[: part.offset] + part.content
        return found

    def ends(self, run: str) -> list[tuple[int, str, bool]]:
        """The attempts that ended: number, outcome, whether the run was over."""
        return [(p.attempt, p.end.outcome, p.end.over) for p in self.parts if p.run == run and p.end is not None]


def check_handed_over(node: RunningNode, place: int, processor: ScriptedProcessor) -> int:
    """Every byte that the log has of a run, and every end, was handed to the processor at this place of its job, unless
    that was given up. How many runs it was handed whole."""
    printed: dict[str, dict[int, bytes]] = {}
    whole: list[str] = []
    for recorded in node.history():
        match recorded.event:
            case e.OutputChunk(run=run, attempt=attempt, content=content):
                attempts = printed.setdefault(run, {})
                attempts[attempt] = attempts.get(attempt, b"") + content
            case e.OutputHandedOver(run=run, place=there, over=True) if there == place:
                whole.append(run)
    for each in whole:
        taken = {attempt: content for attempt, content in processor.output(each).items() if content}
        assert taken == printed.get(each, {}), f"of {each} something was not handed over"
        assert processor.ends(each)[-1][2], f"the end of {each} was not handed over"
    return len(whole)
