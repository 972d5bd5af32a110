"""Command lines: the words of POSIX shell rules, with no shell around them."""

import shlex
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala_es.domain.command_line import Backticks, CommandLineError, Literal, Variable, backticks, expand, split

VARIABLES = {"HOME": "/root", "SPACED": "a  b", "X": "x", "X_": "under", "EMPTY": ""}


def literal(text: str) -> Literal:
    return Literal(text=text)


def variable(name: str, *, quoted: bool = False) -> Variable:
    return Variable(name=name, quoted=quoted)


def command(text: str, *, quoted: bool = False) -> Backticks:
    return Backticks(command=text, quoted=quoted)


WORDS = [
    ("", ()),
    (" \t\r\n ", ()),
    ("a", ((literal("a"),),)),
    ("a$X.b", ((literal("a"), variable("X"), literal(".b")),)),
    ("${X}y", ((variable("X"), literal("y")),)),
    ("a'b'\"c\"\\d", ((literal("abcd"),),)),
    ('"$X"', ((variable("X", quoted=True),),)),
    ('"a $X"$X', ((literal("a "), variable("X", quoted=True), variable("X")),)),
    ("''", ((literal(""),),)),
    ("''$X\"\"", ((literal(""), variable("X"), literal("")),)),
    ("`date +%s`.log", ((command("date +%s"), literal(".log")),)),
    ('"`a \\"b\\"`"', ((command('a "b"', quoted=True),),)),
    ('`a \\"b\\"`', ((command('a \\"b\\"'),),)),
    (r"`echo \`echo \\n\` \$X \x`", ((command(r"echo `echo \n` $X \x"),),)),
    ("``", ((command(""),),)),
]

# What a job's process is given. Those with echo are recorded from the original but for the single quotes.
ARGUMENTS = [
    ("echo a | cat", ["echo", "a", "|", "cat"]),
    ("echo a && echo b", ["echo", "a", "&&", "echo", "b"]),
    ("echo a; echo b", ["echo", "a;", "echo", "b"]),
    ("echo $HOME ${HOME} x", ["echo", "/root", "/root", "x"]),
    ("echo '$HOME'", ["echo", "$HOME"]),
    ("echo `echo bt`", ["echo", "bt"]),
    ("echo $(echo dp)", ["echo", "$(echo", "dp)"]),
    ("echo \"a  b\" 'c  d'", ["echo", "a  b", "c  d"]),
    (r"echo a\ b", ["echo", "a b"]),
    ("echo ~ * > x", ["echo", "~", "*", ">", "x"]),
    ("echo a\necho b", ["echo", "a", "echo", "b"]),
    ("FOO=1 env # no comment", ["FOO=1", "env", "#", "no", "comment"]),
    # quotes and backslashes
    ("a '' \"\" b", ["a", "", "", "b"]),
    (r""""\$X \` \" \\ \a" '\$X' \$X \"""", [r'$X ` " \ \a', r"\$X", "$X", '"']),
    ('a\\\nb "c\\\nd" \\\n e', ["ab", "cd", "e"]),
    ('"\\\n"', [""]),
    ('"it\'s" \'a "b"\'', ["it's", 'a "b"']),
    ("\"a\nb\" 'c\td'", ["a\nb", "c\td"]),
    ("ä€ '😀'", ["ä€", "😀"]),
    ("[a]{b,c}", ["[a]{b,c}"]),
    # variables
    ("$X$X_ $X.y ${X}_ \"$X\"'$X'", ["xunder", "x.y", "x_", "x$X"]),
    ('$ $1 $$ $$X a$ "$" $- $é', ["$", "$1", "$$", "$x", "a$", "$", "$-", "$é"]),
    ('$SPACED "$SPACED" -$SPACED-', ["a  b", "a  b", "-a  b-"]),
    ("$UNSET a $EMPTY$UNSET b -$UNSET-", ["a", "b", "--"]),
    ('"$UNSET" \'\'$UNSET $UNSET""', ["", "", ""]),
    # commands
    ('`lines` "`lines`" -`lines`-', ["a  b\nc", "a  b\nc", "-a  b\nc-"]),
    ('`true` a `true`$UNSET b "`true`"', ["a", "b", ""]),
    ("'`true`'", ["`true`"]),
    ("`nul`", ["ab"]),
]

