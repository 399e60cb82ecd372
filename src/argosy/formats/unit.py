"""systemd unit files as text and as a list of options, unit names, and fleet's hash of a unit.

Syntax: systemd.syntax(7). Order, repeated options and line continuations are kept, comments and blank lines
are not. The normal form and the hash are those of fleet 1.0 (go-systemd's `unit.Serialize`, SHA-1), so that
a hash that `fleetctl list-units` prints is the one that CoreOS printed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from argosy.base.errors import InputError, Location

# LONG_LINE_MAX in systemd's src/basic/fileio.h.
_MAX_LINE_CHARACTERS = 1 << 20
_MAX_NAME_CHARACTERS = 256
_NAME_CHARACTERS = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ:-_.\\@")

TEMPLATE_TYPES = frozenset(("path", "service", "socket", "target", "timer"))
UNIT_TYPES = TEMPLATE_TYPES.union(
    ["automount", "busname", "device", "mount", "scope", "slice", "snapshot", "swap"]
)


class Option(msgspec.Struct, frozen=True, gc=False):
    """One `Name=value` line of a section. A value of several lines keeps its backslashes and line ends."""

    section: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class UnitFile:
    """A parsed unit file: the options, and the line of each (from 1), for messages."""

    options: tuple[Option, ...]
    lines: tuple[int, ...]
    source: str

    def where(self, option: Option) -> Location:
        """The place of an option."""
        return Location(self.source, self.lines[self.options.index(option)])


def parse_unit(text: str, *, source: str) -> UnitFile:
    """Parse a unit file. `source` names it in errors. Raises `InputError` with the line."""
    options, lines = [], []
    section: str | None = None
    numbered = _numbered_lines(text, source)
    for number, line in numbered:
        stripped = line.strip()
        if not stripped:
            continue
        if stripped[0] in "#;":
            _skip_comment(line, numbered)
        elif stripped[0] == "[":
            section = _section(stripped, Location(source, number))
        elif section is None:
            raise InputError("text before the first [Section]", where=Location(source, number))
        else:
            name, separator, value = line.partition("=")
            if not separator or not name.strip():
                raise InputError(f"`{stripped}` is no NAME=VALUE line", where=Location(source, number))
            options.append(Option(section, name.strip(), _value(value, numbered)))
            lines.append(number)
    return UnitFile(tuple(options), tuple(lines), source)


def _numbered_lines(text: str, source: str) -> Iterable[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > _MAX_LINE_CHARACTERS:
            raise InputError(f"longer than {_MAX_LINE_CHARACTERS} characters", where=Location(source, number))
        if "\0" in line:
            raise InputError("a NUL character", where=Location(source, number))
        yield number, line.removesuffix("\r")


def _skip_comment(line: str, rest: Iterable[tuple[int, str]]) -> None:
    """A comment that ends in a backslash takes the next line with it."""
    lines = iter(rest)
    while line.removesuffix(" ").endswith("\\"):
        _, line = next(lines, (0, ""))


def _section(header: str, where: Location) -> str:
    name, bracket, rest = header[1:].partition("]")
    if not bracket or not name:
        raise InputError(f"`{header}` is no [Section] line", where=where)
    if rest.strip():
        raise InputError(f"text behind [{name}]: `{rest.strip()}`", where=where)
    return name


def _value(first: str, rest: Iterable[tuple[int, str]]) -> str:
    """The value that begins on this line, with its continuations; a blank line ends it."""
    lines = iter(rest)
    parts = [first]
    while parts[-1].endswith("\\"):
        following = next(lines, None)
        if following is None:
            return "\n".join(parts).strip()
        if not following[1].strip():
            return "\n".join(parts).strip() + "\n"
        parts.append(following[1])
    return "\n".join(parts).strip()


def serialize(options: Sequence[Option]) -> str:
    """The normal form: sections in the order of their first option, a blank line between them."""
    sections: dict[str, list[Option]] = {}
    for option in options:
        sections.setdefault(option.section, []).append(option)
    blocks = (
        f"[{section}]\n" + "".join(f"{option.name}={option.value}\n" for option in content)
        for section, content in sections.items()
    )
    return "\n".join(blocks)


def unit_hash(options: Sequence[Option]) -> str:
    """The 40 hexadecimal digits by which fleet knows a unit's content."""
    return hashlib.sha1(serialize(options).encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class UnitName:
    """The parts of a unit's name, here of `web@eu.service`."""

    full: str
    """`web@eu.service`"""
    stem: str
    """`web@eu`"""
    prefix: str
    """`web`"""
    type: str
    """`service`"""
    instance: str | None
    """`eu`; empty for a template, None for a name without an @"""

    @property
    def template(self) -> str | None:
        """`web@.service`; None for a name without an @."""
        return None if self.instance is None else f"{self.prefix}@.{self.type}"

    @property
    def is_template(self) -> bool:
        """Whether this is a template, which cannot run itself."""
        return self.instance == ""


def parse_name(name: str) -> UnitName:
    """Check a unit's name (systemd.unit(5)) and take it apart. Raises `InputError`."""
    problem = _name_problem(name)
    if problem:
        raise InputError(f"`{name}` is not a unit name: {problem}")
    stem, _, suffix = name.rpartition(".")
    prefix, at, instance = stem.partition("@")
    return UnitName(name, stem, prefix, suffix, instance if at else None)


def _name_problem(name: str) -> str | None:
    stem, dot, suffix = name.rpartition(".")
    strange = sorted(set(stem) - _NAME_CHARACTERS)
    if len(name) > _MAX_NAME_CHARACTERS:
        return f"longer than {_MAX_NAME_CHARACTERS} characters"
    if not dot or not stem:
        return "it has no type, such as .service"
    if suffix not in UNIT_TYPES:
        return f"`.{suffix}` is no type of unit"
    if "@" in stem and suffix not in TEMPLATE_TYPES:
        return f"a .{suffix} has no templates and instances"
    if strange:
        return f"it must not contain `{strange[0]}`"
    return "it begins with @" if name.startswith("@") else None
