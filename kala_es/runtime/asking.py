"""What a request brings beside its command: who asks, its idempotency key, and what to remember as the answer."""

from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A request's idempotency key and the digest of what it asks."""

    key: str
    fingerprint: bytes

    @classmethod
    def of(cls, key: str, *asked: bytes) -> "Key":
        """The key of a request; `asked` is its method, path and body."""
        digest = blake2b(digest_size=16)
        for part in asked:
            digest.update(len(part).to_bytes(8, "big") + part)
        return cls(key=key, fingerprint=digest.digest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a client is told when its request is granted."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who asks, and what is to be remembered as the answer (both None without an idempotency key)."""

    principal: str = ""
    key: Key | None = None
    answer: Answer | None = None
