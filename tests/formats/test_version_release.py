"""Versions and `release.json`."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.base.errors import InputError
from argosy.formats import release as release_format
from argosy.formats.release import Release, ReleaseFile, UsrImage
from argosy.formats.version import Version, parse_version, version_of_day

NUMBERS = st.integers(0, 99_999)
VERSIONS = st.builds(Version, st.integers(0, 9999), NUMBERS, NUMBERS)


@given(VERSIONS, VERSIONS)
def test_versions_read_as_written_and_sort_by_numbers(one: Version, other: Version) -> None:
    assert parse_version(str(one)) == one
    numbers = [[int(part) for part in str(version).split(".")] for version in (one, other)]
    assert (one < other) == (numbers[0] < numbers[1])


def test_days_are_counted_as_coreos_did() -> None:
    assert version_of_day(date(2017, 1, 19)) == Version(1298)
    assert Version(1298).day == date(2017, 1, 19)
    assert Version(1298, 5).epoch_s == 1484784000


@pytest.mark.parametrize(
    "text", ["", "1", "1.2", "1.2.3.4", "01.2.3", "1.2.x", "1.2.3\n", "-1.2.3", "1.2.9999999"]
)
def test_what_is_not_a_version_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_version(text)


RELEASE = Release(
    format=release_format.FORMAT,
    version="4891.0.1",
    channel="stable",
    kernel="6.12.1-amd64",
    usr=UsrImage(8192, 4096, "ab" * 32, "cd" * 32),
    inputs="ef",
    files=(ReleaseFile("usr.img", 8192, "00" * 32), ReleaseFile("vmlinuz", 1, "11" * 32)),
)


def test_release_json_reads_as_written() -> None:
    data = release_format.encode(RELEASE)
    assert release_format.decode(data, source="r") == RELEASE
    assert RELEASE.file("vmlinuz").size_bytes == 1
    with pytest.raises(InputError, match="no file 'disk"):
        RELEASE.file("disk.img")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"format": 1', b'"format": 2', "format 2 is not known"),
        (b'"4891.0.1"', b'"latest"', "not a version"),
        (b'"kernel"', b'"kernal"', "kernel"),
        (b"8192", b'"8192"', "int"),
    ],
)
def test_another_format_is_refused(old: bytes, new: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        release_format.decode(release_format.encode(RELEASE).replace(old, new, 1), source="release.json")


def test_checksums_are_what_sha256sum_reads() -> None:
    assert release_format.checksums(RELEASE.files).splitlines()[1] == b"11" * 32 + b"  vmlinuz"
