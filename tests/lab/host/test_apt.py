"""apt's status lines, taken from real runs."""

from __future__ import annotations

import pytest

from argosy.lab.host.apt import AptStatus, parse_status


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("dlstatus:1:20.0000:Retrieving file 1 of 5", AptStatus(0.1, "Retrieving file 1 of 5")),
        ("pmstatus:uidmap:50.0000:Unpacking uidmap (amd64)", AptStatus(0.75, "Unpacking uidmap (amd64)")),
        ("pmstatus:libc6:amd64:100:Installed libc6:amd64", AptStatus(1.0, "Installed libc6:amd64")),
        ("pmstatus:dpkg-exec:0.0000:Running dpkg", AptStatus(0.5, "Running dpkg")),
        ("E: Unable to locate package foo", None),
        ("Get:1 somewhere bookworm InRelease [151 kB]", None),
        ("", None),
    ],
)
def test_status_lines(line: str, status: AptStatus | None) -> None:
    assert parse_status(line) == status
