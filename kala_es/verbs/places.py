"""Files of values with the place of each: YAML, JSON and TOML, read so that a fault can be shown where it stands.

1. A trail is the keys and indices from the top; its place is the line and column of the value, and of its key.
2. Plain YAML scalars are what YAML 1.2's JSON schema makes of them: `no`, `12:30`, `0755` and dates are text.
3. A key given twice is refused. Aliases count as what they stand for, so a small file cannot be a large value.
4. How deep a text is nested is known before it is read: libyaml would end the process, tomllib take all memory.
"""

import json
import math
import re
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from kala_es import limits

Trail = tuple[str | int, ...]
Spot = tuple[int, int]
"""Line and column, from 1."""

_TAG: Final = "tag:yaml.org,2002:"
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_HEADER: Final = re.compile(r"\s*\[{1,2}(.+?)\]{1,2}\s*(?:#.*)?")
_PART: Final = r"""(?:[\w-]++|"(?:[^"\\]|\\.)*+"|'[^']*+')"""
_ENTRY: Final = re.compile(rf"\s*+({_PART}(?:\s*+\.\s*+{_PART})*+)\s*+=\s*+")
_TEXT: Final = re.compile(
    r"""\"{3}(?:[^\\]|\\.)*?(?:\"{3,5}|\Z)|'{3}.*?(?:'{3,5}|\Z)|"(?:[^"\\\n]|\\.)*+"?|'[^'\n]*+'?|\#[^\n]*+""",
    re.DOTALL,
)
"""Strings, which may be keys, and comments."""
_DOTTED: Final = re.compile(
    rf'(?<![\w"-])(?:[\w-]++|"++)(?:[ \t]*+\.[ \t]*+(?:[\w-]++|"++)){{{limits.MAX_FILE_DEPTH}}}'
)
"""A key of more parts than may be, where strings are nothing but quotes."""
_TOO_LARGE: Final = re.compile(r"\b(?:nan|inf)\b|[\d_.]+[eE]\+?\d{3,}|\d[\d_]{4000,}")
_NO_NUMBER: Final = "a number that is not finite, or too large"
_TOO_DEEP: Final = f"nested more than {limits.MAX_FILE_DEPTH} deep"


class Unreadable(Exception):
    """The text is wrong at a line and column."""

    def __init__(self, reason: str, spot: Spot) -> None:
        super().__init__(reason)
        self.spot = spot


@dataclass(frozen=True, slots=True)
class Placed:
    """A value, and where its parts and their keys stand."""

    value: Any
    spots: dict[Trail, Spot] = field(default_factory=dict)
    keys: dict[Trail, Spot] = field(default_factory=dict)

    def spot(self, path: Trail) -> Spot:
        """The place of the value at a path, or of the nearest around it."""
        while path and path not in self.spots:
            path = path[:-1]
        return self.spots.get(path, (1, 1))

    def key_spot(self, path: Trail) -> Spot:
        """The place of a key."""
        return self.keys.get(path) or self.spot(path)


def read(text: str, form: str) -> Placed:
    """Read a text of the form json, toml or yaml. Raises Unreadable."""
    if form == "toml":
        return _read_toml(text)
    if form != "json":
        return _read_yaml(text)
    try:
        value = json.loads(
            text, object_pairs_hook=_no_twice, parse_constant=_no_constant, parse_float=_float, parse_int=_int
        )
    except json.JSONDecodeError as error:
        raise Unreadable(error.msg, (error.lineno, error.colno)) from None
    except (ValueError, RecursionError) as error:
        _json_places(text)  # it may know where
        raise Unreadable(str(error), (1, 1)) from None
    _check_brackets(text, _without_strings(text))
    with suppress(Unreadable):
        places = _json_places(text)
        return Placed(value, places.spots, places.keys)
    return Placed(value)


def _json_places(text: str) -> Placed:
    """JSON is YAML, but for tabs between values, and characters that are no matter here."""
    return _read_yaml(text.replace("\t", " "))


