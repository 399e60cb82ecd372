"""A real release: what it holds, that it can be made again byte for byte, and how a boot fails."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from argosy.base import paths
from argosy.base.errors import InputError
from argosy.base.progress import Silent
from argosy.formats import gpt
from argosy.formats.gpt import SECTOR_BYTES
from argosy.formats.release import PAYLOAD
from argosy.image.build import Request, ensure_release, read_release, verify_release
from argosy.image.keys import keys_folder, load_keys
from argosy.image.manifest import load
from argosy.image.payload import look
from argosy.image.toolbox import Toolbox, ensure_toolbox

pytestmark = pytest.mark.vm

BOOT_TIMEOUT_S = 600
QEMU = (
    *("qemu-system-x86_64", "-accel", "tcg,thread=multi,tb-size=256", "-M", "q35", "-m", "1024"),
    *("-cpu", "Nehalem,-cx16,vendor=AuthenticAMD", "-nodefaults", "-no-user-config", "-display", "none"),
    *("-no-reboot", "-device", "virtio-rng-pci"),
)


@pytest.fixture(scope="module")
def toolbox() -> Toolbox:
    manifest = load(paths.shipped("os") / "manifest.toml")
    return ensure_toolbox(manifest, paths.cache_folder(), Silent(), refresh=False)


@pytest.fixture(scope="module")
def usr(release: Path, toolbox: Toolbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of /usr."""
    folder = tmp_path_factory.mktemp("usr") / "usr"
    toolbox.run("fsck.erofs", f"--extract={folder}", "--no-preserve-owner", release / "usr.img")
    return folder


def test_a_second_build_takes_no_time(release: Path) -> None:
    begun = time.monotonic()
    assert ensure_release(Request(), Silent()).folder == release
    assert time.monotonic() - begun < 5


def test_the_same_inputs_give_the_same_bytes(release: Path) -> None:
    verified = verify_release(release, None, Silent())
    assert (verified.not_reproduced, verified.altered, verified.refused) == ((), (), "")


def test_the_image_trusts_the_keys_that_sign_it(release: Path, usr: Path) -> None:
    keys = load_keys(keys_folder())
    in_image = {path.stem: path.read_bytes() for path in (usr / "share/argosy/keys").iterdir()}
    assert in_image == {key.name: key.public for key in keys}
    described = read_release(release)
    assert set(described.keys) == {key.label for key in keys if key.private}
    _, manifest = look(release / PAYLOAD)
    assert (manifest.version, manifest.keys) == (described.version, described.keys)
    assert f"COREOS_RELEASE_FLOOR={manifest.floor}\n" in (usr / "share/coreos/release").read_text()


def test_checksums_and_package_list(release: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=release, check=True)
    listed = json.loads((release / "packages.spdx.json").read_text())["packages"]
    assert {"systemd", "podman", "etcd-server"} <= {package["name"] for package in listed}


