"""From a Debian tree to a /usr that stands alone."""

from __future__ import annotations

import compileall
import importlib.util
import os
from pathlib import Path

import pytest

from argosy.base.errors import ArgosyError
from argosy.image import vendor
from argosy.image.manifest import AddedFile
from argosy.image.tree import File, Folder, Link, Tree, read, text_of

SYSUSERS = """\
# numbers
g fleet    253 -
u etcd     232       "etcd" /var/lib/etcd -
u! sshd    204:65534 "sshd" /run/sshd -
u _dynamic -         "takes what is free"
m core fleet
"""
PINNED = vendor.parse_sysusers_ids(SYSUSERS)


def users(passwd: str, group: str) -> Tree:
    return {"etc/passwd": File(passwd.encode()), "etc/group": File(group.encode())}


def test_pinned_numbers_are_read() -> None:
    assert PINNED == {
        "u": {"etcd": (232, 232), "sshd": (204, 65534)},
        "g": {"fleet": (253, 253), "etcd": (232, 232)},
    }


def test_users_and_their_files_move_to_pinned_numbers() -> None:
    tree = users(
        "root:x:0:0:root:/root:/bin/bash\netcd:x:100:101::/var/lib/etcd:/bin/false\nsshd:x:989:65534::/:/bin/false\n",
        "root:x:0:\netcd:x:101:\nother:x:102:etcd\n",
    )
    tree["usr/etcd"] = File(b"", 0o2755, 100, 101)
    tree["usr/other"] = Folder(0o755, 0, 102)
    moved = vendor.with_pinned_ids(tree, PINNED)
    assert text_of(moved, "etc/passwd").splitlines()[1:] == [
        "etcd:x:232:232::/var/lib/etcd:/bin/false",
        "sshd:x:204:65534::/:/bin/false",
    ]
    assert text_of(moved, "etc/group") == "root:x:0:\netcd:x:232:\nother:x:102:etcd\n"
    assert moved["usr/etcd"] == File(b"", 0o2755, 232, 232)
    assert moved["usr/other"] == Folder(0o755, 0, 102)
    assert vendor.with_pinned_ids(moved, PINNED) == moved


def test_a_number_that_somebody_else_has_is_an_error() -> None:
    with pytest.raises(ArgosyError, match="mysql has the number 232, which is pinned for etcd"):
        vendor.with_pinned_ids(users("mysql:x:232:232::/:/bin/false\n", ""), PINNED)


def test_alternatives_point_at_their_end() -> None:
    tree: Tree = {
        "usr/bin/awk": Link("/etc/alternatives/awk"),
        "usr/bin/pager": Link("/etc/alternatives/pager"),
        "usr/share/man/awk.1": Link("/etc/alternatives/awk.1"),
        "usr/bin/mawk": File(b""),
        "usr/bin/nawk": Link("mawk"),
        "etc/alternatives": Folder(),
        "etc/alternatives/awk": Link("/usr/bin/mawk"),
        "etc/alternatives/pager": Link("/usr/bin/more"),
    }
    assert vendor.with_direct_alternatives(tree) == {
        "usr/bin/awk": Link("mawk"),
        "usr/bin/mawk": File(b""),
        "usr/bin/nawk": Link("mawk"),
    }


def test_licences_survive() -> None:
    tree: Tree = {"usr/share/doc/bash/copyright": File(b"GPL"), "usr/share/doc/bash/README": File(b"")}
    assert vendor.with_licences_aside(tree)["usr/share/licenses/bash"] == File(b"GPL")
    assert "usr/share/licenses/README" not in vendor.with_licences_aside(tree)


def test_packages_enable_nothing() -> None:
    tree: Tree = {
        "etc/systemd/system": Folder(),
        "etc/systemd/system/multi-user.target.wants/x.service": Link("/usr/lib/x"),
        "etc/systemd/system.conf": File(b""),
    }
    assert set(vendor.without_enablement(tree)) == {"etc/systemd/system", "etc/systemd/system.conf"}


def test_compiled_files_ignore_their_sources_time(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text("VALUE = 1\n")
    compileall.compile_file(source, quiet=1)
    compiled = Path(importlib.util.cache_from_source(str(source)))
    entry = vendor.with_unchecked_pyc({"m.pyc": File(compiled.read_bytes())})["m.pyc"]
    assert isinstance(entry, File)
    compiled.write_bytes(read(entry.content))
    # The source changes, the compiled file counts.
    source.write_text("VALUE = 2\n")
    os.utime(source, (1, 1))
    spec = importlib.util.spec_from_file_location("module", source)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.VALUE == 1


def test_etc_becomes_the_factorys() -> None:
    tree: Tree = {
        "etc": Folder(),
        "etc/hosts": File(b"Debian's"),
        "etc/passwd": File(b"root"),
        "usr/share/factory/etc/hosts": File(b"ours"),
        "boot/x": File(b""),
    }
    assert vendor.factory_etc(tree) == {
        "usr/share/factory/etc": Folder(),
        "usr/share/factory/etc/hosts": File(b"ours"),
        "usr/share/factory/etc/passwd": File(b"root"),
    }


def test_extra_files_come_last() -> None:
    tree = vendor.with_added({"etc/motd": File(b"")}, [AddedFile("etc/motd", b"hello", 0o600)])
    assert tree == {"etc/motd": File(b"hello", 0o600)}
