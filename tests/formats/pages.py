"""A page read strictly: what is not well formed is an error, and not mended."""

from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br"}
#: Of `pre` (WHATWG HTML, section 4.4.3): phrasing content, as far as we use it.
IN_LOG = {"span", "a", "progress"}


@dataclass
class Element:
    """An element with its children, which are elements and text."""

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list["Element | str"] = field(default_factory=list)

    @property
    def classes(self) -> set[str]:
        """The names of its classes."""
        return set(self.attributes.get("class", "").split())

    def all(self, name: str) -> list["Element"]:
        """Find the elements of a name, or of a class where it begins with a dot."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                if child.name == name or (name[1:] in child.classes and name.startswith(".")):
                    found.append(child)
                found += child.all(name)
        return found

    def one(self, name: str) -> "Element":
        """Find the only element of a name or class."""
        [found] = self.all(name)
        return found

    def text(self, *without: str) -> str:
        """Get the text, leaving out elements of these classes and what the style sheet hides."""
        parts = []
        for place, child in enumerate(self.children):
            if isinstance(child, str):
                parts.append(child)
            elif not child.classes & set(without) and not self._hides(place):
                parts.append(child.text(*without))
        return "".join(parts)

    def _hides(self, place: int) -> bool:
        child = self.children[place]
        assert isinstance(child, Element)
        follows = any(isinstance(other, Element) for other in self.children[place + 1 :])
        return "glimpse" in child.classes and follows


class _Reader(HTMLParser):
    """Builds the tree, and the source anew from what it understood."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.open = [Element("")]
        self.source = ""

    def handle_decl(self, decl: str) -> None:
        self.source += f"<!{decl}>"

    def handle_comment(self, data: str) -> None:
        assert "--" not in data
        self.source += f"<!--{data}-->"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names)
        self.source += self.get_starttag_text() or ""
        assert all(f'{name}="' in self.source or name == "autofocus" for name in names)
        if any(element.name == "pre" for element in self.open):
            assert tag in IN_LOG
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().name == tag
        self.source += f"</{tag}>"

    def handle_data(self, data: str) -> None:
        assert not set(data) & set("<&\0\r")
        self._text(data, data)

    def handle_entityref(self, name: str) -> None:
        self._text(f"&{name};", unescape(f"&{name};"))

    def handle_charref(self, name: str) -> None:
        self._text(f"&#{name};", unescape(f"&#{name};"))

    def _text(self, source: str, text: str) -> None:
        self.source += source
        self.open[-1].children.append(text)


def read_page(data: bytes) -> Element:
    """Read a whole page."""
    text = data.decode()
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert reader.source == text
    assert [element.name for element in reader.open] == [""]
    assert text.startswith("<!doctype html>\n")
    [page] = [child for child in reader.open[0].children if isinstance(child, Element)]
    assert page.name == "html"
    return page
