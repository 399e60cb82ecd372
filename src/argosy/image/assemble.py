"""One release from resolved inputs: the steps in order, from a package tree to a folder of files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from argosy.base.decode import encode_json
from argosy.base.progress import Progress
from argosy.formats import release as release_format
from argosy.formats import spdx
from argosy.formats.payload import BOOT, INITRD, USR, VMLINUZ
from argosy.formats.release import Release, ReleaseFile, UsrImage
from argosy.formats.version import Version
from argosy.image import bootloader, kernel, vendor
from argosy.image.disk import write_disk
from argosy.image.disk_layout import disk_layout
from argosy.image.identity import identity_files
from argosy.image.initrd import build_initrd
from argosy.image.kernel import Kernel
from argosy.image.keys import Key, key_files
from argosy.image.manifest import Manifest, Units
from argosy.image.offline import with_users_and_units
from argosy.image.ours import compiled, node_code, os_files
from argosy.image.pack import Source
from argosy.image.packages import Base
from argosy.image.payload import Info, make_payload
from argosy.image.toolbox import Toolbox
from argosy.image.tree import File, Folder, Tree, from_tar, total_bytes
from argosy.image.usr_image import build_usr

LICENCE = "Apache-2.0"
# Folders within the read-only /usr that something is mounted on.
MOUNT_POINTS: Tree = {"usr/share/oem": Folder()}


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that a release is made from. `os_folder` is `os/`, `package` the folder of the Python package."""

    manifest: Manifest
    base: Base
    toolbox: Toolbox
    os_folder: Path
    package: Path
    version: Version
    channel: str
    keys: tuple[Key, ...]
    digest: str


def assemble(inputs: Inputs, out: Path, work: Path, progress: Progress) -> Release:
    """Make the release in `out` (an empty folder), with `work` (another) for what is needed on the way."""
    with progress.step("make the system tree") as step:
        step.note("reading packages")
        packages = from_tar(inputs.base.tar, lambda path: path.startswith(("usr", "etc", "boot/vmlinuz-")))
        system_kernel = kernel.find_kernel(packages)
        (out / release_format.KERNEL).write_bytes(system_kernel.image)
        step.note("trimming")
        tree = _system_tree(inputs, packages, system_kernel, work)
    with progress.step("make the initrd"):
        initrd = _initrd(inputs, tree, system_kernel, work)
        (out / release_format.INITRD).write_bytes(initrd)
    with progress.step("make and seal /usr", total=total_bytes(tree.values())) as step:
        image = out / release_format.USR_IMAGE
        usr = build_usr(tree, inputs.version, inputs.toolbox, image, _folder(work, "usr"), step)
    boot = bootloader.slot_configuration(usr, inputs.manifest.kernel, inputs.version)
    with progress.step("write the disk"):
        _disk(inputs, out, boot, initrd, system_kernel, work)
    _payload(inputs, out, boot, system_kernel, progress)
    with progress.step("write lists and checksums"):
        return _describe(inputs, out, usr, system_kernel)


def _folder(work: Path, name: str) -> Path:
    folder = work / name
    folder.mkdir()
    return folder


def _system_tree(inputs: Inputs, packages: Tree, system_kernel: Kernel, work: Path) -> Tree:
    """The finished /usr."""
    code = compiled(node_code(inputs.package), inputs.toolbox, _folder(work, "code"))
    ours = {
        **MOUNT_POINTS,
        **os_files(inputs.os_folder),
        **code,
        **identity_files(inputs.version, inputs.channel, inputs.manifest.floor),
        **key_files(inputs.keys),
        **_presets(inputs.manifest.units),
    }
    tree = vendor.vendor_tree(packages, inputs.manifest, ours)
    tree = with_users_and_units(tree, inputs.toolbox, _folder(work, "offline"), time_s=inputs.version.epoch_s)
    tree = vendor.factory_etc(tree)
    return kernel.with_unpacked_modules(tree, system_kernel, inputs.toolbox, _folder(work, "modules"))


