"""Templates: what Go 1.26 makes of them, recorded from it, and what is refused or bounded here."""

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala_es.domain.errors import Invalid
from kala_es.domain.template import MAX_NESTING, TemplateError, Value, parse, parse_delimiters
from kala_es.domain.template_print import MAX_TEXT_BYTES

BRACES = ("{{", "}}")
JOB: dict[str, Value] = {
    "Name": "nightly",
    "Owner": "a@example.org",
    "Empty": "",
    "Disabled": False,
    "ParentJobs": None,
    "DependentJobs": ("x", "y z"),
    "Retries": 3,
    "Metadata": {"SuccessCount": 7, "LastError": "boom"},
    "RemoteProperties": {
        "Url": "http://h/p?q=1&r=<2>",
        "Headers": {"B": ("2",), "A": ("1", "1b")},
        "Timeout": -30,
        "Codes": (200, 202),
        "Ratio": 2.5,
    },
    "Unicode": "héé ✓",
    "Odd": "a\"b'c\\d\te\x01\xa0=",
}

# Recorded from Go's text/template with a struct of the same fields; ParentJobs was a nil slice.
GO = [
    # fields, dot, variables
    ("{{.Name}}", "nightly"),
    ("{{ .Name }} {{$.Owner}} {{.Metadata.SuccessCount}}", "nightly a@example.org 7"),
    ("{{.Disabled}} {{.Retries}} {{.RemoteProperties.Ratio}} {{.Empty}}|", "false 3 2.5 |"),
    ("{{.ParentJobs}} {{.DependentJobs}} {{.RemoteProperties.Headers}}", "[] [x y z] map[A:[1 1b] B:[2]]"),
    ("{{with .Metadata}}{{.SuccessCount}} {{$.Name}}{{end}}", "7 nightly"),
    ("{{(.Metadata).SuccessCount}} {{$m := .Metadata}}{{$m.LastError}}", "7 boom"),
    ("{{$x := .Name}}{{$x}}{{$x = 1}}{{$x}}", "nightly1"),
    ("{{$x := 1}}{{if true}}{{$x := 2}}{{$x}}{{end}}{{$x}}", "21"),
    ("{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", "2"),
    # if, with, range
    ("{{if .Name}}a{{else}}b{{end}}", "a"),
    ("{{if .Empty}}a{{else if .ParentJobs}}b{{else if .Retries}}c{{else}}d{{end}}", "c"),
    ("{{if $n := .Retries}}{{$n}}{{end}}{{if .Disabled}}{{else if $n := .Name}}{{$n}}{{end}}", "3nightly"),
    ("{{with .Empty}}a{{else}}{{.Name}}{{end}}", "nightly"),
    ("{{with .Empty}}a{{else with .Owner}}{{.}}{{end}}", "a@example.org"),
    ("{{range .DependentJobs}}<{{.}}>{{end}}", "<x><y z>"),
    ("{{range .ParentJobs}}a{{else}}none of {{.Name}}{{end}}", "none of nightly"),
    ("{{range $i, $e := .DependentJobs}}{{$i}}={{$e}};{{end}}", "0=x;1=y z;"),
    ("{{range $e := .DependentJobs}}{{$e}}{{$.Retries}} {{end}}", "x3 y z3 "),
    ("{{range $k, $v := .RemoteProperties.Headers}}{{$k}}{{range $v}}:{{.}}{{end}} {{end}}", "A:1:1b B:2 "),
    ("{{$last := 0}}{{range $i, $e := .DependentJobs}}{{$last = $i}}{{end}}{{$last}}", "1"),
    ("{{$e := 0}}{{range $e = .DependentJobs}}{{end}}{{$e}}", "y z"),
    # pipelines and literals
    ('{{.Name | printf "%s-%d" "a" | len}}', "21"),
    ("{{.Name | len | printf `%03d`}}", "007"),
    ("{{len (printf `%s%s` .Name (print 1 2))}}", "10"),
    ('{{"a\\n\\t\\"\\x41\\u00e9\\101\\xc3\\xa9"}}{{`a\\n`}}', 'a\n\t"AéAéa\\n'),
    (
        "{{0x1F}} {{017}} {{0b11}} {{1_000}} {{-2}} {{+3}} {{1.5}} {{.5}} {{1e3}} {{true}}",
        "31 15 3 1000 -2 3 1.5 0.5 1000 true",
    ),
    ("{{100000.0}} {{1e6}} {{123456789.125}} {{1.5e-7}} {{1e21}}", "100000 1e+06 1.23456789125e+08 1.5e-07 1e+21"),
    # white space and comments
    ("a  {{- .Retries -}}\n b", "a3b"),
    ("a {{/* {{.Nope}} */}} b", "a  b"),
    ("a {{- /* x */ -}} b", "ab"),
    ("{{-3}} {{- 3}} {{3 -}} x", "-33 3x"),
    ("{{\n.Name\n}}", "nightly"),
    # logic
    ("{{and 1 0 2}} {{and 1 2}} {{or 0 `` 3}} {{or 0 ``}}| {{not 0}} {{not .Name}}", "0 2 3 | true false"),
    ("{{or .Name .Nope}} {{and .Empty .Nope}}|", "nightly |"),
    ("{{.Name | and 1}} {{.Name | or 0}} {{.Name | or 5}}", "nightly nightly 5"),
    ('{{eq .Retries 3}} {{eq .Name "a" "nightly"}} {{ne .Name "a"}} {{eq .ParentJobs nil}}', "true true true true"),
    ("{{lt 1 2}} {{le 2 2}} {{gt 1 2}} {{ge 2 2}} {{lt `a` `b`}} {{gt 1.5 0.5}}", "true true false true true true"),
    # print
    ("{{print 1 2 `a` 3 4}} {{print}}|{{print true .ParentJobs}}", "1 2a3 4 |true []"),
    ("{{println 1 `a`}}|", "1 a\n|"),
    # printf
    (
        "{{printf `%s %d %v %q %x %t %%` .Name 3 .DependentJobs .Name 255 true}}",
        'nightly 3 [x y z] "nightly" ff true %',
    ),
    ("{{printf `%5d|%-5d|%05d|%+d|% d|%.3d|%08.3d` 3 3 -3 4 4 7 7}}", "    3|3    |-0003|+4| 4|007|     007"),
    (
        "{{printf `%5s|%-5s|%05s|%.2s|%5t|%c|%o|%b|%X|%#x` .Name `a` `ab` .Unicode true 65 8 5 255 255}}",
        "nightly|a    |000ab|hé| true|A|10|101|FF|0xff",
    ),
    (
        "{{printf `%f %.2f %8.3f|%-8.1f|%08.2f %+.1f %e %g %v` 1.0 2.555 3.14159 2.25 -2.5 1.0 1e7 1e7 2.5}}",
        "1.000000 2.56    3.142|2.2     |-0002.50 +1.0 1.000000e+07 1e+07 2.5",
    ),
    (
        "{{printf `%s %d %q %5v|` .DependentJobs .RemoteProperties.Codes .DependentJobs .RemoteProperties.Headers}}",
        '[x y z] [200 202] ["x" "y z"] map[    A:[    1    1b]     B:[    2]]|',
    ),
    ("{{printf `%q %x %+v` .Odd .Unicode 3}}", '"a\\"b\'c\\\\d\\te\\x01\\u00a0=" 68c3a9c3a920e29c93 3'),
    ("{{printf `%d %s %z %s` .Name 5 1}}", "%!d(string=nightly) %!s(int=5) %!z(int=1) %!s(MISSING)"),
    ("{{printf `%` }} {{printf `a` 1 .Name}}", "%!(NOVERB) a%!(EXTRA int=1, string=nightly)"),
    # parts
    (
        "{{len .Name}} {{len .Unicode}} {{len .DependentJobs}} {{len .ParentJobs}} {{len .RemoteProperties.Headers}}",
        "7 9 2 0 2",
    ),
    (
        "{{index .DependentJobs 1}} {{index .RemoteProperties.Headers `A` 1}} {{index .RemoteProperties.Headers `Z`}}",
        "y z 1b []",
    ),
    (
        "{{index .Name 0}} {{slice .Name 1 3}} {{slice .Name 4}} {{slice .DependentJobs 1}} {{slice .Name}}",
        "110 ig tly [y z] nightly",
    ),
    # escapes
    ("{{html .RemoteProperties.Url}} {{html .Odd 1}}", "http://h/p?q=1&amp;r=&lt;2&gt; a&#34;b&#39;c\\d\te\x01\xa0=1"),
    (
        "{{js .Odd .RemoteProperties.Url}}",
        "a\\\"b\\'c\\\\d\\u0009e\\u0001\\u00A0\\u003Dhttp://h/p?q\\u003D1\\u0026r\\u003D\\u003C2\\u003E",
    ),
    ("{{urlquery .RemoteProperties.Url .Unicode}}", "http%3A%2F%2Fh%2Fp%3Fq%3D1%26r%3D%3C2%3Eh%C3%A9%C3%A9+%E2%9C%93"),
]

