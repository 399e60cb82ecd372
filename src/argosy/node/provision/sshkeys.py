"""A user's ~/.ssh/authorized_keys, made of the files in ~/.ssh/authorized_keys.d.

As with CoreOS's update-ssh-keys, keys of several origins (cloud-config, the OEM, a person) live beside each
other under names of their own. Keys that were there before the folder are kept in it under
`orig_authorized_keys`.
"""

from __future__ import annotations

from pathlib import Path

from argosy.base.errors import ArgosyError
from argosy.base.files import replace_file
from argosy.node.provision.accounts import Account, acting_as

KEPT = "orig_authorized_keys"


def authorize_keys(root: Path, user: Account, name: str, keys: tuple[str, ...]) -> None:
    """Make `keys` the ones kept under `name`, and rewrite the file that sshd reads."""
    home = root / user.home.lstrip("/")
    if not home.is_dir():
        raise ArgosyError(f"the home folder {user.home} of user {user.name} is missing")
    with acting_as(user):
        ssh = home / ".ssh"
        folder, merged = ssh / "authorized_keys.d", ssh / "authorized_keys"
        for path in (ssh, folder):
            if not path.is_dir():
                path.mkdir(mode=0o700)
                if path == folder and merged.is_file():
                    replace_file(folder / KEPT, merged.read_bytes(), mode=0o600)
        replace_file(folder / name, "".join(f"{key}\n" for key in keys).encode(), mode=0o600)
        parts = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
        text = b"".join(_ending_in_newline(path.read_bytes()) for path in parts)
        replace_file(merged, text, mode=0o600)


def _ending_in_newline(data: bytes) -> bytes:
    return data if not data or data.endswith(b"\n") else data + b"\n"
