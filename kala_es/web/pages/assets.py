"""The files that pages load: scripts, the style, the icon. Read once; their address has the digest of them all.

A page names them under the digest that it was made with, so they may be kept for ever; under another digest (a page
from before an update) what is there now is given, not to be kept. They stay in one folder, so that a script imports its
neighbours by `./name.js`.
"""

from dataclasses import dataclass
from hashlib import blake2b
from importlib.resources import files
from typing import Final

_KINDS: Final = {
    ".css": "text/css;charset=UTF-8",
    ".js": "text/javascript;charset=UTF-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A file as it is served."""

    content: bytes
    kind: str
    etag: str


class Assets:
    """All of them, by name."""

    def __init__(self) -> None:
        found = sorted(files("kala_es.web").joinpath("static").iterdir(), key=lambda file: file.name)
        whole = blake2b(digest_size=8)
        self._by_name: dict[str, Asset] = {}
        for file in found:
            kind = _KINDS.get(file.name[file.name.rfind(".") :])
            if kind is None:
                continue
            content = file.read_bytes()
            digest = blake2b(content, digest_size=8).hexdigest()
            whole.update(f"{file.name} {digest}\n".encode())
            self._by_name[file.name] = Asset(content=content, kind=kind, etag=f'"{digest}"')
        self.digest = whole.hexdigest()

    @property
    def names(self) -> tuple[str, ...]:
        """Which there are."""
        return tuple(self._by_name)

    def get(self, name: str) -> Asset | None:
        """A file, or None for a name that there is not."""
        return self._by_name.get(name)

    def address(self, name: str) -> str:
        """Where a page finds a file. Raises KeyError for one that there is not."""
        assert name in self._by_name, name
        return f"/webui/static/{self.digest}/{name}"
