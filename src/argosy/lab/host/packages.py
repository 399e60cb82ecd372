"""The list of host packages, `packages/debian.txt`: `[section]` lines, `name  # why` lines, comments."""

from __future__ import annotations

import re

from argosy.base.errors import InputError, Location
from argosy.lab.host.model import PackageList, Section

# Debian Policy 5.6.1: lower case letters, digits, plus, minus and full stops; at least two characters.
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")


def parse_packages(text: str, *, source: str) -> PackageList:
    """The package names of each section, in their order. Raises `InputError` with the line at fault."""
    found: dict[Section, list[str]] = {section: [] for section in Section}
    current: list[str] | None = None
    for number, raw in enumerate(text.splitlines(), 1):
        line, _, why = (part.strip() for part in raw.partition("#"))
        where = Location(source, number)
        if not line:
            continue
        if line.startswith("["):
            current = found[_section(line, where)]
        elif current is None:
            raise InputError("a package before the first [section]", where=where)
        elif not _NAME.fullmatch(line):
            raise InputError(f"{line!r} is not a package name", where=where)
        elif not why:
            raise InputError(f"{line} lacks its reason", where=where, hint=f"{line}  # what needs it")
        else:
            current.append(line)
    return {section: tuple(dict.fromkeys(names)) for section, names in found.items()}


def _section(line: str, where: Location) -> Section:
    for section in Section:
        if line == f"[{section}]":
            return section
    raise InputError(
        f"{line} is not a section", where=where, hint=f"sections: {', '.join(f'[{s}]' for s in Section)}"
    )
