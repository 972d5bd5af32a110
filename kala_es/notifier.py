"""The notifier's port: tells somebody something once, and says what became of that.

Rules every adapter keeps (tests/conformance/test_notifier.py runs on each):
1. `delivered` means that the other side took it. Whatever else happens is a result too; `send` raises nothing.
2. The message's id goes with it, the same each time, so that who is told twice can know it.
3. Cancelled, it may or may not have been delivered.
"""

from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is to be told. `to` is `mailto:ADDRESS` or a URL; a URL is sent `body` alone, with `headers`."""

    id: str
    to: str
    subject: str
    body: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of it. `refused`: it will not do better next time. `status` is the other side's own number."""

    outcome: Literal["delivered", "failed", "refused"]
    status: int | None = None
    reason: str = ""


class Notifier(Protocol):
    """The port."""

    async def send(self, message: Message) -> Sent:
        """Tell it, in `limits.NOTICE_SECONDS` at most: the caller gives up then."""
