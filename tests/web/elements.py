"""A page of the web UI as its elements: enough of HTML to ask what is on it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final

_VOID: Final = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


@dataclass
class Element:
    """An element, its attributes, and what is within it."""

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list["Element | str"] = field(default_factory=list)
    parent: "Element | None" = None

    def __getitem__(self, attribute: str) -> str:
        return self.attributes[attribute]

    @property
    def text(self) -> str:
        """What it says, white space as a browser shows it."""
        parts = (each if isinstance(each, str) else each.text for each in self.children)
        return " ".join(" ".join(parts).split())

    def all(self, name: str = "", **attributes: str) -> list["Element"]:
        """Those within it, of a name and with these attributes; `_` in an attribute's name stands for a hyphen."""
        wanted = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
        return [
            each
            for each in self.walk()
            if name in ("", each.name) and all(each.attributes.get(key) == value for key, value in wanted.items())
        ]

    def one(self, name: str = "", **attributes: str) -> "Element":
        """The only one of these."""
        (found,) = self.all(name, **attributes)
        return found

    def walk(self) -> Iterator["Element"]:
        """Every element within it."""
        for each in self.children:
            if isinstance(each, Element):
                yield each
                yield from each.walk()

    def within(self, name: str) -> bool:
        """Whether it is within an element of this name."""
        return self.parent is not None and (self.parent.name == name or self.parent.within(name))


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = self._here = Element("")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = Element(tag, {key: value or "" for key, value in attrs}, parent=self._here)
        self._here.children.append(made)
        if tag not in _VOID:
            self._here = made

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._here.children.append(Element(tag, {key: value or "" for key, value in attrs}, parent=self._here))

    def handle_endtag(self, tag: str) -> None:
        here: Element | None = self._here
        while here is not None and here.name != tag:
            here = here.parent
        if here is not None and here.parent is not None:
            self._here = here.parent

    def handle_data(self, data: str) -> None:
        self._here.children.append(data)


def read(text: str) -> Element:
    """The page's root."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return reader.root
