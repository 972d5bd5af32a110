"""Splits a command line into words by POSIX shell rules, with no shell around it.

Rules:
- White space (space, tab, newline, carriage return) separates words; quotes and backslashes join them. `''` is an empty
  word. A backslash before a newline joins two lines, also in double quotes.
- `'...'` is literal. In `"..."` a backslash escapes `$`, a back quote, `"`, itself and a newline, and stands for itself
  before anything else; outside quotes it escapes any character.
- `$NAME` and `${NAME}` are variables and back quotes hold commands, both also in double quotes. A `$` before anything
  else is a plain `$`, but a `${` that holds no name is refused. Between back quotes a backslash escapes `$`, a back
  quote and itself (in double quotes also `"`), and what remains is the command's text.
- Everything else that a shell reads is plain text: `$(...)`, `|`, `&&`, `;`, `>`, `*`, `~`, `#`, `NAME=1`.
- One word stays one word: what a variable or a command puts into a word is not split again, quoted or not, as in
  the original. But a word of nothing but unquoted variables and commands that are all empty disappears, as in a shell.
- NUL is refused, for no argument can hold it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never

NUL: Final = "\0"
_SPACE: Final = re.compile(r"(?:[ \t\r\n]|\\\n)+")
_PLAIN: Final = re.compile(r"""[^ \t\r\n\\'"$`]+""")
_PLAIN_IN_QUOTES: Final = re.compile(r"""[^\\"$`]+""")
_VARIABLE: Final = re.compile(r"\$(?:(?P<bare>[A-Za-z_][A-Za-z0-9_]*)|\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)\})")
_BACKTICKS: Final = re.compile(r"`([^`\\]*(?:\\.[^`\\]*)*)`", re.DOTALL)
_ESCAPED_IN_QUOTES: Final = frozenset('$`"\\')


class CommandLineError(Exception):
    """A command line that cannot be split, with the sentence that says why and where."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal:
    """Text as it is; an empty one comes from quotes with nothing between and keeps its word."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """`$name`; `quoted` in double quotes."""

    name: str
    quoted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Backticks:
    """A command to run for its output; `quoted` in double quotes."""

    command: str
    quoted: bool


Part: TypeAlias = Literal | Variable | Backticks
Word: TypeAlias = tuple[Part, ...]


def split(text: str) -> tuple[Word, ...]:
    """The words of a command line, no two literals side by side in one; raises CommandLineError."""
    if NUL in text:
        raise CommandLineError(f"a NUL character (column {text.index(NUL) + 1})")
    return _Splitter(text).words()


def backticks(words: Sequence[Word]) -> list[str]:
    """The commands to run, in order, each once."""
    return list(dict.fromkeys(part.command for word in words for part in word if isinstance(part, Backticks)))


def expand(words: Sequence[Word], variables: Mapping[str, str], outputs: Mapping[str, str]) -> list[str]:
    """The arguments that the words stand for.

    A variable that is not set is empty. `outputs` has the output of every one of `backticks(words)` by its command; its
    trailing newlines and any NUL are left out, as a shell does.
    """
    arguments: list[str] = []
    for word in words:
        argument = "".join(_expanded(part, variables, outputs) for part in word)
        if argument or any(isinstance(part, Literal) or part.quoted for part in word):
            arguments.append(argument)
    return arguments


def _expanded(part: Part, variables: Mapping[str, str], outputs: Mapping[str, str]) -> str:
    match part:
        case Literal(text=text):
            return text
        case Variable(name=name):
            return variables.get(name, "")
        case Backticks(command=command):
            return outputs[command].replace(NUL, "").rstrip("\n")
        case _:
            assert_never(part)


class _Splitter:
    """Reads one command line from left to right; each method takes what stands at the offset."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._parts: list[Part] = []
        self._literal: list[str] = []

    def words(self) -> tuple[Word, ...]:
        words: list[Word] = []
        while self._skip_space():
            words.append(self._word())
        return tuple(words)

    def _skip_space(self) -> bool:
        """Whether anything follows."""
        if match := _SPACE.match(self._text, self._at):
            self._at = match.end()
        return self._at < len(self._text)

    def _word(self) -> Word:
        self._parts = []
        while (char := self._text[self._at : self._at + 1]) and char not in " \t\r\n":
            match char:
                case "'":
                    self._single_quotes()
                case '"':
                    self._double_quotes()
                case "\\":
                    self._backslash()
                case "$" | "`":
                    self._expansion(quoted=False)
                case _:
                    self._run(_PLAIN)
        self._end_literal()
        return tuple(self._parts)

    def _end_literal(self) -> None:
        if self._literal:
            self._parts.append(Literal(text="".join(self._literal)))
            self._literal = []

    def _run(self, plain: re.Pattern[str]) -> None:
        match = plain.match(self._text, self._at)
        assert match is not None, "a character that is neither plain nor special"
        self._literal.append(match[0])
        self._at = match.end()

    def _single_quotes(self) -> None:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise self._error(self._at, "a ' is not closed")
        self._literal.append(self._text[self._at + 1 : end])
        self._at = end + 1

    def _double_quotes(self) -> None:
        opening = self._at
        before = (len(self._parts), len(self._literal))
        self._at += 1
        while (char := self._text[self._at : self._at + 1]) != '"':
            match char:
                case "":
                    raise self._error(opening, 'a " is not closed')
                case "\\":
                    self._backslash_in_quotes()
                case "$" | "`":
                    self._expansion(quoted=True)
                case _:
                    self._run(_PLAIN_IN_QUOTES)
        self._at += 1
        if before == (len(self._parts), len(self._literal)):
            self._literal.append("")

    def _backslash(self) -> None:
        escaped = self._text[self._at + 1 : self._at + 2]
        if not escaped:
            raise self._error(self._at, "a \\ has nothing after it")
        if escaped != "\n":
            self._literal.append(escaped)
        self._at += 2

    def _backslash_in_quotes(self) -> None:
        escaped = self._text[self._at + 1 : self._at + 2]
        if escaped in _ESCAPED_IN_QUOTES:
            self._literal.append(escaped)
        elif escaped != "\n":
            self._literal.append("\\" + escaped)
        self._at += 2

    def _expansion(self, *, quoted: bool) -> None:
        """A variable, a command or a plain `$`."""
        if self._text[self._at] == "`":
            self._backticks(quoted=quoted)
        elif match := _VARIABLE.match(self._text, self._at):
            self._add(Variable(name=match["bare"] or match["braced"], quoted=quoted), match.end())
        elif self._text.startswith("${", self._at):
            raise self._error(self._at, "a ${ without a name and } after it")
        else:
            self._literal.append("$")
            self._at += 1

    def _backticks(self, *, quoted: bool) -> None:
        match = _BACKTICKS.match(self._text, self._at)
        if match is None:
            raise self._error(self._at, "a ` is not closed")
        command = re.sub(r'\\([$`\\"])' if quoted else r"\\([$`\\])", r"\1", match[1])
        self._add(Backticks(command=command, quoted=quoted), match.end())

    def _add(self, part: Part, end: int) -> None:
        self._end_literal()
        self._parts.append(part)
        self._at = end

    def _error(self, at: int, reason: str) -> CommandLineError:
        return CommandLineError(f"{reason} (column {at + 1})")
