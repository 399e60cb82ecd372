"""Manifests: what they mean together, and errors that say where."""

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.base.errors import InputError, Location
from argosy.base.paths import shipped
from argosy.formats.version import Version, parse_version
from argosy.image.manifest import load

BASE = """\
[debian]
suite = "trixie"

[kernel]
package = "linux-image-cloud-amd64"
arguments = ["quiet"]

[packages]
bash = "a shell"
"""


def write(folder: Path, text: str, name: str = "my.toml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_the_shipped_manifest_is_sound() -> None:
    manifest = load(shipped("os") / "manifest.toml")
    assert {"systemd", "etcd-server", "podman", "openssh-server", manifest.kernel.package} <= set(
        manifest.all_packages
    )
    assert manifest.mirrors == ()
    assert all(reason for reason in manifest.packages.values())
    assert all(rule.why and rule.paths for rule in manifest.trims)
    assert list(manifest.packages) == sorted(manifest.packages)


def test_an_extension_adds_and_replaces(tmp_path: Path) -> None:
    write(tmp_path, "hello\n", "motd")
    more = write(
        tmp_path,
        """\
[debian]
mirrors = ["deb https://mirror.example/debian trixie main"]
[packages]
tcpdump = "we look"
[kernel]
package = "linux-image-amd64"
arguments = ["debug"]
[[trim]]
why = "not ours"
paths = ["usr/share/x"]
[[files]]
path = "/etc/motd"
source = "motd"
mode = "0600"
[units]
enable = ["a.service"]
""",
    )
    manifest = load(write(tmp_path, BASE, "base.toml"), more)
    assert manifest.all_packages == ("bash", "linux-image-amd64", "tcpdump")
    assert (manifest.suite, manifest.mirrors) == (
        "trixie",
        ("deb https://mirror.example/debian trixie main",),
    )
    assert manifest.kernel.arguments == ("quiet", "debug")
    assert [(file.path, file.data, file.mode) for file in manifest.files] == [("etc/motd", b"hello\n", 0o600)]
    assert manifest.units.enable == ("a.service",)
    assert manifest.places["tcpdump"] == Location(str(more), 4, 1)
    assert len(manifest.trims) == 1


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("[packages]\nbash = \n", 2, 8, "Invalid value"),
        ("[packages\n", 1, 10, "Expected"),
        ("[debian]\nsuit = 'x'\n", 2, 1, "unknown field `suit`"),
        ("[packages]\nbash = 1\n", 2, 1, "the reason for 'bash' must be a text"),
        ("[packages]\n'Bash!' = 'x'\n", 2, 2, "'Bash!' is not a package's name"),
        ("packages = 1\n", 1, 1, "Expected `object`, got `int`"),
        ("[[trim]]\npaths = ['x']\n", 1, 3, "missing required field `why`"),
        ("[[trim]]\nwhy = 'x'\npaths = 'x'\n", 3, 1, "Expected `array`, got `str`"),
        ("[[files]]\npath = '/var/x'\nsource = 'x'\n", 2, 9, "below /usr or /etc"),
        ("[[files]]\npath = '/etc/../x'\nsource = 'x'\n", 2, 9, "below /usr or /etc"),
        ("[[files]]\npath = '/etc/x'\nsource = 'missing'\n", 3, 11, "cannot read the file 'missing'"),
        ("[[files]]\npath = '/etc/x'\nsource = 'my.toml'\nmode = 'rwx'\n", 2, 9, "not a mode"),
        ("[update]\nfloor = '4892'\n", 2, 1, "'4892' is not a version"),
    ],
)
def test_errors_say_where(tmp_path: Path, text: str, line: int, column: int, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InputError) as caught:
        load(write(tmp_path, BASE, "base.toml"), path)
    assert message in caught.value.message
    assert str(caught.value.where) == f"{path}:{line}:{column}"


@pytest.mark.parametrize(("shipped", "own"), [("4800.0.0", "4900.1.0"), ("4900.1.0", "4800.0.0")])
def test_the_highest_floor_holds(tmp_path: Path, shipped: str, own: str) -> None:
    base = write(tmp_path, f"{BASE}[update]\nfloor = '{shipped}'\n", "base.toml")
    more = write(tmp_path, f"[update]\nfloor = '{own}'\n")
    assert load(base, more).floor == Version(4900, 1)
    assert load(base, write(tmp_path, "[packages]\n")).floor == parse_version(shipped)
    assert load(write(tmp_path, BASE)).floor == Version(0)


def test_a_manifest_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        load(tmp_path / "none.toml")


def test_a_manifest_alone_needs_suite_and_kernel(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="suite"):
        load(write(tmp_path, "[packages]\nbash = 'x'\n"))
