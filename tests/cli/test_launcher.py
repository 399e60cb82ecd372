"""The launcher `./argosy`: its own work around a checkout, seen with real virtual environments."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
NEEDED = ("argosy", "pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "packages", "src")


def copy_checkout(to: Path) -> Path:
    to.mkdir()
    for name in NEEDED:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, to / name)
    return to


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout, in a path with a space, set up once."""
    folder = copy_checkout(tmp_path_factory.mktemp("launcher") / "my checkout")
    first = start(folder)
    assert first.returncode == 0, first.stderr
    assert "installing Python packages" in first.stderr
    return folder


def start(folder: Path, *argv: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [folder / "argosy", *(argv or ("--help",))],
        cwd=cwd,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_second_start_is_quick_and_quiet(checkout: Path) -> None:
    """It adds less than 100 ms; processor time is counted, because other tests keep the cores busy."""

    def cpu_seconds(argv: list[str | Path]) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(argv, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    direct = min(
        cpu_seconds([checkout / ".venv/bin/python", "-P", "-m", "argosy", "--help"]) for _ in "12345"
    )
    added = min(cpu_seconds([checkout / "argosy", "--help"]) for _ in "12345") - direct
    assert added < 0.1
    assert start(checkout).stderr == ""


def test_works_from_anywhere_through_a_link_and_ignores_what_lies_there(
    checkout: Path, tmp_path: Path
) -> None:
    (tmp_path / "argosy.py").write_text("raise SystemExit('not this one')\n")
    (tmp_path / "link").symlink_to(checkout / "argosy")
    done = subprocess.run(
        [tmp_path / "link", "--help"], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_new_list_of_packages_updates_what_is_there(checkout: Path) -> None:
    marker = checkout / ".venv/marker"
    marker.touch()
    with (checkout / "packages/python.txt").open("a") as file:
        file.write("# changed\n")
    assert "installing" in start(checkout).stderr
    assert marker.exists(), "programs that run from the environment go on"
    assert start(checkout).stderr == ""


def test_a_moved_checkout_is_set_up_anew(checkout: Path) -> None:
    moved = checkout.rename(checkout.with_name("moved"))
    try:
        done = start(moved, "-h")
        assert done.returncode == 0
        assert "setting up" in done.stderr
    finally:
        moved.rename(checkout)
    assert start(checkout).returncode == 0


def test_an_interrupted_set_up_is_done_anew(tmp_path: Path) -> None:
    folder = copy_checkout(tmp_path / "interrupted")
    process = subprocess.Popen(
        [folder / "argosy", "--help"], stderr=subprocess.PIPE, start_new_session=True, text=True
    )
    assert process.stderr is not None
    while not (folder / ".venv/pyvenv.cfg").exists():
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=20) == 130
    process.stderr.close()
    assert not (folder / ".venv/argosy-stamp").exists()
    again = start(folder)
    assert again.returncode == 0, again.stderr
    assert "setting up" in again.stderr


def test_two_first_starts_at_once_share_the_work(tmp_path: Path) -> None:
    folder = copy_checkout(tmp_path / "twice")
    both = [
        subprocess.Popen(
            [folder / "argosy", "--help"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sorted("setting up" in text for text in said) == [False, True]


def test_failing_pip_shows_what_it_said(tmp_path: Path) -> None:
    folder = copy_checkout(tmp_path / "broken")
    (folder / "packages/python.txt").write_text("rich==0.0.0.0.1\n")
    done = start(folder)
    assert done.returncode == 1
    assert "rich==0.0.0.0.1" in done.stderr
    assert done.stderr.endswith(
        "argosy: the Python packages could not be installed\n  see the lines above; is the network there?\n"
    )