REFUSED = [
    ("{{.A", "unclosed action (column 1)"),
    ("a\nbc {{foo}}", 'function "foo" not defined (line 2, column 6)'),
    ("{{}}", "missing value for an action (column 3)"),
    ("{{if}}{{end}}", "missing value for if (column 5)"),
    ("{{if 1}}", "if has no end (column 3)"),
    ("{{end}}", "unexpected end outside if, with and range (column 3)"),
    ("{{if 1}}{{else}}{{else}}{{end}}", "a second else in one if (column 19)"),
    ("{{(1}}", "unexpected end of the action in parentheses (column 5)"),
    ("{{1)}}", "unexpected ) in an action (column 4)"),
    ("{{.Name | 1}}", "non executable command in pipeline stage 2 (column 11)"),
    ("{{.Name 1}}", "can't give argument to non-function .Name (column 3)"),
    ("{{nil}}", "nil is not a command (column 3)"),
    ("{{$x}}", "undefined variable $x (column 3)"),
    ("{{$x = 1}}", "undefined variable $x (column 3)"),
    ("{{if $x := 1}}{{end}}{{$x}}", "undefined variable $x (column 24)"),
    ("{{$x, $y := .Name}}", "two variables are for range, before := or = (column 3)"),
    ('{{"a}}', "unterminated quoted string (column 3)"),
    ("{{`a}}", "unterminated quoted string (column 3)"),
    ("{{'a'}}", "character constants are not supported (column 3)"),
    ('{{"\\q"}}', 'bad string "\\q" (column 3)'),
    ("{{99999999999999999999}}", "bad number 99999999999999999999 (column 3)"),
    ("{{1a}}", "bad number 1a (column 3)"),
    ("{{/* a }}", "unclosed comment (column 3)"),
    ("{{/* a */ b}}", "comment ends before closing delimiter (column 8)"),
    ("{{.Name + 1}}", "unexpected '+' in action (column 9)"),
    ("{{define `a`}}{{end}}", "define is not supported (column 3)"),
    ("{{range .ParentJobs}}{{break}}{{end}}", "break is not supported (column 24)"),
]

