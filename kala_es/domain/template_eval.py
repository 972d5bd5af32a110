"""What a template is once it is read, and what it makes of data.

Rules:
- A template is a tuple of statements; a statement shows, chooses or loops by pipelines; a pipeline's stages are
  expressions, and each stage's value becomes the last argument of the next.
- A control (if, with, range) is a scope for variables, and so is each round of a loop. A name is looked up from the
  innermost scope outwards.
- Work is bounded: every statement, expression and round is a step, and so are each 64 characters or elements that a
  function is given or makes; the output and every text on the way are bounded by MAX_TEXT_BYTES.
"""

from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never

from kala_es.domain.template_functions import FUNCTIONS
from kala_es.domain.template_print import MAX_TEXT_BYTES, Value, text_of, type_name
from kala_es.domain.template_tokens import TemplateError, error_at

MAX_STEPS: Final = 100_000
"""The steps that one rendering may take."""
CHARS_A_STEP: Final = 64
ROOT_TYPE: Final = "job.Job"
"""What the data is called in a sentence: the name that users of the original know."""
LAZY_FUNCTIONS: Final = frozenset({"and", "or"})
"""They stop at the argument that decides, so they are no ordinary functions."""


# Expressions. `at` is the offset in the template's text.


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal:
    """A value that is written out."""

    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """`.`: what the innermost with or range is about, else the data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """`$name`; `$` alone is the data."""

    name: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """`.A.B` of something."""

    of: "Expression"
    names: tuple[str, ...]
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A function with the arguments that are written after it."""

    name: str
    arguments: tuple["Expression", ...]
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """`$names := stage | stage`; only a first stage may be no Call. `declares` is false for `=`."""

    stages: tuple["Expression", ...]
    names: tuple[str, ...]
    declares: bool
    at: int


Expression: TypeAlias = Literal | Dot | Variable | Member | Call | Pipeline


# Statements


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Text that stays as it is."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """A pipeline's value in print, or nothing when it goes to a variable."""

    pipeline: Pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """if (with, when `moves_dot`): the body of the first branch whose value is true, else `otherwise`."""

    branches: tuple[tuple[Pipeline, "Body"], ...]
    otherwise: "Body"
    moves_dot: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """range: the body for each element of a list or map, or `otherwise` when there is none."""

    pipeline: Pipeline
    body: "Body"
    otherwise: "Body"


Statement: TypeAlias = Text | Show | Choice | Loop
Body: TypeAlias = tuple[Statement, ...]