def _presets(units: Units) -> Tree:
    lines = [f"enable {name}\n" for name in units.enable] + [f"disable {name}\n" for name in units.disable]
    return (
        {"usr/lib/systemd/system-preset/05-manifest.preset": File("".join(lines).encode())} if lines else {}
    )


def _initrd(inputs: Inputs, tree: Tree, system_kernel: Kernel, work: Path) -> bytes:
    return build_initrd(
        tree,
        system_kernel,
        inputs.manifest.kernel.initrd_modules,
        (inputs.os_folder / "initrd/init").read_bytes(),
        inputs.toolbox,
        _folder(work, "initrd"),
        time_s=inputs.version.epoch_s,
    )


def _disk(inputs: Inputs, out: Path, boot: bytes, initrd: bytes, system_kernel: Kernel, work: Path) -> None:
    table = disk_layout(inputs.version)
    core = table.partition("BIOS-BOOT")
    folder = _folder(work, "disk")
    template = (inputs.os_folder / "grub/grub.cfg").read_text()
    files = {
        "EFI/BOOT/BOOTX64.EFI": bootloader.efi_loader(inputs.toolbox, folder),
        "coreos/grub/grub.cfg": bootloader.configuration(template),
        "coreos/grub/grubenv": bootloader.environment_block(),
        "coreos/grub/slot-a.cfg": boot,
        "coreos/vmlinuz-a": system_kernel.image,
        "coreos/initrd-a": initrd,
    }
    loader = bootloader.bios_loader(inputs.toolbox, folder, first_sector=core.first_lba, sectors=core.sectors)
    image = out / release_format.DISK_IMAGE
    write_disk(
        image, table, inputs.version, loader, files, out / release_format.USR_IMAGE, inputs.toolbox, folder
    )


def _payload(inputs: Inputs, out: Path, boot: bytes, system_kernel: Kernel, progress: Progress) -> None:
    parts: dict[str, Source] = {
        VMLINUZ: out / release_format.KERNEL,
        INITRD: out / release_format.INITRD,
        BOOT: boot,
        USR: out / release_format.USR_IMAGE,
    }
    info = Info(inputs.version, inputs.channel, system_kernel.release, inputs.manifest.floor)
    make_payload(parts, info, inputs.keys, out / release_format.PAYLOAD, progress)


def _describe(inputs: Inputs, out: Path, usr: UsrImage, system_kernel: Kernel) -> Release:
    """The lists, the checksums, and last `release.json`."""
    document = spdx.document(
        inputs.base.packages,
        name="argosy",
        version=str(inputs.version),
        licence=LICENCE,
        time_s=inputs.version.epoch_s,
        identity=inputs.digest,
    )
    (out / release_format.SBOM).write_bytes(encode_json(document, pretty=True))
    (out / release_format.VERSION_TXT).write_text(
        f"COREOS_VERSION={inputs.version}\nCOREOS_VERSION_ID={inputs.version}\n"
        f"COREOS_BUILD={inputs.version.major}\nCOREOS_BRANCH={inputs.version.minor}\n"
        f"COREOS_PATCH={inputs.version.patch}\n"
    )
    (out / release_format.USR_ROOT_HASH).write_text(usr.root_hash + "\n")
    files = digests(out, sorted(path.name for path in out.iterdir()))
    release = Release(
        format=release_format.FORMAT,
        version=str(inputs.version),
        channel=inputs.channel,
        kernel=system_kernel.release,
        usr=usr,
        inputs=inputs.digest,
        files=files,
        keys=tuple(key.label for key in inputs.keys if key.private),
    )
    (out / release_format.CHECKSUMS).write_bytes(release_format.checksums(files))
    (out / release_format.RELEASE_JSON).write_bytes(release_format.encode(release))
    return release


def digests(folder: Path, names: Iterable[str]) -> tuple[ReleaseFile, ...]:
    """Size and SHA-256 of files, several at a time."""

    def digest(name: str) -> ReleaseFile:
        path = folder / name
        with path.open("rb") as file:
            return ReleaseFile(name, path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())

    with ThreadPoolExecutor() as pool:
        return tuple(pool.map(digest, names))
