"""The style as functions: each takes one file and yields its faults, "path:line: what is wrong".

They read source with `ast` and import nothing of kala_es. `test_tidy.py` runs them on the tree.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The rooms, top to bottom. `|` parts neighbours that must not meet; the modules of one place may import each other.
ROOMS: Final = (
    "cli __main__ verbs",
    "server",
    "node storage",
    "web",
    "runtime | agent",
    "replay",
    "dialects | projections | event_logs | fold_stores | executors | notifiers | processors | links | codec | archive",
    "event_log log_tree fold_store executor notifier processor link clock actor settings setting_values ending mapped "
    "options packages",
    "domain",
    "limits",
)
PORTS: Final = _words("event_log fold_store executor notifier processor link clock")

PURE_IMPORTS: Final = _words(
    "__future__ base64 bisect calendar collections contextlib dataclasses datetime decimal enum functools hashlib html "
    "isodate itertools json kala_es math msgspec operator re string types typing urllib.parse uuid zoneinfo"
)
IMPURE_CALLS: Final = _words("open print input eval exec __import__ now today utcnow uuid1 uuid4")
IMPURE_REFERENCES: Final = _words("datetime.now datetime.today datetime.utcnow date.today uuid.uuid1 uuid.uuid4")
PURE_NAMES_OF_UUID: Final = _words("UUID uuid5")

FUNCTION_LINES: Final = 50
MODULE_LINES: Final = 400
TEST_MODULE_LINES: Final = 600
POSITIONAL_PARAMETERS: Final = 3
PORT_METHODS: Final = 5

EMPTY_NAMES: Final = _words("util utils helper helpers manager managers service services data")
CONTAINERS: Final = _words("list dict set bytearray defaultdict deque Counter OrderedDict")

# Spelt in two, so that this file does not break its own rule.
UNFINISHED: Final = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
MACHINE: Final = re.compile(
    r"(?<![\w.-])/(?:work|root)/"
    r"|/opt/(?:wheels)\b"
    r"|\b(?:pypi\.org|pythonhosted\.org|registry\.npmjs\.org|proxy\.golang\.org)\b"
    r"|--(?:extra-)?index-url\b|--(?:find)-links\b"
)

Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Source:
    """A text file of the project. `path` is relative to its root, with slashes."""

    path: str
    text: str

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        return tuple(ast.walk(self.tree))

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def room(self) -> str:
        """The place in kala_es: "domain" for kala_es/domain/job.py, "" for the package itself."""
        second = PurePosixPath(self.path).parts[1].removesuffix(".py")
        return "" if second == "__init__" else second

    def fault(self, where: ast.AST | int, what: str) -> str:
        line = where if isinstance(where, int) else getattr(where, "lineno", 1)
        return f"{self.path}:{line}: {what}"


def layers(source: Source) -> Iterator[str]:
    """Imports point down."""
    home = _place(source.room)
    if source.room and home is None:
        yield source.fault(1, f"{source.room} is no room of kala_es (tests/tidy_rules.py, ROOMS)")
        return
    for node, module in _imports(source):
        head, *rest = module.split(".")
        if head != "kala_es" or not rest or rest[0].startswith("__version"):
            continue
        there = _place(rest[0])
        if there is None:
            yield source.fault(node, f"{rest[0]} is no room of kala_es")
        elif home is None or not (there == home or there[0] > home[0]):
            yield source.fault(node, f"{source.room or 'kala_es'} must not import {rest[0]}: imports point down")


def purity(source: Source) -> Iterator[str]:
    """The rules do no I/O, read no clock and roll no dice."""
    for node, module in _imports(source):
        if not any(module == name or module.startswith(name + ".") for name in PURE_IMPORTS):
            yield source.fault(node, f"{module} is not pure")
        head, _, name = module.partition(".")
        if head == "uuid" and name and name not in PURE_NAMES_OF_UUID:
            yield source.fault(node, f"uuid.{name} is not pure")
    for node in source.nodes:
        if isinstance(node, ast.Call) and _last_name(node.func) in IMPURE_CALLS:
            yield source.fault(node, f"{_last_name(node.func)}() is not pure")
        elif isinstance(node, ast.Attribute) and f"{_last_name(node.value)}.{node.attr}" in IMPURE_REFERENCES:
            yield source.fault(node, f"{node.attr} is not pure")


def module_size(source: Source) -> Iterator[str]:
    """A module can be read at one sitting."""
    limit = TEST_MODULE_LINES if source.path.startswith("tests/") else MODULE_LINES
    lines = len(source.text.splitlines())
    if lines > limit:
        yield source.fault(limit + 1, f"{lines} lines, {limit} are allowed")


def function_size(source: Source) -> Iterator[str]:
    """A function fits on a screen."""
    for node in source.nodes:
        if isinstance(node, FUNCTIONS):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield source.fault(node, f"{node.name} has {lines} lines, {FUNCTION_LINES} are allowed")


def positional_parameters(source: Source) -> Iterator[str]:
    """What a call means can be read at the call."""
    methods = {id(child) for node in source.nodes if isinstance(node, ast.ClassDef) for child in node.body}
    for node in source.nodes:
        if not isinstance(node, FUNCTIONS) or _is_dunder(node.name):
            continue
        bound = id(node) in methods and "staticmethod" not in map(_last_name, node.decorator_list)
        count = len(node.args.posonlyargs) + len(node.args.args) - bound
        if count > POSITIONAL_PARAMETERS:
            allowed = f"{POSITIONAL_PARAMETERS} are allowed, then keywords"
            yield source.fault(node, f"{node.name} takes {count} positional parameters, {allowed}")


def port_size(source: Source) -> Iterator[str]:
    """A port is narrow."""
    if source.room not in PORTS:
        return
    for node in source.tree.body:
        if isinstance(node, ast.ClassDef) and "Protocol" in map(_last_name, node.bases):
            methods = [child for child in node.body if isinstance(child, FUNCTIONS) and not child.name.startswith("_")]
            if len(methods) > PORT_METHODS:
                yield source.fault(node, f"{node.name} has {len(methods)} methods, {PORT_METHODS} are allowed")


def docstrings(source: Source) -> Iterator[str]:
    """Modules, public classes, their public methods and public functions say what they are for."""
    if ast.get_docstring(source.tree) is None:
        yield source.fault(1, "the module has no docstring")
    for node in _public_definitions(source.tree.body):
        if ast.get_docstring(node) is None:
            yield source.fault(node, f"{node.name} has no docstring")


def names(source: Source) -> Iterator[str]:
    """A module is named after what it knows."""
    for part in PurePosixPath(source.path).with_suffix("").parts:
        empty = EMPTY_NAMES.intersection(part.lower().split("_"))
        if empty:
            yield source.fault(1, f"{part}: a module named {min(empty)} says nothing")


def swallowed_errors(source: Source) -> Iterator[str]:
    """An error is answered, recorded or fatal."""
    for node in source.nodes:
        if isinstance(node, ast.ExceptHandler):
            if node.type is None:
                yield source.fault(node, "a bare except")
            if all(_does_nothing(statement) for statement in node.body):
                yield source.fault(node, "the error is swallowed; contextlib.suppress names the one that may be")
        elif isinstance(node, ast.Call) and _last_name(node.func) == "suppress":
            broad = {"Exception", "BaseException"}.intersection(map(_last_name, node.args))
            if broad or not node.args:
                yield source.fault(node, f"suppress({', '.join(broad)}) swallows what nobody foresaw")


def module_state(source: Source) -> Iterator[str]:
    """State belongs to an owner, never to a module; a table is Final."""
    for node in _module_statements(source.tree.body):
        final = isinstance(node, ast.AnnAssign) and "Final" in {_last_name(n) for n in ast.walk(node.annotation)}
        exports = isinstance(node, ast.Assign) and [_last_name(target) for target in node.targets] == ["__all__"]
        if isinstance(node, ast.Assign | ast.AnnAssign) and not (final or exports) and _is_mutable(node.value):
            yield source.fault(node, "module-level mutable state; a table that never changes is Final")
    for statement in source.nodes:
        if isinstance(statement, ast.Global):
            yield source.fault(statement, f"global {', '.join(statement.names)}: module-level state")


def unfinished_words(source: Source) -> Iterator[str]:
    """What is not done is not in the tree."""
    return _matches(source, UNFINISHED, "marks something unfinished")


def machine_words(source: Source) -> Iterator[str]:
    """The project is about itself: no path of a machine it was written on, no registry."""
    return _matches(source, MACHINE, "names a machine's path or a registry")


def _place(room: str) -> tuple[int, int] | None:
    """The line and the column of a room; None for an unknown one."""
    for row, line in enumerate(ROOMS):
        for column, place in enumerate(line.split("|")):
            if room in place.split():
                return row, column
    return None


def _imports(source: Source) -> Iterator[tuple[ast.AST, str]]:
    """Every imported name, absolute: `from a.b import c` is a.b.c."""
    package = list(PurePosixPath(source.path).parts[:-1])
    for node in source.nodes:
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            yield from ((node, f"{module}.{alias.name}") for alias in node.names)


def _public_definitions(body: list[ast.stmt]) -> Iterator[Function | ast.ClassDef]:
    for node in body:
        if isinstance(node, FUNCTIONS) and not node.name.startswith("_"):
            if not {"overload", "override", "setter"}.intersection(map(_last_name, node.decorator_list)):
                yield node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node
            yield from _public_definitions(node.body)


def _module_statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run on import, also under a module-level if, try, with, for or while."""
    for node in body:
        yield node
        if not isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            inner = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
            handled = [
                s for child in ast.iter_child_nodes(node) if isinstance(child, ast.ExceptHandler) for s in child.body
            ]
            yield from _module_statements(inner + handled)


def _is_mutable(value: ast.expr | None) -> bool:
    literal = ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
    return isinstance(value, literal) or (isinstance(value, ast.Call) and _last_name(value.func) in CONTAINERS)


def _does_nothing(statement: ast.stmt) -> bool:
    constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return constant or isinstance(statement, ast.Pass)


def _last_name(node: ast.AST) -> str:
    """The rightmost name of an expression: `defaultdict` for collections.defaultdict, `Final` for Final[int]."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(value=inner) | ast.Call(func=inner):
            return _last_name(inner)
        case _:
            return ""


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _matches(source: Source, pattern: re.Pattern[str], what: str) -> Iterator[str]:
    for number, line in enumerate(source.text.splitlines(), 1):
        found = pattern.search(line)
        if found:
            yield source.fault(number, f"{found[0]!r} {what}")