OUTPUTS = {"echo bt": "bt\n", "lines": "a  b\nc\n\n", "true": "", "nul": "a\0b\n"}

REFUSED = [
    ("echo 'abc", "a ' is not closed (column 6)"),
    ('echo "abc', 'a " is not closed (column 6)'),
    ('"\\"', 'a " is not closed (column 1)'),
    ('"\\', 'a " is not closed (column 1)'),
    ("a `b", "a ` is not closed (column 3)"),
    ("`a\\`", "a ` is not closed (column 1)"),
    ('"`a"', "a ` is not closed (column 2)"),
    ("a\\", "a \\ has nothing after it (column 2)"),
    ("${", "a ${ without a name and } after it (column 1)"),
    ("${}", "a ${ without a name and } after it (column 1)"),
    ('a "${1}"', "a ${ without a name and } after it (column 4)"),
    ("${X:-y}", "a ${ without a name and } after it (column 1)"),
    ("${X", "a ${ without a name and } after it (column 1)"),
    ("a\0b", "a NUL character (column 2)"),
]


@pytest.mark.parametrize(("text", "words"), WORDS, ids=[repr(text) for text, _ in WORDS])
def test_splits_into_parts(text: str, words: object) -> None:
    assert split(text) == words


@pytest.mark.parametrize(("text", "arguments"), ARGUMENTS, ids=[repr(text) for text, _ in ARGUMENTS])
def test_expands_to_arguments(text: str, arguments: list[str]) -> None:
    assert expand(split(text), VARIABLES, OUTPUTS) == arguments


@pytest.mark.parametrize(("text", "reason"), REFUSED, ids=[repr(text) for text, _ in REFUSED])
def test_refuses_what_is_not_closed(text: str, reason: str) -> None:
    with pytest.raises(CommandLineError) as caught:
        split(text)
    assert caught.value.reason == reason


def test_commands_come_in_order_and_once() -> None:
    assert backticks(split("`b` x`a`\"`b`\" '`c`' `a``d`")) == ["b", "a", "d"]


def test_a_long_line_takes_linear_time() -> None:
    pieces = ["a", "'a'", '"a"', "\\a", "$X", "`a`", '"$X`a`\\""', " "]
    assert len(split("".join(pieces) * 20_000)) == 20_000
    for piece in ["a", "\\a", "\\\n", "''", '""', "$", "$X", "``", "`\\``"]:
        with pytest.raises(CommandLineError):
            split(piece * 50_000 + "'")
    for opening in ["`", '"', '"`']:
        with pytest.raises(CommandLineError):
            split(opening + "\\\\" * 100_000)


TEXTS = st.text(alphabet=st.one_of(st.sampled_from(" \t\n\r'\"\\ab#|;$`{}"), st.characters()))


@given(TEXTS)
def test_agrees_with_shlex(text: str) -> None:
    """Except for what shlex does not know: variables, commands, a backslash that joins lines, and NUL."""
    if any(unlike in text for unlike in ("$", "`", "\\\n", "\0")):
        return
    try:
        expected = shlex.split(text, comments=False, posix=True)
    except ValueError:
        with pytest.raises(CommandLineError):
            split(text)
    else:
        assert expand(split(text), {}, {}) == expected


@given(TEXTS)
def test_nothing_but_a_command_line_error_comes_out(text: str) -> None:
    with suppress(CommandLineError):
        words = split(text)
        outputs = dict.fromkeys(backticks(words), "x")
        assert len(expand(words, {}, outputs)) <= len(words)
