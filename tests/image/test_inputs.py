"""The digest of what a release is made from: it changes with what has effect, and with nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from argosy.formats.debcontrol import Package
from argosy.image.inputs import inputs_digest
from argosy.image.keys import Key
from argosy.image.manifest import Manifest, load
from argosy.image.toolbox import Toolbox

BASE = """\
[debian]
suite = "trixie"
[kernel]
package = "k"
[packages]
bash = "a shell"
[[trim]]
why = "because"
paths = ["usr/share/doc"]
"""
KEYS = (Key("a", "1", b"pem", Path("a.key")),)
PACKAGES = (Package("bash", "1", "amd64", "bash", "1"),)


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    for path in (
        "os/usr/bin/x",
        "argosy/__init__.py",
        "argosy/image/a.py",
        "argosy/node/b.py",
        "argosy/lab/c.py",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("x")
    (tmp_path / "m.toml").write_text(BASE)
    return tmp_path


def digest(
    sources: Path,
    *,
    packages: tuple[Package, ...] = PACKAGES,
    channel: str = "stable",
    toolbox: str = "t",
    keys: tuple[Key, ...] = KEYS,
) -> str:
    manifest: Manifest = load(sources / "m.toml")
    tools = Toolbox(sources, toolbox)
    return inputs_digest(manifest, packages, tools, sources / "os", sources / "argosy", channel, keys)


def test_what_has_effect_changes_the_digest(sources: Path) -> None:
    seen = [
        digest(sources),
        digest(sources, channel="beta"),
        digest(sources, toolbox="u"),
        digest(sources, packages=()),
        digest(sources, keys=()),
        digest(sources, keys=(replace(KEYS[0], private=None),)),
        digest(sources, keys=(replace(KEYS[0], name="b"),)),
        digest(sources, keys=(replace(KEYS[0], id="2"),)),
    ]
    seen.append(digest(sources, packages=(Package("bash", "2", "amd64", "bash", "2"),)))
    for path in ("os/usr/bin/x", "argosy/image/a.py", "argosy/node/b.py"):
        (sources / path).write_text(f"changed {path}")
        seen.append(digest(sources))
    (sources / "os/usr/bin/x").chmod(0o755)
    seen.append(digest(sources))
    (sources / "os/usr/bin/y").symlink_to("x")
    seen.append(digest(sources))
    (sources / "m.toml").write_text(BASE.replace("share/doc", "share/man"))
    seen.append(digest(sources))
    assert len(set(seen)) == len(seen)


def test_what_has_no_effect_does_not(sources: Path) -> None:
    before = digest(sources)
    (sources / "argosy/lab/c.py").write_text("changed")
    (sources / "argosy/image/__pycache__").mkdir()
    (sources / "argosy/image/__pycache__/a.pyc").write_bytes(b"x")
    (sources / "m.toml").write_text(BASE.replace("because", "for another reason"))
    (sources / "os/usr/bin/x").touch()
    assert digest(sources) == before


def test_a_floor_counts(sources: Path) -> None:
    before = digest(sources)
    (sources / "m.toml").write_text(f"{BASE}[update]\nfloor = '4800.0.0'\n")
    assert digest(sources) != before
