"""The tokens of a template: its text cut into pieces, with their places, and the sentence of a failure.

Rules:
- Text outside the delimiters stays as it is; `{{- ` and ` -}}` trim the white space beside them, and a comment,
  `{{/* */}}`, is nothing.
- The delimiters are looked for first wherever a token may begin, so any two words will do.
- Every regular expression here reads on from where the last one ended, so the time is linear in the text's length.
"""

import re
from dataclasses import dataclass
from typing import Final

MAX_TOKENS: Final = 100_000
"""A template of more words and marks than this is refused: reading it would hold up everyone else."""

SHOWN: Final = 200
"""The most characters of a sentence, which may quote the template."""

_INT_LIMIT: Final = 1 << 63
_SPACE: Final = " \t\r\n"
_TOKEN: Final = re.compile(
    r"""[ \t\r\n]*(?:
      (?P<string>"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*")
    | (?P<raw>`[^`]*`)
    | (?P<number>[+-]?\.?[0-9](?:[eE][+-]|[0-9A-Za-z_.])*)
    | (?P<field>\.[^\W\d]\w*)
    | (?P<variable>\$\w*)
    | (?P<word>[^\W\d]\w*)
    | (?P<mark>:=|[=|(),.])
    )""",
    re.VERBOSE,
)
_ESCAPE: Final = re.compile(
    r'\\(?:([abfnrtv\\"])|([0-3][0-7]{2})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|.?)'
)
_CONTROL: Final = dict(zip('abfnrtv\\"', '\a\b\f\n\r\t\v\\"', strict=True))


class TemplateError(Exception):
    """A template that cannot be read or rendered, with the sentence that says what is wrong and where."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def error_at(at: int, text: str, reason: str) -> TemplateError:
    """`reason` with the place of offset `at` in `text`: its column, and its line unless that is the first."""
    line = text.count("\n", 0, at) + 1
    column = at - text.rfind("\n", 0, at)
    where = f"column {column}" if line == 1 else f"line {line}, column {column}"
    return TemplateError(f"{reason:.{SHOWN}} ({where})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """`kind` is a group of _TOKEN, "text", "close" (an action's end) or "end"; `spaced`: white space before it."""

    kind: str
    text: str
    at: int
    spaced: bool = False


class Lexer:
    """Cuts one text into tokens."""

    def __init__(self, text: str, delimiters: tuple[str, str]) -> None:
        self._text = text
        self._left, right = delimiters
        space = f"[{_SPACE}]"
        self._closing = re.compile(f"{space}+-{re.escape(right)}{space}*|{space}*{re.escape(right)}")
        self._opening = re.compile(f"-{space}")
        self._tokens: list[Token] = []

    def tokens(self) -> list[Token]:
        """All of them, with one "end" last. An action is its tokens and a "close"."""
        start = 0
        while (opening := self._text.find(self._left, start)) >= 0:
            inside = opening + len(self._left)
            before = self._text[start:opening]
            if self._opening.match(self._text, inside):
                before = before.rstrip(_SPACE)
                inside += 2
            self._literal(before, start)
            comment = self._text.startswith("/*", inside)
            start = self._comment(inside) if comment else self._action(inside, opening)
        self._literal(self._text[start:], start)
        self._tokens.append(Token(kind="end", text="end of the template", at=len(self._text)))
        return self._tokens

    def _literal(self, text: str, at: int) -> None:
        if text:
            self._add(Token(kind="text", text=text, at=at))

    def _comment(self, at: int) -> int:
        """The offset after the comment that begins at `at`."""
        end = self._text.find("*/", at + 2)
        if end < 0:
            raise self._error(at, "unclosed comment")
        closing = self._closing.match(self._text, end + 2)
        if closing is None:
            raise self._error(end, "comment ends before closing delimiter")
        return closing.end()

    def _action(self, at: int, opening: int) -> int:
        """The offset after the action that begins at `at`."""
        while (closing := self._closing.match(self._text, at)) is None:
            match = _TOKEN.match(self._text, at)
            if match is None or match.lastgroup is None:
                raise self._unreadable(at, opening)
            start = match.start(match.lastgroup)
            self._add(Token(kind=match.lastgroup, text=match[match.lastgroup], at=start, spaced=start > at))
            at = match.end()
        self._add(Token(kind="close", text="end of the action", at=at))
        return closing.end()

    def _add(self, token: Token) -> None:
        if len(self._tokens) >= MAX_TOKENS:
            raise TemplateError(f"the template has more than {MAX_TOKENS} words and marks")
        self._tokens.append(token)

    def _unreadable(self, at: int, opening: int) -> TemplateError:
        rest = self._text[at:].lstrip(_SPACE)
        at = len(self._text) - len(rest)
        match rest[:1]:
            case "":
                return self._error(opening, "unclosed action")
            case '"' | "`":
                return self._error(at, "unterminated quoted string")
            case "'":
                return self._error(at, "character constants are not supported")
            case char:
                return self._error(at, f"unexpected {char!r} in action")

    def _error(self, at: int, reason: str) -> TemplateError:
        return error_at(at, self._text, reason)


def constant(token: Token) -> str | int | float:
    """What a token of kind string, raw or number stands for; raises ValueError."""
    return _number(token.text) if token.kind == "number" else _unquoted(token.text)


def _number(text: str) -> int | float:
    """A number as Go writes it; raises ValueError."""
    if re.fullmatch(r"[+-]?[0-9][0-9_]*|[+-]?0[xXbBoO]\w+", text):
        integer = int(text, 8 if re.match(r"[+-]?0[0-7_]", text) else 0)
        if not -_INT_LIMIT <= integer < _INT_LIMIT:
            raise ValueError("overflows int")
        return integer
    number = float(text)
    if abs(number) == float("inf"):
        raise ValueError("overflows float64")
    return number


def _unquoted(text: str) -> str:
    """The text between quotes or back quotes, with Go's escapes resolved in the former; raises ValueError."""
    if text.startswith("`"):
        return text[1:-1].replace("\r", "")
    plain = _ESCAPE.sub(_unescaped, text[1:-1])
    # Escaped bytes stand as lone surrogates until here: together they may be one character's UTF-8.
    return plain.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _unescaped(match: re.Match[str]) -> str:
    control, octal, byte, short, long = match.groups()
    if control:
        return _CONTROL[control]
    if octal or byte:
        code = int(octal, 8) if octal else int(byte, 16)
        return chr(code) if code < 0x80 else chr(0xDC00 + code)
    code = int(short or long or "not an escape", 16)
    if 0xD800 <= code < 0xE000:
        raise ValueError("a surrogate")
    return chr(code)
