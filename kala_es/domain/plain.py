"""Frozen values as maps of plain ones (str, int, bool, bytes, None, list, map), and back."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache, partial
from typing import Any, cast, get_args, get_origin, get_type_hints


def to_plain(value: Any) -> dict[str, Any]:
    """A frozen dataclass as a map of plain values; fields at their default are left out."""
    plain: dict[str, Any] = {}
    for name, default, nested in _layout(type(value)):  # type: ignore[arg-type]
        content = getattr(value, name)
        if content is default or content == default:
            continue
        plain[name] = nested.dump(content) if nested else content
    return plain


def from_plain(kind: type[Any], plain: Mapping[str, Any]) -> Any:
    """The reverse of `to_plain`. Lists become tuples; an unknown key is refused (TypeError)."""
    values = dict(plain)
    for name, _, nested in _layout(kind):  # type: ignore[arg-type]
        if nested and name in values:
            values[name] = nested.load(values[name])
    return kind(**values)


@dataclass(frozen=True, slots=True)
class _Nested:
    """How a field that is not a plain value is dumped and loaded."""

    dump: Callable[[Any], Any]
    load: Callable[[Any], Any]


@cache
def _layout(kind: Hashable) -> tuple[tuple[str, Any, _Nested | None], ...]:
    hints = get_type_hints(kind)
    return tuple((f.name, _default(f), _nested(hints[f.name])) for f in fields(cast("type[Any]", kind)))


def _default(f: Field[Any]) -> Any:
    return f.default_factory() if f.default_factory is not MISSING else f.default


def _nested(hint: Any) -> _Nested | None:
    """Dataclasses become maps, tuples become lists, all else stays."""
    if is_dataclass(hint) and isinstance(hint, type):
        return _Nested(to_plain, partial(from_plain, hint))
    options = [h for h in get_args(hint) if h is not type(None)] if get_origin(hint) is not tuple else []
    if len(options) == 1 and get_origin(options[0]) is tuple:
        return _nested(options[0])
    if get_origin(hint) is not tuple:
        return None
    items = [h for h in get_args(hint) if h is not Ellipsis]
    inner = _nested(items[0]) if len(items) == 1 else None
    if inner:
        return _Nested(
            lambda v: None if v is None else [inner.dump(x) for x in v],
            lambda v: None if v is None else tuple(inner.load(x) for x in v),
        )
    return _Nested(_lists, _tuples)


def _lists(value: Any) -> Any:
    return [_lists(v) for v in value] if isinstance(value, tuple) else value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
