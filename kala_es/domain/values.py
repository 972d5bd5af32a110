"""Frozen values: the one base of everything that is decided, folded or stored, and its plain form.

A value has named fields only, is compared by them and never changes. It holds no reference to what could hold it,
so the garbage collector need not look at it. Its plain form is a map of str, int, float, bool, bytes, None, lists and
maps, with the fields at their default left out.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
import msgspec.inspect
from msgspec.structs import replace

__all__ = ["Value", "from_plain", "pack", "replace", "to_plain", "unpack"]

Kind = TypeVar("Kind", bound="Value")


class Value(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """Derive with `frozen=True`; the fields are the class's annotations."""


def to_plain(value: Value) -> dict[str, Any]:
    """A value as a map of plain ones."""
    plain: dict[str, Any] = msgspec.to_builtins(value, builtin_types=(bytes,))
    return plain


def from_plain(kind: type[Kind], plain: Mapping[str, Any]) -> Kind:
    """The reverse of `to_plain`. Raises ValueError, naming the field, when it is not of this kind."""
    return msgspec.convert(plain, kind, builtin_types=(bytes,)) if _has_bytes(kind) else msgspec.convert(plain, kind)


@lru_cache(maxsize=1024)
def _has_bytes(kind: type[Value]) -> bool:
    """Whether there are bytes anywhere in it: else they need not be named, which would take more time than the rest."""
    return "BytesType" in repr(msgspec.inspect.type_info(kind))


def pack(value: Value) -> bytes:
    """A value as bytes, for what is rebuilt when their form changes: it is this version's own."""
    return msgspec.msgpack.encode(value)


def unpack(kind: type[Kind], packed: bytes) -> Kind:
    """The reverse of `pack`."""
    return msgspec.msgpack.decode(packed, type=kind)
