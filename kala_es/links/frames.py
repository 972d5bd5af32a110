"""Messages as bytes: a frame is its length (4 bytes, big-endian) and a CBOR map with the message's name under `type`.

What is no message of ours is refused by an exception, whatever the bytes: after it the connection cannot go on.
"""

from typing import Any, Final, Generic, TypeVar, get_args

import cbor2
import msgspec

from kala_es import limits
from kala_es.link import Message, ToAgent, ToNode, TooLarge

_LENGTH: Final = 4
Received = TypeVar("Received")


class Garbled(Exception):
    """What came is no frame of this link; the sentence says why."""


def encode(message: Message) -> bytes:
    """The frame of a message. Raises TooLarge."""
    plain = msgspec.to_builtins(message, builtin_types=(bytes,))
    try:
        content = cbor2.dumps(plain)
    except UnicodeEncodeError:  # a text with a byte that was no UTF-8, in a reason say
        content = cbor2.dumps(_speakable(plain))
    if len(content) > limits.MAX_FRAME_BYTES:
        raise TooLarge(f"{type(message).__name__} takes {len(content)} bytes, {limits.MAX_FRAME_BYTES} are allowed")
    return len(content).to_bytes(_LENGTH, "big") + content


def _speakable(plain: Any) -> Any:
    """The same with U+FFFD for what cannot be encoded."""
    match plain:
        case str():
            return plain.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        case list():
            return [_speakable(item) for item in plain]
        case dict():
            return {key: _speakable(value) for key, value in plain.items()}
        case _:
            return plain


class Frames(Generic[Received]):
    """Bytes as they come, cut into messages of one direction. Holds less than one frame besides what it was fed."""

    def __init__(self, *expected: type[Message]) -> None:
        self._expected = {kind.__name__: kind for kind in expected}
        """By name: to look for it in a union each time takes ten times as long as all the rest."""
        self._kept = bytearray()

    def feed(self, content: bytes) -> list[Received]:
        """The messages that are whole now. Raises Garbled."""
        self._kept += content
        found: list[Received] = []
        at = 0
        while len(self._kept) - at >= _LENGTH:
            end = at + _LENGTH + int.from_bytes(self._kept[at : at + _LENGTH], "big")
            if end - at - _LENGTH > limits.MAX_FRAME_BYTES:
                raise Garbled(f"a frame of {end - at - _LENGTH} bytes; {limits.MAX_FRAME_BYTES} are allowed")
            if len(self._kept) < end:
                break
            found.append(self._message(bytes(self._kept[at + _LENGTH : end])))
            at = end
        del self._kept[:at]
        return found

    def _message(self, content: bytes) -> Received:
        try:
            plain = cbor2.loads(content)
            message: Any = msgspec.convert(plain, self._expected[plain["type"]], builtin_types=(bytes,))
        except Exception as error:  # cbor2 raises many kinds for what is no CBOR
            raise Garbled(f"a frame that is no message: {type(error).__name__}: {error}") from error
        received: Received = message
        return received


def from_node() -> Frames[ToAgent]:
    """For the agent's end."""
    return Frames(*get_args(ToAgent))


def from_agent() -> Frames[ToNode]:
    """For the node's end."""
    return Frames(*get_args(ToNode))
