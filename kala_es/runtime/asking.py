"""What a request brings beside its command: who asks, its idempotency key, and what to remember as the answer."""

from dataclasses import dataclass
from hashlib import blake2b

from kala_es import limits
from kala_es.domain.errors import Invalid
from kala_es.domain.events import RequestAnswered
from kala_es.domain.ids import Instant


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


def receipt_of(origin: Origin, at: Instant) -> RequestAnswered | None:
    """What is recorded of the answer to a request with a key. Raises Invalid when it is too long to be kept."""
    key, answer = origin.key, origin.answer
    if key is None or answer is None:
        return None
    if len(answer.body) > limits.MAX_RECEIPT_BYTES:
        reason = f"the answer has {len(answer.body)} bytes; at most {limits.MAX_RECEIPT_BYTES} are kept to be repeated"
        raise Invalid("Idempotency-Key", reason)
    return RequestAnswered(
        at=at,
        key=key.key,
        fingerprint=key.fingerprint,
        status=answer.status,
        headers=answer.headers,
        body=answer.body,
    )
