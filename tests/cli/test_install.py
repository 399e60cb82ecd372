"""The program installed from a wheel, outside any checkout: it runs, and finds what comes with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
FIND = """
from argosy.base.paths import shipped
first, again = shipped("os"), shipped("os")
assert first == again, (first, again)
print(first)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's content, as an installer lays it out."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, REPOSITORY], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True)
    return folder / "site"


def installed(site: Path, tmp_path: Path, *argv: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(site), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, *argv]
    return subprocess.run(
        command, env=environment, cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout


def test_runs_outside_a_checkout(site: Path, tmp_path: Path) -> None:
    where = installed(site, tmp_path, "-c", "import argosy; print(argosy.__file__)").strip()
    assert Path(where).is_relative_to(site)
    assert "argosy setup" in installed(site, tmp_path, "-m", "argosy", "--help")


def test_carries_the_trees_unchanged(site: Path, tmp_path: Path) -> None:
    unpacked = Path(installed(site, tmp_path, "-c", FIND).strip()).parent
    assert unpacked.is_relative_to(tmp_path / "cache")
    for tree in ("os", "examples", "packages"):
        assert content(unpacked / tree) == content(REPOSITORY / tree)
    assert content(unpacked / "packages")


def content(folder: Path) -> dict[str, object]:
    """Every file's bytes and whether it may be executed, every link's target."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if "__pycache__" in name:
            continue
        if path.is_symlink():
            found[name] = path.readlink()
        elif path.is_file():
            found[name] = (path.read_bytes(), bool(path.stat().st_mode & 0o100))
    return found
