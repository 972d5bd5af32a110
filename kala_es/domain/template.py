"""The templates that users of NextKala write in commands, URLs and bodies: Go's text/template, the part in use.

    text  --template_tokens-->  tokens  --here-->  statements  --template_eval, data-->  text

Rules:
- Read: fields, variables, `if` `with` `range` `else` `else if` `else with` `end`, pipelines, parentheses, text,
  numbers, true, false, nil, and the functions of template_functions.
- Refused: `define` `template` `block` `break` `continue`, methods, character constants, complex and hexadecimal float
  numbers, functions that do not exist and variables that are not declared.
- What can be known without the data is refused here, so that a job with a bad template is never stored; rendering
  finds the rest: fields that do not exist, types and numbers of arguments that do not fit.
- Parentheses and controls together nest MAX_NESTING deep, well within Python's recursion limit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kala_es.domain.errors import Invalid
from kala_es.domain.template_eval import (
    LAZY_FUNCTIONS,
    Body,
    Call,
    Choice,
    Dot,
    Expression,
    Literal,
    Loop,
    Member,
    Pipeline,
    Rendering,
    Show,
    Statement,
    Text,
    Variable,
)
from kala_es.domain.template_functions import FUNCTIONS
from kala_es.domain.template_print import Value
from kala_es.domain.template_tokens import Lexer, TemplateError, Token, constant, error_at

__all__ = ["Template", "TemplateError", "Value", "parse", "parse_delimiters"]

MAX_NESTING: Final = 100
_KEYWORDS: Final = frozenset({"if", "else", "end", "range", "with", "nil", "true", "false"})
_UNSUPPORTED: Final = frozenset({"define", "template", "block", "break", "continue"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A template that was read: its text and its statements."""

    text: str
    body: Body

    def render(self, data: Mapping[str, Value]) -> str:
        """The text that `data` makes of it, `.Name` being `data["Name"]`; raises TemplateError."""
        return Rendering(self.text, data).render(self.body)


def parse_delimiters(text: str) -> tuple[str, str]:
    """The two marks around an action, from two words with one space between ("{{ }}"); raises Invalid."""
    words = text.split(" ")
    if len(words) != 2 or any(word.split() != [word] for word in words):
        raise Invalid("template_delimiters", 'must be two words with one space between, such as "{{ }}"')
    return words[0], words[1]


def parse(text: str, delimiters: tuple[str, str]) -> Template:
    """Reads a template; raises TemplateError with what is wrong and the column."""
    return Template(text=text, body=_Parser(text, Lexer(text, delimiters).tokens()).template())


