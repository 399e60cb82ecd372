"""Trees: out of a tar, into a tar and a folder."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from argosy.base.errors import ArgosyError
from argosy.image.tree import (
    Extent,
    File,
    Folder,
    Link,
    Tree,
    below,
    from_folder,
    from_tar,
    read,
    text_of,
    total_bytes,
    with_parents,
    write_folder,
    write_tar,
)

CAPABILITY = {"SCHILY.xattr.security.capability": "\x01\x00\x00\x02\udc80\x00"}
TREE: Tree = {
    "usr": Folder(0o755),
    "usr/bin": Folder(0o2775, 0, 42),
    "usr/bin/sudo": File(b"binary\0", 0o4755),
    "usr/bin/newuidmap": File(b"x", 0o755, 0, 42, CAPABILITY),
    "usr/bin/sh": Link("dash"),
    "usr/" + "long/" * 40 + "name": File(b"", 0o600, 500, 500),
}


def packed(tree: Tree, tar: Path) -> Path:
    with tar.open("wb") as file:
        write_tar(tree, file, time_s=1372636800, wrote=lambda _: None)
    return tar


def contents(tree: Tree) -> dict[str, object]:
    return {
        path: (read(entry.content), entry.mode, entry.uid, entry.gid, dict(entry.xattrs))
        if isinstance(entry, File)
        else entry
        for path, entry in tree.items()
    }


def test_a_tar_keeps_everything(tmp_path: Path) -> None:
    again = from_tar(packed(TREE, tmp_path / "a.tar"), lambda _: True)
    assert contents(again) == contents(with_parents(TREE))


def test_the_same_tree_gives_the_same_tar(tmp_path: Path) -> None:
    one = packed(TREE, tmp_path / "a.tar")
    backwards = dict(reversed(TREE.items()))
    assert packed(backwards, tmp_path / "b.tar").read_bytes() == one.read_bytes()
    # Contents that lie in another tar make no difference.
    assert packed(from_tar(one, lambda _: True), tmp_path / "c.tar").read_bytes() == one.read_bytes()


def test_the_writer_hears_of_every_byte(tmp_path: Path) -> None:
    heard: list[int] = []
    with (tmp_path / "a.tar").open("wb") as file:
        write_tar(TREE, file, time_s=0, wrote=heard.append)
    assert sum(heard) == total_bytes(TREE.values()) == 8


def member(name: str, kind: bytes, link: str = "", data: bytes = b"") -> tuple[tarfile.TarInfo, io.BytesIO]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(data)
    return info, io.BytesIO(data)


def test_a_hard_link_is_a_file_of_its_own(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for info, data in (
            member("./usr/a", tarfile.REGTYPE, data=b"12"),
            member("./usr/b", tarfile.LNKTYPE, "./usr/a"),
        ):
            tar.addfile(info, data)
    tree = from_tar(tmp_path / "a.tar", lambda path: path.startswith("usr/"))
    assert text_of(tree, "usr/b") == "12"


def test_devices_are_refused_unless_left_out(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.addfile(*member("./dev/null", tarfile.CHRTYPE))
    assert from_tar(tmp_path / "a.tar", lambda path: path.startswith("usr")) == {}
    with pytest.raises(ArgosyError, match="dev/null is neither"):
        from_tar(tmp_path / "a.tar", lambda _: True)


def test_a_source_folder_becomes_roots(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/run").write_text("#!/bin/sh\n")
    (tmp_path / "d/run").chmod(0o700)
    (tmp_path / "d/text").write_text("x")
    (tmp_path / "d/text").chmod(0o666)
    (tmp_path / "d/link").symlink_to("/dev/null")
    (tmp_path / "empty").mkdir()
    assert from_folder(tmp_path, "usr/") == {
        "usr/d/run": File(Extent(tmp_path / "d/run", 0, 10), 0o755),
        "usr/d/text": File(Extent(tmp_path / "d/text", 0, 1), 0o644),
        "usr/d/link": Link("/dev/null"),
    }


def test_a_tree_becomes_a_folder(tmp_path: Path) -> None:
    write_folder({"a/b": File(b"1", 0o400), "a/c": Link("b"), "d": Folder(0o500)}, tmp_path)
    assert (tmp_path / "a/c").read_bytes() == b"1"
    assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "d").is_dir()


def test_below() -> None:
    tree: Tree = {"etc": Folder(), "etc/x": Folder(), "etcetera": Folder()}
    assert set(below(tree, "etc")) == {"etc", "etc/x"}


def test_a_missing_file_is_told() -> None:
    with pytest.raises(ArgosyError, match="no file /etc/passwd"):
        text_of({}, "etc/passwd")
