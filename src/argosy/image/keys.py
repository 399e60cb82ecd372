"""The keys that sign releases: a folder with a private `NAME.key` and a public `NAME.pem` for each.

Every public key of the folder is trusted by the releases that are built, every private one signs them. More
than one is for a rotation only: machines must first learn to trust the new key, from a release that the old
one signed as well. Retired keys are kept below `retired/`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from argosy.base import ed25519, paths
from argosy.base.errors import InputError
from argosy.base.files import locked, replace_file, sync_folder
from argosy.formats.payload import DEVELOPMENT, KeyName
from argosy.image.tree import File, Tree

FOLDER_VARIABLE = "ARGOSY_KEYS"
DEFAULT_NAME = "release"

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")
_PRIVATE, _PUBLIC = ".key", ".pem"
_RETIRED = "retired"
_IN_IMAGE = "usr/share/argosy/keys"
_MOST_TRUSTED = 2
_OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class Key:
    """A trusted key: `public` is in PEM. It signs if its `private` half is in the folder too."""

    name: str
    id: str
    public: bytes
    private: Path | None

    @property
    def label(self) -> KeyName:
        """The key as a payload names it."""
        return KeyName(self.id, self.name)


def key_files(keys: Iterable[Key]) -> Tree:
    """What an image trusts: the public keys, where its update engine looks for them."""
    return {f"{_IN_IMAGE}/{key.name}{_PUBLIC}": File(key.public) for key in keys}


def keys_folder() -> Path:
    """Where keys are kept: $ARGOSY_KEYS, else `argosy/keys` among the user's settings."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    return Path(chosen) if chosen else paths.config_folder() / "keys"


def load_keys(folder: Path) -> tuple[Key, ...]:
    """The keys of a folder, by name; none if there is no folder.

    Raises `InputError` for files that are no keys, halves that do not belong together, and private keys
    that other users may read.
    """
    names = {path.stem for suffix in (_PRIVATE, _PUBLIC) for path in folder.glob(f"*{suffix}")}
    return tuple(_load(folder, name) for name in sorted(names))


def ensure_keys(folder: Path) -> tuple[Key, ...]:
    """The keys of a folder; if there are none, a development key is made first.

    Raises `InputError` also if none of them can sign.
    """
    keys = load_keys(folder)
    if not keys:
        create(folder, DEVELOPMENT)
        keys = load_keys(folder)
    if not any(key.private for key in keys):
        raise InputError(
            "there is no private key to sign a release with",
            where=str(folder),
            hint="put one beside its public half, or make one: argosy keys rotate",
        )
    return keys


def trusted_keys(keys: Iterable[Key]) -> dict[str, bytes]:
    """Key ids and public keys, as signatures are checked with them."""
    return {key.id: key.public for key in keys}


def create(folder: Path, name: str = DEFAULT_NAME) -> Key:
    """Make the folder's first key. Raises `InputError` if it has one: then it is a rotation."""
    with _changing(folder):
        if load_keys(folder):
            raise InputError(
                "there is a key already", where=str(folder), hint="`argosy keys rotate` adds its successor"
            )
        return _create(folder, name)


def rotate(folder: Path, name: str | None = None) -> Key:
    """Make the successor of the folder's one key; both are trusted, and sign, until the old one retires."""
    with _changing(folder):
        keys = load_keys(folder)
        if not keys:
            raise InputError("there is no key to rotate", where=str(folder), hint="argosy keys create")
        if len(keys) >= _MOST_TRUSTED:
            raise InputError(
                f"a rotation is under way: {' and '.join(key.name for key in keys)} are trusted",
                hint=f"once every machine runs a release with both: argosy keys retire {keys[0].name}",
            )
        return _create(folder, name or _free_name(folder))


def retire(folder: Path, name: str) -> None:
    """Trust a key no more; it moves to `retired/`. Raises `InputError` if no other key could sign."""
    with _changing(folder):
        keys = load_keys(folder)
        if name not in (key.name for key in keys):
            known = ", ".join(key.name for key in keys) or "none"
            raise InputError(f"there is no key {name!r}", where=str(folder), hint=f"there is {known}")
        if not any(key.private for key in keys if key.name != name):
            raise InputError(
                f"{name} is the only key that signs",
                hint="make its successor first: argosy keys rotate",
            )
        (folder / _RETIRED).mkdir(mode=0o700, exist_ok=True)
        # The private half first: a key that is trusted and cannot sign is harmless, should this be cut short.
        for file in (f"{name}{_PRIVATE}", f"{name}{_PUBLIC}"):
            if (folder / file).exists():
                (folder / file).rename(folder / _RETIRED / file)
        sync_folder(folder / _RETIRED)
        sync_folder(folder)


def _changing(folder: Path) -> AbstractContextManager[None]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return locked(folder / ".lock", busy=f"another process changes the keys in {folder}")


def _create(folder: Path, name: str) -> Key:
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} is not a key's name", hint="small letters, digits and dashes")
    if name in _used_names(folder):
        raise InputError(f"there is, or was, a key {name!r}", where=str(folder), hint="choose another name")
    private = folder / f"{name}{_PRIVATE}"
    ed25519.create_key(private)
    replace_file(folder / f"{name}{_PUBLIC}", ed25519.public_key(private))
    return _load(folder, name)


def _used_names(folder: Path) -> set[str]:
    return {path.stem for suffix in (_PRIVATE, _PUBLIC) for path in folder.rglob(f"*{suffix}")}


def _free_name(folder: Path) -> str:
    used, name, number = _used_names(folder), DEFAULT_NAME, 1
    while name in used:
        number += 1
        name = f"{DEFAULT_NAME}-{number}"
    return name


def _load(folder: Path, name: str) -> Key:
    """A key whose public half may be missing: the making of a key can be cut short."""
    private, public = folder / f"{name}{_PRIVATE}", folder / f"{name}{_PUBLIC}"
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} is not a key's name", where=str(folder), hint="small letters, digits and dashes"
        )
    if not private.exists():
        pem = public.read_bytes()
        return Key(name, ed25519.key_id(pem, source=str(public)), pem, None)
    if private.stat().st_mode & _OTHERS:
        raise InputError(
            "other users may read this private key", where=str(private), hint=f"chmod 600 {private}"
        )
    pem = ed25519.public_key(private)
    identity = ed25519.key_id(pem, source=str(private))
    if public.exists() and ed25519.key_id(public.read_bytes(), source=str(public)) != identity:
        raise InputError(f"this is not the public half of {private.name}", where=str(public))
    return Key(name, identity, pem, private)
