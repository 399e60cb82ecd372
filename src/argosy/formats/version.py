"""Release versions: MAJOR.MINOR.PATCH, where MAJOR counts the days since 2013-07-01, as CoreOS counted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from argosy.base.errors import InputError

EPOCH = date(2013, 7, 1)

_TEXT = re.compile(r"(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})")


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A release's version; versions sort by age."""

    major: int
    minor: int = 0
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def day(self) -> date:
        """The day that the major number stands for."""
        return EPOCH + timedelta(days=self.major)

    @property
    def epoch_s(self) -> int:
        """The time stamp of everything in the release: midnight (UTC) of its day, in seconds since 1970."""
        return int(datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC).timestamp())


def parse_version(text: str) -> Version:
    """`4891.0.0` as a `Version`. Raises `InputError` on anything else."""
    match = _TEXT.fullmatch(text)
    if not match:
        raise InputError(
            f"{text!r} is not a version", hint="a version is MAJOR.MINOR.PATCH, for example 4891.0.0"
        )
    return Version(*(int(part) for part in match.groups()))


def version_of_day(day: date) -> Version:
    """The first version of a day."""
    return Version((day - EPOCH).days)