def _no_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is given twice")
    return found


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _float(text: str) -> float:
    """A number that can be sent as JSON. Raises ValueError."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(_NO_NUMBER)
    return number


def _int(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(_NO_NUMBER) from None


def _read_yaml(text: str) -> Placed:
    try:
        _check_depth(text)
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Unreadable(error.problem or "not YAML", (mark.line + 1, mark.column + 1) if mark else (1, 1)) from None
    except yaml.YAMLError as error:
        raise Unreadable(str(error).splitlines()[0], (1, 1)) from None
    walk = _Walk()
    return Placed(None if node is None else walk.value(node, ()), walk.spots, walk.keys)


def _check_depth(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > limits.MAX_FILE_DEPTH + 1:
                raise Unreadable(_TOO_DEEP, _spot(event))
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


class _Walk:
    """Makes values of YAML's nodes, and notes where they stand."""

    def __init__(self) -> None:
        self.spots: dict[Trail, Spot] = {}
        self.keys: dict[Trail, Spot] = {}
        self._left = limits.MAX_FILE_VALUES
        self._seen: set[int] = set()
        self._left_of_aliases = limits.MAX_ALIASED_VALUES
        self._merging: list[yaml.Node] = []

    def value(self, node: yaml.Node, path: Trail) -> Any:
        spot = self.spots.setdefault(path, _spot(node))
        self._left -= 1
        if self._left < 0:
            raise Unreadable(f"more than {limits.MAX_FILE_VALUES} values, aliases expanded", spot)
        if len(path) > limits.MAX_FILE_DEPTH:
            raise Unreadable(_TOO_DEEP, spot)
        self._count_alias(node, spot)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
        return _scalar(node)

    def _count_alias(self, node: yaml.Node, spot: Spot) -> None:
        self._left_of_aliases -= id(node) in self._seen
        if self._left_of_aliases < 0:
            raise Unreadable(f"aliases stand for more than {limits.MAX_ALIASED_VALUES} values", spot)
        self._seen.add(id(node))

    def _mapping(self, node: yaml.MappingNode, path: Trail) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                merged = {**self._merged(value_node, path), **merged}
                continue
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode):
                raise Unreadable("a key must be text", _spot(key_node))
            if key in own:
                raise Unreadable(f"the key {key!r} is given twice", _spot(key_node))
            self.keys[*path, key] = _spot(key_node)
            self.spots.pop((*path, key), None)
            own[key] = self.value(value_node, (*path, key))
        return {**merged, **own}

    def _merged(self, node: yaml.Node, path: Trail) -> dict[str, Any]:
        """What `<<` brings: a mapping, or a list of them, of which the first counts most."""
        merged: dict[str, Any] = {}
        for each in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(each, yaml.MappingNode):
                raise Unreadable("<< takes a mapping, or a list of mappings", _spot(node))
            if each in self._merging:
                raise Unreadable("<< takes in the mapping that it stands in", _spot(node))
            self._merging.append(each)
            merged = {**self.value(each, path), **merged}
            self._merging.pop()
        return merged


def _spot(node: yaml.Node | yaml.Event) -> Spot:
    mark = node.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _scalar(node: yaml.Node) -> Any:
    text, tag = str(node.value), str(node.tag).removeprefix(_TAG)
    if tag == "bool" and text in ("true", "false"):
        return text == "true"
    if tag == "null":
        return None
    try:
        if tag == "int" and _INTEGER.fullmatch(text):
            return _int(text)
        if tag in ("int", "float") and _NUMBER.fullmatch(text):
            return _float(text)
    except ValueError as error:
        raise Unreadable(str(error), _spot(node)) from None
    if tag in ("str", "bool", "int", "float", "timestamp", "value", "merge"):
        return text
    raise Unreadable(f"a value of the kind {node.tag} has no place here", _spot(node))


def _read_toml(text: str) -> Placed:
    flat = _without_strings(text)
    _check_brackets(text, flat)
    if dotted := _DOTTED.search(flat):
        raise Unreadable(_TOO_DEEP, _spot_at(text, dotted.start()))
    try:
        value = tomllib.loads(text, parse_float=_float)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        spot = (int(found[1]), int(found[2])) if found else (len(text.splitlines()) or 1, 1)
        raise Unreadable(str(error).split(" (at ")[0], spot) from None
    except ValueError:
        number = _TOO_LARGE.search(flat)
        raise Unreadable(_NO_NUMBER, _spot_at(text, number.start() if number else 0)) from None
    placed = Placed(value)
    for path, key, spot in _toml_entries(text):
        placed.keys.setdefault(path, key)
        placed.spots.setdefault(path, spot)
    return placed


def _without_strings(text: str) -> str:
    """The same length of text, strings being nothing but quotes and comments nothing but spaces."""
    return _TEXT.sub(lambda found: (" " if found[0][0] == "#" else '"') * len(found[0]), text)


def _check_brackets(text: str, flat: str) -> None:
    depth = 0
    for bracket in re.finditer(r"[\[\]{}]", flat):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > limits.MAX_FILE_DEPTH + 1:
            raise Unreadable(_TOO_DEEP, _spot_at(text, bracket.start()))


def _spot_at(text: str, offset: int) -> Spot:
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def _toml_entries(text: str) -> Iterator[tuple[Trail, Spot, Spot]]:
    """The headers and keys that begin a line, with the places of key and value; what tomllib does not tell."""
    table: Trail = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.fullmatch(line):
            table = _toml_path(header[1]) or table
            yield table, (number, header.start(1) + 1), (number, header.start(1) + 1)
        elif entry := _ENTRY.match(line):
            path = _toml_path(entry[1])
            if path:
                yield (*table, *path), (number, entry.start(1) + 1), (number, entry.end() + 1)


def _toml_path(key: str) -> Trail:
    try:
        here: Any = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    path: list[str] = []
    while isinstance(here, dict):
        ((name, here),) = here.items()
        path.append(name)
    return tuple(path)