FAILS = [
    ("{{.Nope}}", "can't evaluate field Nope in type job.Job (column 3)"),
    ("{{$.Nope}}", "can't evaluate field Nope in type job.Job (column 3)"),
    ("a {{.Metadata.Nope}}", "can't evaluate field Nope in type job.Metadata (column 5)"),
    ("{{.Name.First}}", "can't evaluate field First in type string (column 3)"),
    ("{{range .Name}}{{end}}", "range can't iterate over type string (column 9)"),
    ("{{len 3}}", "error calling len: len of type int (column 3)"),
    ("{{not}}", "wrong number of args for not: want 1 got 0 (column 3)"),
    ("{{printf}}", "wrong number of args for printf: want at least 1 got 0 (column 3)"),
    ("{{and}}", "wrong number of args for and: want at least 1 got 0 (column 3)"),
    ("{{printf 1}}", "error calling printf: wrong type for value; expected string; got int (column 3)"),
    ("{{eq .Retries `3`}}", "error calling eq: incompatible types for comparison: int and string (column 3)"),
    ("{{eq .DependentJobs .DependentJobs}}", "error calling eq: non-comparable type list (column 3)"),
    ("{{lt true false}}", "error calling lt: invalid type for comparison (column 3)"),
    ("{{index .DependentJobs 2}}", "error calling index: index out of range: 2 (column 3)"),
    ("{{index .Name -1}}", "error calling index: index out of range: -1 (column 3)"),
    ("{{index .Retries 0}}", "error calling index: can't index item of type int (column 3)"),
    ("{{index .Metadata 0}}", "error calling index: value has type int; should be string (column 3)"),
    ("{{slice .Name 3 1}}", "error calling slice: invalid slice index: 3 > 1 (column 3)"),
    ("{{slice .Metadata}}", "error calling slice: can't slice item of type map (column 3)"),
    ("{{printf `%*d` 1 2}}", "error calling printf: %* is not supported (column 3)"),
    ("{{printf `%[1]d` 2}}", "error calling printf: %[ is not supported (column 3)"),
    ("{{printf `%1001d` 2}}", "error calling printf: a width or precision over 1000 (column 3)"),
]