class Rendering:
    """One evaluation of a template's body; `text` is its source, for places in sentences."""

    __slots__ = ("_data", "_pieces", "_room", "_scopes", "_steps", "_text")

    def __init__(self, text: str, data: Mapping[str, Value]) -> None:
        self._text = text
        self._data = data
        self._scopes: list[dict[str, Value]] = [{"$": data}]
        self._pieces: list[str] = []
        self._room = MAX_TEXT_BYTES
        self._steps = MAX_STEPS

    def render(self, body: Body) -> str:
        """What the body makes of the data; raises TemplateError."""
        self._run(body, self._data)
        return "".join(self._pieces)

    # Statements

    def _run(self, body: Body, dot: Value) -> None:
        for statement in body:
            self._spend(1)
            match statement:
                case Text(text=text):
                    self._write(text)
                case Show(pipeline=pipeline):
                    value = self._pipeline(pipeline, dot)
                    if not pipeline.names:
                        self._write(text_of(value))
                case Choice():
                    self._choose(statement, dot)
                case Loop():
                    self._loop(statement, dot)
                case _:
                    assert_never(statement)

    def _choose(self, choice: Choice, dot: Value) -> None:
        self._scopes.append({})
        for pipeline, body in choice.branches:
            value = self._pipeline(pipeline, dot)
            if value:
                self._run(body, value if choice.moves_dot else dot)
                break
        else:
            self._run(choice.otherwise, dot)
        self._scopes.pop()

    def _loop(self, loop: Loop, dot: Value) -> None:
        self._scopes.append({})
        elements = self._pipeline(loop.pipeline, dot)
        for key, element in self._rounds(elements, loop.pipeline):
            self._spend(1)
            self._bind_round(loop.pipeline, key, element)
            self._scopes.append({})
            self._run(loop.body, element)
            self._scopes.pop()
        if not elements:
            self._run(loop.otherwise, dot)
        self._scopes.pop()

    def _rounds(self, elements: Value, pipeline: Pipeline) -> Iterable[tuple[Value, Value]]:
        match elements:
            case None:
                return ()
            case str() | bool() | int() | float():
                raise self._error(pipeline.at, f"range can't iterate over type {type_name(elements)}")
            case Mapping():
                return ((key, elements[key]) for key in sorted(elements))
            case _:
                return enumerate(elements)

    def _bind_round(self, pipeline: Pipeline, key: Value, element: Value) -> None:
        """One variable takes the element; of two, the first takes the index or key."""
        values = (key, element) if len(pipeline.names) == 2 else (element,)
        for name, value in zip(pipeline.names, values, strict=False):
            self._scope_for(name, pipeline)[name] = value

    def _write(self, text: str) -> None:
        self._room -= len(text.encode("utf-8", "surrogatepass"))
        if self._room < 0:
            raise TemplateError(f"the text is over {MAX_TEXT_BYTES} bytes")
        self._pieces.append(text)

    # Expressions

    def _pipeline(self, pipeline: Pipeline, dot: Value) -> Value:
        given: tuple[Value, ...] = ()
        for stage in pipeline.stages:
            given = (self._call(stage, dot, *given) if isinstance(stage, Call) else self._value(stage, dot),)
        for name in pipeline.names:
            self._scope_for(name, pipeline)[name] = given[0]
        return given[0]

    def _value(self, expression: Expression, dot: Value) -> Value:
        self._spend(1)
        match expression:
            case Literal(value=value):
                return value
            case Dot():
                return dot
            case Variable(name=name, at=at):
                return self._scope_of(name, at)[name]
            case Member(of=of):
                return self._member(expression, self._value(of, dot))
            case Call():
                return self._call(expression, dot)
            case Pipeline():
                return self._pipeline(expression, dot)
            case _:
                assert_never(expression)

    def _member(self, member: Member, value: Value) -> Value:
        owner = ROOT_TYPE if value is self._data else type_name(value)
        for name in member.names:
            if not isinstance(value, Mapping) or name not in value:
                raise self._error(member.at, f"can't evaluate field {name} in type {owner}")
            value = value[name]
            owner = f"job.{name}" if isinstance(value, Mapping) else type_name(value)
        return value

    def _call(self, call: Call, dot: Value, *piped: Value) -> Value:
        self._spend(1)
        if call.name in LAZY_FUNCTIONS:
            return self._decide(call, dot, *piped)
        return self._apply(call, [*(self._value(argument, dot) for argument in call.arguments), *piped])

    def _decide(self, call: Call, dot: Value, *piped: Value) -> Value:
        """`and` is its first false argument, `or` its first true one; else the last."""
        if not call.arguments and not piped:
            raise self._error(call.at, f"wrong number of args for {call.name}: want at least 1 got 0")
        value: Value = None
        for argument in call.arguments:
            value = self._value(argument, dot)
            if bool(value) is (call.name == "or"):
                return value
        return piped[0] if piped else value

    def _apply(self, call: Call, arguments: Sequence[Value]) -> Value:
        function = FUNCTIONS[call.name]
        if len(arguments) < function.least or (function.most is not None and len(arguments) > function.most):
            least = "" if function.least == function.most else "at least "
            sentence = f"wrong number of args for {call.name}: want {least}{function.least} got {len(arguments)}"
            raise self._error(call.at, sentence)
        self._spend_on(arguments)
        try:
            value = function.apply(arguments)
        except ValueError as error:
            raise self._error(call.at, f"error calling {call.name}: {error}") from error
        self._spend_on([value])
        return value

    # Scopes, steps, sentences

    def _scope_for(self, name: str, pipeline: Pipeline) -> dict[str, Value]:
        return self._scopes[-1] if pipeline.declares else self._scope_of(name, pipeline.at)

    def _scope_of(self, name: str, at: int) -> dict[str, Value]:
        for scope in reversed(self._scopes):
            if name in scope:
                return scope
        raise self._error(at, f"undefined variable: {name}")

    def _spend_on(self, values: Sequence[Value]) -> None:
        for value in values:
            if isinstance(value, Sized):
                self._spend(len(value) // CHARS_A_STEP)
            if isinstance(value, str) and len(value) > MAX_TEXT_BYTES:
                raise TemplateError(f"a text on the way is over {MAX_TEXT_BYTES} characters")

    def _spend(self, steps: int) -> None:
        self._steps -= steps
        if self._steps < 0:
            raise TemplateError(f"the template takes more than {MAX_STEPS} steps")

    def _error(self, at: int, reason: str) -> TemplateError:
        return error_at(at, self._text, reason)
