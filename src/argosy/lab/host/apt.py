"""What apt-get says about its progress (pure).

`APT::Status-Fd` would be made for programs, but apt closes that descriptor for dpkg: with standard output as
the descriptor, maintainer scripts that print fail.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SUMMARY = re.compile(r"(\d+) upgraded, (\d+) newly installed, .*")
_PACKAGE = re.compile(
    r"Get:\d+ \S+ \S+ \S+ (?P<got>[^\s\[]+)|(?P<what>Unpacking|Setting up) (?P<package>[^\s(]+)"
)

STAGES = 3  # a package is fetched, unpacked, set up


@dataclass(frozen=True, slots=True)
class AptNews:
    """One line's news: `packages` is the number of packages if the line tells it, `note` what happens now."""

    packages: int | None = None
    note: str = ""


def parse_news(line: str) -> AptNews | None:
    """A line of apt-get's output in the locale C; None if it tells nothing of progress."""
    if summary := _SUMMARY.match(line):
        return AptNews(packages=int(summary[1]) + int(summary[2]))
    found = _PACKAGE.match(line)
    if found is None:
        return None
    if found["got"]:
        return AptNews(note=f"fetch {found['got']}")
    what = "unpack" if found["what"] == "Unpacking" else "set up"
    return AptNews(note=f"{what} {found['package']}")