MANY: tuple[Value, ...] = tuple(str(number) for number in range(50_000))

HOSTILE = [
    ("range in range", "{{range .Many}}{{range $.Many}}{{end}}{{end}}", "the template takes more than 100000 steps"),
    ("long output", "{{range .Many}}{{$.Long}}{{end}}", "the text is over 1048576 bytes"),
    ("doubling", "{{$x := .Long}}" + "{{$x = print $x $x}}" * 30, "a text on the way is over 1048576 characters"),
    ("long arguments", "{{range .Many}}{{$x := len $.Long}}{{end}}", "the template takes more than 100000 steps"),
    ("long lists", "{{range .Many}}{{$x := slice $.Many 1}}{{end}}", "the template takes more than 100000 steps"),
    (
        "wide lists",
        "{{$x := printf `%1000v` .Many}}",
        "error calling printf: the text is over 1048576 characters (column 9)",
    ),
    (
        "wide numbers",
        "{{$x := printf `" + "%1000d" * 2_000 + "`" + " 1" * 2_000 + "}}",
        "error calling printf: the text is over 1048576 characters (column 9)",
    ),
]


def rendered(text: str, delimiters: tuple[str, str] = BRACES) -> str:
    return parse(text, delimiters).render(JOB)


@pytest.mark.parametrize(("text", "expected"), GO, ids=[text for text, _ in GO])
def test_renders_as_go(text: str, expected: str) -> None:
    assert rendered(text) == expected


@pytest.mark.parametrize(("text", "reason"), REFUSED, ids=[text for text, _ in REFUSED])
def test_refuses_when_reading(text: str, reason: str) -> None:
    with pytest.raises(TemplateError) as caught:
        parse(text, BRACES)
    assert caught.value.reason == reason


@pytest.mark.parametrize(("text", "reason"), FAILS, ids=[text for text, _ in FAILS])
def test_refuses_when_rendering(text: str, reason: str) -> None:
    template = parse(text, BRACES)
    with pytest.raises(TemplateError) as caught:
        template.render(JOB)
    assert caught.value.reason == reason


@pytest.mark.parametrize("text", ["{{ }}", "${ }", "<% %>", "BEGIN END", "| |"])
def test_any_two_words_are_delimiters(text: str) -> None:
    left, right = parse_delimiters(text)
    assert rendered(f"a {left} .Name {right} b", (left, right)) == "a nightly b"


