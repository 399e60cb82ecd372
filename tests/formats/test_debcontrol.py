"""Debian's list of installed packages."""

from __future__ import annotations

from argosy.formats.debcontrol import Package, parse_status

STATUS = """\
Package: zlib1g
Status: install ok installed
Architecture: amd64
Source: zlib
Version: 1:1.3.dfsg+really1.3.1-1
Description: compression library - runtime
 Continued, with a line
 Version: that is none

Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc (2.41-12)
Version: 2.41-12+b1
Homepage: https://www.gnu.org/software/libc/

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1

"""


def test_installed_packages_with_their_sources() -> None:
    libc, zlib = parse_status(STATUS)
    assert libc == Package(
        "libc6",
        "2.41-12+b1",
        "amd64",
        source="glibc",
        source_version="2.41-12",
        homepage="https://www.gnu.org/software/libc/",
    )
    assert (zlib.name, zlib.source, zlib.source_version) == ("zlib1g", "zlib", "1:1.3.dfsg+really1.3.1-1")
    assert zlib.summary == "compression library - runtime"


def test_no_packages() -> None:
    assert parse_status("") == ()
