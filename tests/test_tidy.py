"""The style is a test: every rule of `tidy_rules.py` holds in the tree, and every rule can fail.

A fault reads "path:line: what is wrong".
"""

import subprocess
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests import tidy_rules as rules
from tests.tidy_rules import Source

ROOT: Final = Path(__file__).resolve().parents[1]
MACHINE_PATH: Final = "/".join(["", "work", "main"])
UNFINISHED: Final = "TO" + "DO"

Rule = Callable[[Source], Iterator[str]]

# rule -> where it holds
RULES: Final[dict[Rule, tuple[str, ...]]] = {
    rules.layers: ("kala_es/",),
    rules.purity: ("kala_es/domain/", "kala_es/dialects/"),
    rules.module_size: ("kala_es/", "tools/", "tests/"),
    rules.function_size: ("kala_es/", "tools/"),
    rules.positional_parameters: ("kala_es/",),
    rules.port_size: ("kala_es/",),
    rules.docstrings: ("kala_es/",),
    rules.names: ("kala_es/", "tools/"),
    rules.swallowed_errors: ("kala_es/", "tools/"),
    rules.module_state: ("kala_es/",),
    rules.unfinished_words: ("kala_es/", "tests/", "tools/", "docs/"),
    rules.machine_words: ("",),
}
WORD_RULES: Final = (rules.unfinished_words, rules.machine_words)

DOMAIN = "kala_es/domain/x.py"
PORT = "kala_es/event_log.py"
METHODS = "".join(f"\n    def m{i}(self): ..." for i in range(6))

