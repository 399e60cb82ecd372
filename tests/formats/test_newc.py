"""The initrd's archive, as busybox's cpio reads it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from argosy.formats import newc


def test_cpio_unpacks_what_we_write(tmp_path: Path) -> None:
    archive = newc.encode(
        [
            newc.folder("etc", 0o750),
            newc.file("etc/odd", b"12345", 0o640),
            newc.file("etc/empty", b""),
            newc.link("etc/link", "odd"),
        ]
    )
    subprocess.run(
        ["busybox", "cpio", "-i", "-d"], input=archive, cwd=tmp_path, check=True, capture_output=True
    )
    assert (tmp_path / "etc/odd").read_bytes() == b"12345"
    assert (tmp_path / "etc/odd").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "etc").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "etc/empty").read_bytes() == b""
    assert (tmp_path / "etc/link").readlink() == Path("odd")


def test_cpio_sees_devices() -> None:
    archive = newc.encode([newc.character_device("console", 5, 1)])
    listed = subprocess.run(["busybox", "cpio", "-tv"], input=archive, check=True, capture_output=True).stdout
    assert b"crw-------" in listed
    # The header's tenth and eleventh numbers: the device that it is.
    assert (archive[6 + 9 * 8 : 6 + 10 * 8], archive[6 + 10 * 8 : 6 + 11 * 8]) == (b"00000005", b"00000001")


@given(st.lists(st.tuples(st.from_regex(r"[a-z]{1,9}", fullmatch=True), st.binary(max_size=9))))
def test_records_are_aligned_and_end(files: list[tuple[str, bytes]]) -> None:
    archive = newc.encode([newc.file(name, data) for name, data in files])
    assert len(archive) % 4 == 0
    assert archive.count(b"070701") >= len(files) + 1
    assert b"TRAILER!!!\0" in archive[-16:]
