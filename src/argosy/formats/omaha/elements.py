"""XML elements and their attributes: read with limits, and written. Omaha uses nothing else of XML.

What could make a small document cost much, or reach out of it, is refused: a document type, other encodings
than UTF-8, deep nesting, very many elements.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from xml.parsers import expat

from argosy.base.errors import InputError, Location

_DEPTH = 16
_ELEMENTS = 2000
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\n": "&#10;", "\t": "&#9;"})
# What XML 1.0 cannot hold, not even escaped, is written as the replacement character.
_ESCAPES |= dict.fromkeys((*range(9), *range(11, 32), 0xFFFE, 0xFFFF), "\ufffd")
_ESCAPES |= dict.fromkeys(range(0xD800, 0xE000), "\ufffd")


@dataclass(slots=True)
class Element:
    """An element; text between elements means nothing to Omaha and is passed over."""

    name: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)

    def child(self, name: str) -> Element | None:
        """The first child of this name."""
        for child in self.children:
            if child.name == name:
                return child
        return None

    def all(self, name: str) -> Iterable[Element]:
        """Every child of this name."""
        return (child for child in self.children if child.name == name)

    def number(self, name: str) -> int | None:
        """An attribute as a whole number; None if it is absent, empty or no number."""
        text = self.attributes.get(name, "")
        digits = text[1:] if text.startswith("-") else text
        return int(text) if digits.isdecimal() and len(digits) <= 18 else None

    def flag(self, name: str) -> bool:
        """An attribute as a truth value, in any of the spellings that are in use."""
        return self.attributes.get(name, "").lower() in ("1", "true")


class _RefusedError(Exception):
    pass


def parse(data: bytes, root: str, *, limit_bytes: int, source: str) -> Element:
    """The document's element, which must be called `root`. Raises `InputError`."""
    if len(data) > limit_bytes:
        raise InputError(f"more than {limit_bytes} bytes of XML", where=source)
    parser = expat.ParserCreate("UTF-8")
    tree = _Tree()
    parser.StartElementHandler = tree.start
    parser.EndElementHandler = tree.end
    parser.StartDoctypeDeclHandler = tree.doctype
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        where = Location(source, error.lineno, error.offset + 1)
        raise InputError(f"not XML: {expat.ErrorString(error.code)}", where=where) from error
    except _RefusedError as error:
        where = Location(source, parser.CurrentLineNumber, parser.CurrentColumnNumber + 1)
        raise InputError(str(error), where=where) from error
    finally:
        # The parser and the handlers would hold each other until the garbage collector comes.
        parser.StartElementHandler = parser.EndElementHandler = parser.StartDoctypeDeclHandler = None
    (found,) = tree.top.children
    if found.name != root:
        raise InputError(f"the document is a <{found.name[:40]}>, not a <{root}>", where=source)
    return found


def write(name: str, attributes: dict[str, str], *children: str) -> str:
    """An element as text; `children` are elements as text. Empty attributes are written too."""
    parts = [f"<{name}"]
    parts += [f' {key}="{value.translate(_ESCAPES)}"' for key, value in attributes.items()]
    if not children:
        parts.append("/>")
    else:
        parts += (">", *children, f"</{name}>")
    return "".join(parts)


def document(element: str) -> bytes:
    """A whole document."""
    return f"{_HEAD}{element}\n".encode()


class _Tree:
    def __init__(self) -> None:
        self.top = Element("", {})
        self._open = [self.top]
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > _ELEMENTS:
            raise _RefusedError(f"more than {_ELEMENTS} elements")
        if len(self._open) > _DEPTH:
            raise _RefusedError(f"elements nested more than {_DEPTH} deep")
        element = Element(name, attributes)
        self._open[-1].children.append(element)
        self._open.append(element)

    def end(self, _name: str) -> None:
        self._open.pop()

    def doctype(self, *_declaration: object) -> None:
        raise _RefusedError("a document type is not allowed")
