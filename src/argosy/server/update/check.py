"""Is this file a payload that machines would take? Signature, size and hashes, before it is offered."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from argosy.base import ed25519, paths
from argosy.base.errors import InputError
from argosy.formats.payload import Code, Header, Manifest, PayloadError, read_head

_STOCK_MAGIC = b"CrAU"
_KEYS_VARIABLE = "ARGOSY_KEYS"


def keys_folder() -> Path:
    """Where releases' keys are kept by this user: $ARGOSY_KEYS, else `argosy/keys` among the settings."""
    chosen = os.environ.get(_KEYS_VARIABLE)
    return Path(chosen) if chosen else paths.config_folder() / "keys"


def trusted_keys(folder: Path) -> dict[str, bytes]:
    """The public keys (`NAME.pem`) of a folder by their ids. Raises `InputError` if one is none."""
    pems = {path: path.read_bytes() for path in sorted(folder.glob("*.pem"))}
    return {ed25519.key_id(pem, source=str(path)): pem for path, pem in pems.items()}


def check_ours(path: Path, trusted: Mapping[str, bytes]) -> Manifest:
    """The manifest of a payload of ours that is whole and signed by a trusted key. Raises `PayloadError`.

    The hashes of all operations' data are checked; what they unpack to is as certain, for the manifest
    has those hashes too and every machine compares them.
    """
    with path.open("rb") as file:
        head = read_head(file.read, os.fstat(file.fileno()).st_size, trusted, ed25519.verify)
        _check_data(file, head.header, head.manifest)
    return head.manifest


def check_stock(path: Path) -> None:
    """Check that a file has the form of CoreOS's payloads. Raises `InputError`."""
    with path.open("rb") as file:
        if file.read(len(_STOCK_MAGIC)) != _STOCK_MAGIC:
            raise InputError(
                "this is not a payload of CoreOS or Flatcar",
                hint="those begin with `CrAU`; a payload of ours is published as such, not as stock",
            )


def _check_data(file: BinaryIO, header: Header, manifest: Manifest) -> None:
    for part, operation in manifest.operations():
        file.seek(header.data_at + operation.data_offset)
        if hashlib.sha256(file.read(operation.data_bytes)).hexdigest() != operation.data_sha256:
            raise PayloadError(
                Code.DATA_HASH, f"the data for byte {operation.target_offset} of {part.name} were changed"
            )
