"""What a release says of itself: files with its version and channel, and names derived from the version."""

from __future__ import annotations

import hashlib
from uuid import UUID, uuid5

from argosy.formats.payload import APPLICATION_ID
from argosy.formats.version import Version
from argosy.image.tree import File, Tree

BOARD = "amd64-usr"

_NAMESPACE = UUID("f3f0b6d2-6a8e-4d5c-9b1e-2f7c1a90d54b")


def derived_uuid(version: Version, name: str) -> UUID:
    """The same for a version and a name, whenever and wherever it is built."""
    return uuid5(_NAMESPACE, f"{version} {name}")


def derived_salt(version: Version) -> str:
    """dm-verity's salt: 32 bytes in hexadecimal."""
    return hashlib.sha256(f"verity salt {version}".encode()).hexdigest()


def identity_files(version: Version, channel: str, floor: Version) -> Tree:
    """os-release(5), and CoreOS's two files about the release and its updates."""
    files = {
        "usr/lib/os-release": _os_release(version, channel),
        "usr/share/coreos/release": "".join(
            f"{name}={value}\n"
            for name, value in (
                ("COREOS_RELEASE_VERSION", version),
                ("COREOS_RELEASE_BOARD", BOARD),
                ("COREOS_RELEASE_APPID", APPLICATION_ID),
                ("COREOS_RELEASE_FLOOR", floor),
            )
        ),
        "usr/share/coreos/update.conf": f"GROUP={channel}\nSERVER=\n",
    }
    return {path: File(text.encode()) for path, text in files.items()}


def _os_release(version: Version, channel: str) -> str:
    fields = {
        "NAME": "Argosy",
        "ID": "argosy",
        "ID_LIKE": "coreos debian",
        "VERSION": str(version),
        "VERSION_ID": str(version),
        "BUILD_ID": version.day.isoformat(),
        "PRETTY_NAME": f"Argosy {version} ({channel})",
        "ANSI_COLOR": "38;5;38",
        "DEFAULT_HOSTNAME": "localhost",
    }
    return "".join(
        f'{name}="{value}"\n' if " " in value else f"{name}={value}\n" for name, value in fields.items()
    )
