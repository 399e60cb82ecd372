"""What a host is and what can be done to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias


class Section(StrEnum):
    """Sections of the list of host packages."""

    RUN = "run"
    TESTS = "tests"


PackageList: TypeAlias = Mapping[Section, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class SubordinateRange:
    """A line of subuid(5) or subgid(5): `owner` (name or number) may use `count` ids from `start` on."""

    owner: str
    start: int
    count: int


@dataclass(frozen=True, slots=True)
class Host:
    """What was observed. `os_id` and `os_version` are ID and VERSION_ID of os-release(5), "" if absent."""

    os_id: str
    os_version: str
    os_name: str
    uid: int
    user: str
    has_sudo: bool
    installed: frozenset[str]
    known: frozenset[str] = frozenset()
    """Of the packages that are not installed: those that apt could install by its lists of today."""
    is_dpkg_interrupted: bool = False
    subuids: tuple[SubordinateRange, ...] = ()
    subgids: tuple[SubordinateRange, ...] = ()
    kvm_refused: bool = False
    """/dev/kvm exists, but this user may not open it."""


@dataclass(frozen=True, slots=True)
class FinishInstallation:
    """Let dpkg finish what was interrupted."""

    reason: str


@dataclass(frozen=True, slots=True)
class UpdateLists:
    """Fetch the lists of packages."""

    reason: str


@dataclass(frozen=True, slots=True)
class Install:
    """Install packages."""

    packages: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class AddSubordinateIds:
    """Give `user` the ids `start` to `start + count - 1` in the file named by `kind`: subuid or subgid."""

    user: str
    kind: str
    start: int
    count: int
    reason: str


Action: TypeAlias = FinishInstallation | UpdateLists | Install | AddSubordinateIds


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, in this order, and what a person should know."""

    actions: tuple[Action, ...] = ()
    advice: tuple[str, ...] = field(default=())