def test_a_delimiter_in_a_string_closes_nothing() -> None:
    assert rendered('${ "}" }${.Name}', ("${", "}")) == "}nightly"


@pytest.mark.parametrize("text", ["", " ", "{{", "{{}}", "{{  }}", " {{ }}", "{{ }} ", "{{ }} x", "{{\t}}", "{{ }\t}"])
def test_delimiters_are_two_words_and_one_space(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_delimiters(text)
    assert caught.value.field == "template_delimiters"


@pytest.mark.parametrize("nested", [("{{if 1}}", "{{end}}"), ("{{with 1}}", "{{end}}")])
def test_controls_nest_to_the_limit(nested: tuple[str, str]) -> None:
    opening, closing = nested
    assert rendered(opening * MAX_NESTING + "x" + closing * MAX_NESTING) == "x"
    with pytest.raises(TemplateError, match="nested more than 100 deep"):
        parse(opening * (MAX_NESTING + 1) + "x" + closing * (MAX_NESTING + 1), BRACES)


@pytest.mark.parametrize("opening", ["(", "(print ", "(and 1 "])
def test_parentheses_nest_to_the_limit(opening: str) -> None:
    assert rendered("{{" + opening * MAX_NESTING + ".Name" + ")" * MAX_NESTING + "}}") == "nightly"
    with pytest.raises(TemplateError, match="nested more than 100 deep"):
        parse("{{" + opening * 10_000 + "}}", BRACES)


def test_a_long_chain_of_else_if_is_not_nesting() -> None:
    assert rendered("{{if 0}}" + "{{else if 0}}" * 1_000 + "{{else}}x{{end}}") == "x"


@pytest.mark.parametrize(("text", "reason"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
def test_work_is_bounded(text: str, reason: str) -> None:
    template = parse(text, BRACES)
    with pytest.raises(TemplateError) as caught:
        template.render({"Many": MANY, "Long": "é" * 100_000})
    assert caught.value.reason == reason


def test_output_up_to_the_limit_passes() -> None:
    assert len(rendered("a" * MAX_TEXT_BYTES)) == MAX_TEXT_BYTES
    with pytest.raises(TemplateError):
        rendered("a" * (MAX_TEXT_BYTES + 1))


def test_a_template_of_too_many_words_is_refused() -> None:
    with pytest.raises(TemplateError, match="more than 100000 words and marks"):
        parse("{{.Name}}" * 60_000, BRACES)


def test_a_sentence_is_short_whatever_the_template() -> None:
    with pytest.raises(TemplateError) as caught:
        parse("{{" + "x" * 100_000 + "}}", BRACES)
    assert len(caught.value.reason) < 300


def test_a_map_prints_with_its_keys_in_order() -> None:
    template = parse("{{.}} {{range .}}{{.}}{{end}}", BRACES)
    assert template.render({"b": 1, "a": (True, None)}) == "map[a:[true []] b:1] [true []]1"


@given(st.text())
def test_text_without_delimiters_stays_as_it_is(text: str) -> None:
    if BRACES[0] not in text:
        assert rendered(text) == text


PIECES = [
    *re.findall(
        r"\S+", ". .Name .Metadata.SuccessCount .DependentJobs $ $x := = | ( ) , if else end range with 1 -2 1.5"
    ),
    *re.findall(r"\S+", '"s" "%d" `%q` nil true print printf len index slice eq lt and or not html js urlquery " \\ é'),
    *re.findall(r"\S+", "{{ }} {{/* */}} {{if {{range {{with {{else}} {{end}} {{$x"),
    *("{{- ", " -}}", " ", "\n", "\ud800"),
]


@given(st.lists(st.sampled_from(PIECES), max_size=20), st.sampled_from(["", " "]))
def test_nothing_but_a_template_error_comes_out(pieces: list[str], between: str) -> None:
    with suppress(TemplateError):
        assert isinstance(parse("{{" + between.join(pieces), BRACES).render(JOB), str)
