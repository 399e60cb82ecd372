"""Debian's list of installed packages, /var/lib/dpkg/status: paragraphs of fields, deb822(5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """An installed binary package and the source package that it was built from."""

    name: str
    version: str
    architecture: str
    source: str
    source_version: str
    homepage: str = ""
    summary: str = ""


def parse_status(text: str) -> tuple[Package, ...]:
    """The packages that are installed, sorted."""
    found = []
    for fields in _paragraphs(text):
        if fields.get("Status", "").endswith(" installed"):
            found.append(_package(fields))
    return tuple(sorted(found))


def _package(fields: dict[str, str]) -> Package:
    name, version = fields["Package"], fields["Version"]
    # `Source: name` or `Source: name (version)`; absent if both are the package's own.
    source, _, rest = fields.get("Source", name).partition(" ")
    return Package(
        name,
        version,
        fields.get("Architecture", ""),
        source,
        rest.strip("()") or version,
        fields.get("Homepage", ""),
        fields.get("Description", ""),
    )


def _paragraphs(text: str) -> Iterator[dict[str, str]]:
    """Each paragraph's fields; of a field of several lines only the first is kept."""
    for paragraph in text.split("\n\n"):
        fields = {}
        for line in paragraph.splitlines():
            if line and not line[0].isspace():
                name, _, value = line.partition(":")
                fields[name] = value.strip()
        if "Package" in fields:
            yield fields
