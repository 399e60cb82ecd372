"""`update.payload`: made from a release's parts, signed, and checked as the update engine will check it."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from argosy.base import ed25519
from argosy.base.errors import InputError
from argosy.base.files import replacing
from argosy.base.progress import Progress
from argosy.formats import release as release_format
from argosy.formats.payload import (
    APPLICATION_ID,
    BOOT,
    HEADER_BYTES,
    INITRD,
    USR,
    VMLINUZ,
    Header,
    KeyName,
    Manifest,
    Operation,
    Part,
    Signature,
    check_part,
    check_result,
    check_structure,
    decode_header,
    decode_manifest,
    encode_header,
    encode_manifest,
    encode_signatures,
    read_head,
    signature,
    unpack,
)
from argosy.formats.release import Release
from argosy.formats.version import Version
from argosy.image.keys import Key
from argosy.image.pack import Source, packed_parts, size_bytes

_READ_BYTES = 1 << 20
_NO_FLOOR = Version(0)


@dataclass(frozen=True, slots=True)
class Info:
    """What a payload says of its release; see `Manifest`."""

    version: Version
    channel: str
    kernel: str
    floor: Version = _NO_FLOOR
    application: str = APPLICATION_ID


@dataclass(frozen=True, slots=True)
class Checked:
    """A payload that is whole: `key` is the trusted one that vouches for it, `sha256` (hexadecimal) that of
    the file."""

    manifest: Manifest
    key: KeyName
    size_bytes: int
    sha256: str


def make_payload(
    parts: Mapping[str, Source], info: Info, keys: Sequence[Key], target: Path, progress: Progress
) -> Manifest:
    """Write `target` from the contents of all `PARTS`, in that order, signed with each of `keys` that has its
    private half.

    The same parts, keys and `pack.PACKER` give the same bytes. Raises `PayloadError` for parts that no
    payload can have.
    """
    signers = [key for key in keys if key.private]
    total = sum(size_bytes(source) for source in parts.values())
    with (
        progress.step("make the update payload", total=total) as step,
        tempfile.TemporaryFile(dir=target.parent) as data,
    ):
        manifest = Manifest(
            application=info.application,
            version=str(info.version),
            channel=info.channel,
            kernel=info.kernel,
            floor=str(info.floor),
            keys=tuple(key.label for key in signers),
            parts=packed_parts(parts, data, step),
        )
        check_structure(manifest)
        data.seek(0)
        with replacing(target) as temporary, temporary.open("wb") as file:
            file.write(_signed_head(manifest, signers))
            shutil.copyfileobj(data, file, _READ_BYTES)
            temporary.chmod(0o644)
    return manifest


def release_parts(folder: Path, release: Release) -> dict[str, Source]:
    """The parts of the release in a folder; what boots it is taken from its payload."""
    return {
        VMLINUZ: folder / release_format.KERNEL,
        INITRD: folder / release_format.INITRD,
        BOOT: read_part(folder / release_format.PAYLOAD, BOOT),
        USR: folder / release_format.USR_IMAGE,
    }


def look(path: Path) -> tuple[Header, Manifest]:
    """A payload's header and manifest; nobody vouches for them. Raises `PayloadError`."""
    with _opened(path) as file:
        header = decode_header(file.read(HEADER_BYTES))
        return header, decode_manifest(file.read(header.manifest_bytes))


def read_part(path: Path, name: str) -> bytes:
    """The content of a part, whole in memory, as a payload holds it. Raises `PayloadError`."""
    header, manifest = look(path)
    part = manifest.part(name)
    with _opened(path) as file:
        content = b"".join(
            piece for operation in part.operations for piece in _unpacked(file, header, part, operation)
        )
    check_part(part, hashlib.sha256(content).hexdigest())
    return content


def check_payload(path: Path, trusted: Mapping[str, bytes], progress: Progress) -> Checked:
    """Check all of a payload, to the last byte that it would make.

    `trusted` maps key ids to public keys in PEM, as `trusted_keys` does.
    Raises `PayloadError`.
    """
    with _opened(path) as file, progress.step("check the update payload") as step:
        size = os.fstat(file.fileno()).st_size
        head = read_head(file.read, size, trusted, ed25519.verify)
        for part in head.manifest.parts:
            step.note(part.name)
            _check_part(file, head.header, part)
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Checked(head.manifest, head.key, size, digest)


def _opened(path: Path) -> BufferedReader:
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(f"cannot read the update payload: {error.strerror}", where=str(path)) from error


def _check_part(file: BinaryIO, header: Header, part: Part) -> None:
    whole = hashlib.sha256()
    for operation in part.operations:
        made = hashlib.sha256()
        for piece in _unpacked(file, header, part, operation):
            made.update(piece)
            whole.update(piece)
        check_result(part, operation, made.hexdigest())
    check_part(part, whole.hexdigest())


def _unpacked(file: BinaryIO, header: Header, part: Part, operation: Operation) -> Iterator[bytes]:
    file.seek(header.data_at + operation.data_offset)
    return unpack(part, operation, file.read(operation.data_bytes))


def _signed_head(manifest: Manifest, signers: Sequence[Key]) -> bytes:
    """Header, manifest and signatures. The header holds the signatures' length: it comes first."""
    body = encode_manifest(manifest)
    unsigned = tuple(signature(key.id, bytes(ed25519.SIGNATURE_BYTES)) for key in signers)
    signed = encode_header(Header(len(body), len(encode_signatures(unsigned)))) + body
    return signed + encode_signatures(tuple(_signature(key, signed) for key in signers))


def _signature(key: Key, message: bytes) -> Signature:
    assert key.private is not None
    return signature(key.id, ed25519.sign(key.private, message))