class _Parser:
    def __init__(self, text: str, tokens: list[Token]) -> None:
        self._text = text
        self._tokens = tokens
        self._index = 0
        self._scopes: list[set[str]] = [{"$"}]
        self._depth = 0

    def template(self) -> Body:
        body = self._block()
        if not self._at("end"):
            raise self._unexpected(self._peek(), "outside if, with and range")
        return body

    # Statements

    def _block(self) -> Body:
        """The statements up to an else, an end or the end of the text, which stay."""
        body: list[Statement] = []
        while not (self._at("end") or self._at_word("else") or self._at_word("end")):
            body.append(self._statement())
        return tuple(body)

    def _at_word(self, word: str) -> bool:
        return self._peek().kind == "word" and self._peek().text == word

    def _statement(self) -> Statement:
        token = self._peek()
        if token.kind == "text":
            return Text(text=self._next().text)
        if token.kind == "word" and token.text in _UNSUPPORTED:
            raise self._error(token.at, f"{token.text} is not supported")
        if self._at_word("if") or self._at_word("with"):
            return self._choice()
        if self._at_word("range"):
            return self._loop()
        return Show(pipeline=self._pipeline("close", "an action"))

    def _choice(self) -> Choice:
        opening = self._next()
        self._enter(opening)
        branches = [self._branch(opening)]
        otherwise: Body = ()
        while self._clause(opening) == "else":
            if self._at_word(opening.text):
                self._next()
                branches.append(self._branch(opening))
            else:
                otherwise = self._last_block(opening)
                break
        self._leave()
        return Choice(branches=tuple(branches), otherwise=otherwise, moves_dot=opening.text == "with")

    def _branch(self, opening: Token) -> tuple[Pipeline, Body]:
        return self._pipeline("close", opening.text), self._block()

    def _loop(self) -> Loop:
        opening = self._next()
        self._enter(opening)
        pipeline, body = self._branch(opening)
        otherwise = self._last_block(opening) if self._clause(opening) == "else" else ()
        self._leave()
        return Loop(pipeline=pipeline, body=body, otherwise=otherwise)

    def _clause(self, opening: Token) -> str:
        """Takes the else or end of a control; an end to its close."""
        token = self._next()
        if token.kind == "end":
            raise self._error(opening.at, f"{opening.text} has no end")
        if token.text == "end":
            self._expect("close", "end")
        return token.text

    def _last_block(self, opening: Token) -> Body:
        """What stands between an else and its end, and both marks."""
        self._expect("close", "else")
        body = self._block()
        at = self._peek().at
        if self._clause(opening) != "end":
            raise self._error(at, f"a second else in one {opening.text}")
        return body

    # Expressions

    def _pipeline(self, closing: str, context: str) -> Pipeline:
        first = self._peek()
        names, declares = self._targets(context)
        if self._at(closing):
            raise self._error(first.at, f"missing value for {context}")
        stages = [self._command(1)]
        while self._at("|"):
            self._next()
            stages.append(self._command(len(stages) + 1))
        self._expect(closing, context)
        if declares:
            self._scopes[-1].update(names)
        return Pipeline(stages=tuple(stages), names=names, declares=declares, at=first.at)

    def _targets(self, context: str) -> tuple[tuple[str, ...], bool]:
        """The variables that a pipeline sets, and whether it declares them."""
        ahead = self._tokens[self._index : self._index + 4]
        match [token.text if token.kind == "mark" else token.kind for token in ahead]:
            case ["variable", (":=" | "=") as mark, *_]:
                targets = ahead[:1]
            case ["variable", ",", "variable", (":=" | "=") as mark] if context == "range":
                targets = [ahead[0], ahead[2]]
            case ["variable", ",", *_]:
                raise self._error(ahead[0].at, "two variables are for range, before := or =")
            case _:
                return (), False
        self._index += 2 * len(targets)
        for token in targets:
            self._check_declared(token, declares=mark == ":=")
        return tuple(token.text for token in targets), mark == ":="

    def _check_declared(self, token: Token, *, declares: bool) -> None:
        if not declares and not any(token.text in scope for scope in self._scopes):
            raise self._error(token.at, f"undefined variable {token.text}")

    def _command(self, stage: int) -> Expression:
        """One stage of a pipeline: a function with its arguments, or a single operand when it is the first stage."""
        start = self._peek()
        head = self._operand()
        arguments: list[Expression] = []
        while self._peek().spaced and (self._peek().kind != "mark" or self._at("(") or self._at(".")):
            arguments.append(self._operand())
        if isinstance(head, Call):
            return Call(name=head.name, arguments=tuple(arguments), at=head.at)
        if stage > 1:
            raise self._error(start.at, f"non executable command in pipeline stage {stage}")
        if arguments:
            raise self._error(start.at, f"can't give argument to non-function {start.text}")
        if isinstance(head, Literal) and head.value is None:
            raise self._error(start.at, "nil is not a command")
        return head

    def _operand(self) -> Expression:
        """A term and the fields that follow it without a space."""
        start = self._next()
        term = self._term(start)
        names = [start.text[1:]] if start.kind == "field" else []
        while self._peek().kind == "field" and not self._peek().spaced:
            if not names and isinstance(term, Literal | Dot):
                raise self._error(self._peek().at, f"unexpected . after term {start.text}")
            names.append(self._next().text[1:])
        return Member(of=term, names=tuple(names), at=start.at) if names else term

    def _term(self, token: Token) -> Expression:
        match token.kind, token.text:
            case ("field", _) | ("mark", "."):
                return Dot()
            case "mark", "(":
                return self._parenthesised(token)
            case "variable", name:
                self._check_declared(token, declares=False)
                return Variable(name=name, at=token.at)
            case "word", name:
                return self._word(token)
            case (("string" | "raw" | "number"), _):
                return Literal(value=self._constant(token))
            case _:
                raise self._unexpected(token, "where a value should be")

    def _parenthesised(self, token: Token) -> Pipeline:
        self._descend(token)
        pipeline = self._pipeline(")", "parentheses")
        self._depth -= 1
        return pipeline

    def _word(self, token: Token) -> Expression:
        name = token.text
        if name in ("true", "false", "nil"):
            return Literal(value={"true": True, "false": False, "nil": None}[name])
        if name in _KEYWORDS:
            raise self._unexpected(token, "where a value should be")
        if name not in FUNCTIONS and name not in LAZY_FUNCTIONS:
            raise self._error(token.at, f'function "{name}" not defined')
        return Call(name=name, arguments=(), at=token.at)

    def _constant(self, token: Token) -> str | int | float:
        try:
            return constant(token)
        except ValueError as error:
            raise self._error(token.at, f"bad {token.kind} {token.text}") from error

    # Tokens, depth, sentences

    def _peek(self) -> Token:
        return self._tokens[self._index]

    def _next(self) -> Token:
        token = self._tokens[self._index]
        if token.kind != "end":
            self._index += 1
        return token

    def _at(self, what: str) -> bool:
        """Whether the next token is of that kind, or is that mark."""
        token = self._peek()
        return token.kind == what or (token.kind == "mark" and token.text == what)

    def _expect(self, what: str, context: str) -> None:
        found = self._at(what)
        token = self._next()
        if not found:
            raise self._unexpected(token, f"in {context}")

    def _descend(self, token: Token) -> None:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise self._error(token.at, f"nested more than {MAX_NESTING} deep")

    def _enter(self, opening: Token) -> None:
        self._descend(opening)
        self._scopes.append(set())

    def _leave(self) -> None:
        self._depth -= 1
        self._scopes.pop()

    def _unexpected(self, token: Token, where: str) -> TemplateError:
        return self._error(token.at, f"unexpected {token.text} {where}")

    def _error(self, at: int, reason: str) -> TemplateError:
        return error_at(at, self._text, reason)
