"""`release.json`: what a release folder holds, and how its /usr is verified."""

from __future__ import annotations

from dataclasses import dataclass

from argosy.base.decode import decode_json, encode_json
from argosy.base.errors import InputError, Location
from argosy.formats.payload import KeyName
from argosy.formats.version import Version, parse_version

FORMAT = 1
CHANNELS = ("alpha", "beta", "stable")

RELEASE_JSON = "release.json"
VERSION_TXT = "version.txt"
DISK_IMAGE = "disk.img"
USR_IMAGE = "usr.img"
USR_ROOT_HASH = "usr.roothash"
PAYLOAD = "update.payload"
KERNEL = "vmlinuz"
INITRD = "initrd.img"
SBOM = "packages.spdx.json"
CHECKSUMS = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class ReleaseFile:
    """A file of the folder; `sha256` is in hexadecimal."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class UsrImage:
    """`usr.img`: a file system of `hash_offset_bytes`, then dm-verity's superblock and hash tree.

    Blocks of data and hashes have 4,096 bytes, the hash is SHA-256. `root_hash` and `salt` are hexadecimal.
    """

    size_bytes: int
    hash_offset_bytes: int
    root_hash: str
    salt: str


@dataclass(frozen=True, slots=True)
class Release:
    """`inputs` is the digest of all that the release was made from, less its version; `keys` are those that
    sign its update payload (a release of before payloads has none)."""

    format: int
    version: str
    channel: str
    kernel: str
    usr: UsrImage
    inputs: str
    files: tuple[ReleaseFile, ...]
    keys: tuple[KeyName, ...] = ()

    @property
    def parsed_version(self) -> Version:
        return parse_version(self.version)

    @property
    def development(self) -> bool:
        """Whether a development key is among those that sign it."""
        return any(key.development for key in self.keys)

    def file(self, name: str) -> ReleaseFile:
        """The file of this name. Raises `InputError` if the release has none."""
        for file in self.files:
            if file.name == name:
                return file
        raise InputError(f"release {self.version} has no file {name!r}")


def decode(data: bytes, *, source: str) -> Release:
    """Read `release.json`. Raises `InputError` if it is not one, or of a format that is not known."""
    release = decode_json(data, Release, source=source)
    if release.format != FORMAT:
        raise InputError(
            f"release format {release.format} is not known", where=Location(source), hint="build it anew"
        )
    parse_version(release.version)
    return release


def encode(release: Release) -> bytes:
    """`release.json`, indented."""
    return encode_json(release, pretty=True)


def checksums(files: tuple[ReleaseFile, ...]) -> bytes:
    """`SHA256SUMS`, as sha256sum(1) checks it."""
    return "".join(f"{file.sha256}  {file.name}\n" for file in files).encode()