def test_the_disk_is_sound(release: Path) -> None:
    disk = release / "disk.img"
    checked = subprocess.run(
        ["/usr/sbin/sgdisk", "--verify", disk], capture_output=True, text=True, check=True
    )
    assert "No problems found" in checked.stdout
    with disk.open("rb") as file:
        head = file.read(gpt.HEAD_SECTORS * SECTOR_BYTES)
        file.seek(-gpt.TAIL_SECTORS * SECTOR_BYTES, os.SEEK_END)
        found = gpt.decode(head, file.read(), sectors=disk.stat().st_size // SECTOR_BYTES)
        assert (found.primary_problem, found.backup_problem) == ("", "")
        file.seek(found.table.partition("USR-A").first_lba * SECTOR_BYTES)
        assert file.read(1 << 20) == (release / "usr.img").read_bytes()[: 1 << 20]


def test_the_hash_tree_fits_and_a_flipped_byte_does_not(
    release: Path, toolbox: Toolbox, tmp_path: Path
) -> None:
    usr = read_release(release).usr
    image = tmp_path / "usr.img"
    shutil.copyfile(release / "usr.img", image)
    words = ("verify", image, image, usr.root_hash, f"--hash-offset={usr.hash_offset_bytes}")
    toolbox.run("veritysetup", *words)
    with image.open("r+b") as file:
        file.seek(usr.hash_offset_bytes // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    assert toolbox.run("veritysetup", *words, check=False).returncode != 0


def test_usr_has_what_it_should(usr: Path, release: Path) -> None:
    described = read_release(release)
    text = (usr / "lib/os-release").read_text()
    assert "ID=argosy\n" in text
    assert f"VERSION={described.version}\n" in text
    assert f"COREOS_RELEASE_VERSION={described.version}" in (usr / "share/coreos/release").read_text()
    assert (usr / "share/coreos/update.conf").read_text() == "GROUP=stable\nSERVER=\n"
    for program in ("etcd", "etcd2", "etcdctl", "podman", "docker", "crun", "curl", "python3", "ssh", "ip"):
        assert os.access(usr / "bin" / program, os.X_OK), program
    assert not list((usr / "lib/modules").rglob("*.ko.xz"))
    assert (usr / "lib/modules" / described.kernel / "modules.dep").stat().st_size > 10_000


def test_usr_has_no_package_manager_compiler_or_documentation(usr: Path) -> None:
    for name in ("apt", "apt-get", "dpkg", "perl", "gcc", "cc", "ld", "make", "man", "etcdutl"):
        assert not (usr / "bin" / name).exists(), name
    for folder in ("share/doc", "share/man", "share/info", "include", "src"):
        assert not (usr / folder).exists(), folder


def test_no_link_leads_into_alternatives_or_nowhere(usr: Path) -> None:
    """Links that leave /usr, and the factory's, are for the running system; the others have an end."""
    broken = []
    for path in usr.rglob("*"):
        target = str(path.readlink()) if path.is_symlink() else ""
        inside = path.parent / target if target[:1] != "/" else usr / target.removeprefix("/usr/")
        leaves = target.startswith("/") and not target.startswith("/usr/")
        if "alternatives" in target or not (leaves or "factory" in path.parts or inside.exists()):
            broken.append(f"{path.relative_to(usr)} -> {target}")
    assert broken == []


def test_units_start_only_programs_that_are_there(usr: Path) -> None:
    missing = []
    for unit in (usr / "lib/systemd/system").glob("*.service"):
        if unit.is_symlink():
            continue
        for program in re.findall(r"(?m)^ExecStart=[-@:+!|]*(/usr/\S+)", unit.read_text()):
            if not (usr / program.removeprefix("/usr/")).exists():
                missing.append(f"{unit.name}: {program}")
    assert missing == []


def test_the_factory_has_settled_users_and_units(usr: Path) -> None:
    etc = usr / "share/factory/etc"
    users = {line.split(":")[0]: line.split(":") for line in (etc / "passwd").read_text().splitlines()}
    assert users["core"][2:] == ["500", "500", "Argosy's user", "/home/core", "/bin/bash"]
    assert users["etcd"][2] == "232"
    passwords = {line.split(":")[0]: line.split(":")[1] for line in (etc / "shadow").read_text().splitlines()}
    assert all(password[0] in "!*" for password in passwords.values())
    assert (etc / "systemd/system/sockets.target.wants/ssh.socket").is_symlink()
    for name in ("machine-id", "hostname", "apt", "alternatives", "init.d", ".updated"):
        assert not os.path.lexists(etc / name), name
    assert not list(etc.glob("ssh/ssh_host_*"))


def test_only_root_may_write_usr(release: Path, toolbox: Toolbox) -> None:
    shown = toolbox.run("dump.erofs", "--path=/", release / "usr.img").text
    assert "Access: 0755/rwxr-xr-x" in shown
    assert "Uid: 0   Gid: 0" in shown


def test_an_unknown_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = tmp_path / "my.toml"
    manifest.write_text('[packages]\nno-such-package-anywhere = "a slip"\n')
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "cache/argosy").mkdir(parents=True)
    (tmp_path / "cache/argosy/toolbox").symlink_to(Path.home() / ".cache/argosy/toolbox")
    with pytest.raises(InputError, match="has no package 'no-such-package-anywhere'") as caught:
        ensure_release(Request(manifest=manifest), Silent())
    assert str(caught.value.where) == f"{manifest}:2:1"
    assert list((tmp_path / "cache/argosy/base").iterdir()) == []


# Boots


def boot(*arguments: str | Path, until: str, log: Path) -> str:
    """Run a machine until its serial port says `until`; what it said so far."""
    words: Sequence[str | Path] = (*QEMU, "-serial", f"file:{log}", *arguments)
    machine = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=sys.stderr)
    try:
        ends = time.monotonic() + BOOT_TIMEOUT_S
        while time.monotonic() < ends:
            said = log.read_text(errors="replace") if log.exists() else ""
            if re.search(until, said):
                return said
            assert machine.poll() is None, f"the machine is off; it said:\n{said[-2000:]}"
            time.sleep(0.5)
        pytest.fail(f"no {until!r} after {BOOT_TIMEOUT_S} s; the machine said:\n{said[-2000:]}")
    finally:
        machine.kill()
        machine.wait()


def overlay(release: Path, folder: Path) -> list[str]:
    disk = folder / "disk.qcow2"
    make = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", release / "disk.img", "-F", "raw", disk, "8G"]
    subprocess.run(make, check=True)
    return ["-drive", f"if=none,id=d,file={disk},format=qcow2", "-device", "virtio-blk-pci,drive=d"]


def test_the_probe_says_that_the_kernel_runs(release: Path, tmp_path: Path) -> None:
    kernel = ["-kernel", release / "vmlinuz", "-initrd", release / "initrd.img"]
    probe = ["-append", "console=ttyS0 argosy.probe"]
    boot(*kernel, *probe, until="ARGOSY-PROBE-OK", log=tmp_path / "serial")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "started without usr="),
        ("usr=PARTUUID=x root=LABEL=ROOT rd.timeout=3", "no partition PARTUUID=x after 3 s"),
        ("usr=PARTLABEL=USR-A root=LABEL=ROOT", "verity.usrhash, usroffset or usrsalt is missing"),
        (
            "usr=PARTLABEL=USR-A root=LABEL=ROOT verity.usroffset=4096 verity.usrsalt=00 verity.usrhash="
            + "00" * 32,
            r"dm-verity device corrupted|does not (open|mount)",
        ),
    ],
)
def test_a_boot_that_fails_says_why_and_restarts(
    release: Path, tmp_path: Path, arguments: str, message: str
) -> None:
    kernel = ["-kernel", release / "vmlinuz", "-initrd", release / "initrd.img"]
    append = ["-append", f"console=ttyS0 quiet panic=1 {arguments}"]
    said = boot(
        *kernel, *append, *overlay(release, tmp_path), until="Rebooting in 1 seconds", log=tmp_path / "serial"
    )
    assert re.search(message, said)