# rule, path, source that breaks it, what the fault says
BAD: Final = [
    (rules.layers, DOMAIN, "from kala_es.clock import Clock", "domain must not import clock"),
    (rules.layers, DOMAIN, "import kala_es.web.app", "domain must not import web"),
    (rules.layers, DOMAIN, "def f():\n    from kala_es import node", ":2: domain must not import node"),
    (rules.layers, "kala_es/web/app.py", "from ..node import Node", "web must not import node"),
    (rules.layers, "kala_es/runtime/__init__.py", "from ..agent import link", "runtime must not import agent"),
    (rules.layers, "kala_es/codec.py", "from kala_es.archive import x", "codec must not import archive"),
    (rules.layers, "kala_es/clock.py", "from kala_es.codec import x", "clock must not import codec"),
    (rules.layers, "kala_es/__init__.py", "from kala_es.domain import ids", "kala_es must not import domain"),
    (rules.layers, "kala_es/attic/x.py", "", "attic is no room"),
    (rules.layers, "kala_es/cli.py", "import kala_es.attic", "attic is no room"),
    (rules.purity, DOMAIN, "import os", "os is not pure"),
    (rules.purity, DOMAIN, "import urllib.request", "urllib.request is not pure"),
    (rules.purity, DOMAIN, "from trio import sleep", "trio.sleep is not pure"),
    (rules.purity, DOMAIN, "from uuid import uuid4", "uuid.uuid4 is not pure"),
    (rules.purity, DOMAIN, "import uuid\nx = uuid.uuid4()", ":2: uuid4() is not pure"),
    (rules.purity, DOMAIN, "f(default_factory=datetime.now)", "now is not pure"),
    (rules.purity, DOMAIN, "date.today()", "today() is not pure"),
    (rules.purity, DOMAIN, "def f():\n    open('x')", ":2: open() is not pure"),
    (rules.purity, DOMAIN, "print('x')", "print() is not pure"),
    (rules.module_size, DOMAIN, "x = 1\n" * 401, ":401: 401 lines"),
    (rules.module_size, "tests/test_x.py", "x = 1\n" * 601, ":601: 601 lines"),
    (rules.function_size, DOMAIN, "def f():\n" + "    x = 1\n" * 50, "f has 51 lines"),
    (rules.function_size, DOMAIN, "class C:\n    async def f():\n" + "        x = 1\n" * 50, ":2: f has 51 lines"),
    (rules.positional_parameters, DOMAIN, "def f(a, b, /, c, d): ...", "f takes 4 positional"),
    (rules.positional_parameters, DOMAIN, "class C:\n    def f(self, a, b, c, d): ...", "f takes 4 positional"),
    (
        rules.positional_parameters,
        DOMAIN,
        "class C:\n    @staticmethod\n    def f(a, b, c, d): ...",
        "takes 4 positional",
    ),
    (rules.port_size, PORT, "class Log(Protocol):" + METHODS, "Log has 6 methods"),
    (rules.port_size, PORT, "class Log(typing.Protocol[T]):" + METHODS, "Log has 6 methods"),
    (rules.docstrings, DOMAIN, "x = 1", "the module has no docstring"),
    (rules.docstrings, DOMAIN, "'''M.'''\ndef f(): ...", ":2: f has no docstring"),
    (rules.docstrings, DOMAIN, "'''M.'''\nclass C: ...", "C has no docstring"),
    (
        rules.docstrings,
        DOMAIN,
        "'''M.'''\nclass C:\n    '''C.'''\n    async def f(self): ...",
        ":4: f has no docstring",
    ),
    (rules.names, "kala_es/web/job_manager.py", "", "named manager says nothing"),
    (rules.names, "kala_es/utils/x.py", "", "named utils says nothing"),
    (rules.swallowed_errors, DOMAIN, "try:\n    f()\nexcept:\n    g()", ":3: a bare except"),
    (rules.swallowed_errors, DOMAIN, "try:\n    f()\nexcept OSError:\n    pass", ":3: the error is swallowed"),
    (rules.swallowed_errors, DOMAIN, "try:\n    f()\nexcept* OSError:\n    '''Fine.'''", ":3: the error is swallowed"),
    (rules.swallowed_errors, DOMAIN, "with suppress(OSError, Exception): f()", "suppress(Exception) swallows"),
    (rules.swallowed_errors, DOMAIN, "with contextlib.suppress(): f()", "suppress() swallows"),
    (rules.module_state, DOMAIN, "cache = {}", "module-level mutable state"),
    (rules.module_state, DOMAIN, "cache: dict[str, int] = {}", "module-level mutable state"),
    (rules.module_state, DOMAIN, "x = collections.defaultdict(list)", "module-level mutable state"),
    (rules.module_state, DOMAIN, "try:\n    f()\nexcept OSError:\n    x = []", ":4: module-level mutable state"),
    (rules.module_state, DOMAIN, "def f():\n    global x", ":2: global x"),
    (rules.unfinished_words, "docs/x.md", f"good\n{UNFINISHED}: more", f":2: '{UNFINISHED}'"),
    (rules.machine_words, "README.md", f"cd {MACHINE_PATH}", "a machine's path"),
    (rules.machine_words, "requirements.txt", "-" + "-index-url x", "or a registry"),
    (rules.machine_words, "requirements.txt", "https://pypi" + ".org/simple", "or a registry"),
]

