"""Which version a build makes, and whether it is there already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from argosy.formats.version import Version


@dataclass(frozen=True, slots=True)
class Choice:
    """`reuse`: the release of this version is there, made from the same inputs."""

    version: Version
    reuse: bool
    reason: str


def choose_version(
    existing: Mapping[Version, str], digest: str, *, wanted: Version | None, today: Version
) -> Choice:
    """Decide. `existing` maps the releases that are there to the digests of their inputs."""
    if wanted is not None:
        same = existing.get(wanted) == digest
        return Choice(wanted, same, "it is there" if same else "it was asked for")
    made = [version for version, inputs in existing.items() if inputs == digest]
    if made:
        return Choice(max(made), True, "nothing changed since")
    patches = [version.patch for version in existing if replace(version, patch=0) == today]
    if not patches:
        return Choice(today, False, "the first one of the day")
    return Choice(replace(today, patch=max(patches) + 1), False, "something changed today")
