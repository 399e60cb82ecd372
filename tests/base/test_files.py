"""Files that are whole or not there."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from argosy.base.errors import ArgosyError
from argosy.base.files import LockedError, link_or_copy, locked, replace_file, replace_folder, replacing


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_replaces_with_mode_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    replace_file(path, b"new", mode=0o600)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == ["secret"]


def test_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        replace_file(tmp_path / "public", b"", mode=0o644)
    finally:
        os.umask(old)
    assert (tmp_path / "public").stat().st_mode & 0o777 == 0o644


def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("kept")
    link = tmp_path / "link"
    link.symlink_to(target)
    replace_file(link, b"new")
    assert target.read_text() == "kept"
    assert not link.is_symlink()


def test_a_failure_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    script = (
        "import os, signal, sys; from pathlib import Path; from argosy.base.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as new:\n"
        "    new.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path], check=False)
    assert done.returncode == -9
    assert path.read_text() == "old"


@pytest.mark.parametrize("existed", [True, False])
def test_replace_folder(tmp_path: Path, existed: bool) -> None:
    folder, new = tmp_path / "folder", tmp_path / "new"
    if existed:
        folder.mkdir()
        (folder / "old").touch()
    new.mkdir()
    (new / "fresh").touch()
    replace_folder(folder, new)
    assert names(folder) == ["fresh"]
    assert names(tmp_path) == ["folder"]


def test_replace_folder_clears_what_a_crash_left(tmp_path: Path) -> None:
    folder, new, left = tmp_path / "folder", tmp_path / "new", tmp_path / ".folder.old"
    for made in (folder, new, left):
        made.mkdir()
        (made / "file").write_text(made.name)
    replace_folder(folder, new)
    assert (folder / "file").read_text() == "new"
    assert names(tmp_path) == ["folder"]


def test_lock_refuses_a_second_holder_and_is_free_after(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    refused = pytest.raises(LockedError, match="taken")
    with locked(path, busy=""), refused, locked(path, busy="taken"):
        pass
    with locked(path, busy="taken"):
        pass


def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from argosy.base.files import locked\n"
        "with locked(Path(sys.argv[1]), busy=''):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "lock"], check=False)
    with locked(tmp_path / "lock", busy="taken"):
        pass


def test_a_lock_whose_file_its_holders_remove_is_still_held_by_one(tmp_path: Path) -> None:
    path, marks = tmp_path / "lock", tmp_path / "mark"
    rounds = []

    def hold_and_remove() -> None:
        while len(rounds) < 500:
            with contextlib.suppress(LockedError), locked(path, busy=""):
                marks.touch(exist_ok=False)
                rounds.append(1)
                marks.unlink()
                path.unlink()

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(hold_and_remove) for _ in range(4)]:
            done.result()
    assert names(tmp_path) == []


def test_a_link_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("new")
    target.write_text("old")
    link_or_copy(source, target)
    assert target.samefile(source)
    with pytest.raises(ArgosyError, match="none is missing") as raised:
        link_or_copy(tmp_path / "none", target, hint="make it")
    assert raised.value.hint == "make it"
    assert names(tmp_path) == ["source", "target"]


def test_a_copy_to_another_file_system_is_as_sparse(tmp_path: Path) -> None:
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.seek(64 << 20)
        file.write(b"end")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        target = Path(other) / "target"
        link_or_copy(source, target)
        assert target.stat().st_dev != source.stat().st_dev
        assert target.stat().st_size == source.stat().st_size
        assert target.stat().st_blocks * 512 < 1 << 20
        with target.open("rb") as file:
            file.seek(64 << 20)
            assert file.read() == b"end"