# rule, path, source it must let pass
GOOD: Final = [
    (rules.layers, "kala_es/cli.py", "from kala_es import __version__\nimport kala_es, trio\nfrom kala_es import node"),
    (
        rules.layers,
        "kala_es/web/app.py",
        "from . import auth\nfrom kala_es.web.auth import x\nfrom ..domain import ids",
    ),
    (rules.layers, "kala_es/clock.py", "from kala_es.limits import X\nfrom .event_log import EventLog"),
    (rules.layers, "kala_es/agent/link.py", "from ..executor import Order\nfrom kala_es.executors.shell import Shell"),
    (
        rules.purity,
        DOMAIN,
        "from collections.abc import Iterable\nfrom uuid import UUID, uuid5\nfrom urllib.parse import quote",
    ),
    (rules.purity, DOMAIN, "def f(now, command):\n    return now - command.now"),
    (rules.module_size, DOMAIN, "x = 1\n" * 400),
    (rules.function_size, DOMAIN, "def f():\n" + "    x = 1\n" * 49),
    (
        rules.positional_parameters,
        DOMAIN,
        "class C:\n    def f(self, a, b, c, *, d): ...\n    def __init__(self, a, b, c, d): ...",
    ),
    (rules.port_size, PORT, "class Log(Protocol):" + METHODS.replace("m5", "_m5")),
    (rules.port_size, "kala_es/actor.py", "class Actor(Protocol):" + METHODS),
    (rules.docstrings, DOMAIN, "'''M.'''\ndef _f(): ...\nclass C:\n    '''C.'''\n    def __init__(self): ..."),
    (rules.names, "kala_es/dialects/metadata.py", ""),
    (rules.swallowed_errors, DOMAIN, "try:\n    f()\nexcept OSError:\n    x = 1\nwith suppress(OSError): f()"),
    (
        rules.module_state,
        DOMAIN,
        "__all__ = []\nX: Final = {}\nY: Final[dict[str, int]] = {}\nZ = (1,)\ndef f():\n    x = []",
    ),
    (rules.unfinished_words, "docs/x.md", UNFINISHED.lower() + " hackney"),
    (
        rules.machine_words,
        "docs/x.md",
        "see docs/work/x, https://example.com/root/ and pip-compile --no-emit-index-url",
    ),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_tree_is_tidy(rule: Rule) -> None:
    sources = [source for source in tree() if source.path.startswith(RULES[rule])]
    if rule not in WORD_RULES:
        sources = [source for source in sources if source.path.endswith(".py")]
    assert sources, "the rule looked at nothing"
    faults = [fault for source in sources for fault in rule(source)]
    if faults:
        pytest.fail(f"{rule.__doc__}\n" + "\n".join(faults), pytrace=False)


@pytest.mark.parametrize(("rule", "path", "text", "says"), BAD)
def test_a_fault_is_found(rule: Rule, path: str, text: str, says: str) -> None:
    faults = list(rule(Source(path, text)))
    assert any(says in fault for fault in faults), faults
    assert all(fault.startswith(f"{path}:") for fault in faults)


@pytest.mark.parametrize(("rule", "path", "text"), GOOD)
def test_good_style_passes(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source(path, text))) == []


def test_every_rule_is_run_and_proven() -> None:
    public = {rule for name, rule in vars(rules).items() if is_rule(name, rule)}
    assert public == set(RULES) == {sample[0] for sample in BAD} == {sample[0] for sample in GOOD}


def is_rule(name: str, thing: object) -> bool:
    """Rules are the public functions that `tidy_rules` itself defines."""
    return callable(thing) and getattr(thing, "__module__", "") == rules.__name__ and name.islower() and name[0] != "_"


@cache
def tree() -> tuple[Source, ...]:
    """Every text file that is tracked or would be if added."""
    return tuple(read(listed()))


def listed() -> Iterable[str]:
    """Paths from the root. Outside a clone (an unpacked archive) all files but hidden folders' and caches'."""
    git = ["git", "-C", str(ROOT), "ls-files", "-coz", "--exclude-standard"]
    answer = subprocess.run(git, capture_output=True, text=True, check=False)
    if answer.returncode == 0:
        return sorted(filter(None, answer.stdout.split("\0")))
    every = (path.relative_to(ROOT) for path in sorted(ROOT.rglob("*")))
    return [path.as_posix() for path in every if not {".venv", ".git", "__pycache__"}.intersection(path.parts)]


def read(paths: Iterable[str]) -> Iterator[Source]:
    """The files that are text; one deleted meanwhile is not there."""
    for path in paths:
        file = ROOT / path
        content = file.read_bytes() if file.is_file() else b"\0"
        if b"\0" not in content:
            yield Source(path, content.decode("utf-8", "replace"))
