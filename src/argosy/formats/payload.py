"""`update.payload`: a release as the update engine applies it. Bytes <-> frozen types, and their rules.

    header       magic, format, length of the manifest, length of the signatures (big-endian)
    manifest     JSON: what the release is, and for each part the operations that make it
    signatures   JSON: Ed25519 signatures over header and manifest
    data         what the operations need, in their order, without gaps

Every operation carries the SHA-256 of its data and of its result, so a signature over the manifest covers all
that is written, and an engine can stop and go on between two operations. An operation makes at most
`MAX_OPERATION_BYTES`, its zstd window is at most `ZSTD_WINDOW_BYTES`: that bounds the engine's memory.
No keys are handled here: `check_signatures` is handed the function that verifies one.
"""

from __future__ import annotations

import binascii
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from argosy.base.decode import decode_json, encode_json
from argosy.base.errors import ArgosyError, InputError
from argosy.formats.version import Version, parse_version

FORMAT = 1
APPLICATION_ID = "{e96281a6-d1af-4bde-9a0a-97b76e56dc57}"
DEVELOPMENT = "development"

VMLINUZ, INITRD, BOOT, USR = "vmlinuz", "initrd", "boot", "usr"
REPLACE = "replace"
ZSTD, NONE = "zstd", "none"

MAX_MANIFEST_BYTES = 4 << 20
MAX_SIGNATURES_BYTES = 64 << 10
MAX_OPERATION_BYTES = 16 << 20
ZSTD_WINDOW_BYTES = 8 << 20
# The parts in their order, and the most that each may have: what an EFI system partition of 128 MiB and a
# slot of CoreOS's layout can hold.
PARTS = {VMLINUZ: 64 << 20, INITRD: 64 << 20, BOOT: 64 << 10, USR: 1 << 30}

_MAGIC = b"ARGOSYUP"
_HEADER = struct.Struct(">8sIII")
HEADER_BYTES = _HEADER.size
_SHA256 = re.compile(r"[0-9a-f]{64}")
_KEY_ID = re.compile(r"[0-9a-f]{16}")
_APPLICATION = re.compile(r"\{[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}")
_MAX_KEYS = 8


class Code(StrEnum):
    """Why a payload is refused."""

    MAGIC = "not-a-payload"
    FORMAT = "unknown-format"
    BOUNDS = "out-of-bounds"
    TRUNCATED = "truncated"
    TOO_LONG = "too-long"
    MANIFEST = "bad-manifest"
    PARTS = "wrong-parts"
    PART_SIZE = "wrong-part-size"
    OPERATION_KIND = "unknown-operation"
    OPERATION_SIZE = "wrong-operation-size"
    OPERATION_ORDER = "operations-not-in-order"
    DATA_ORDER = "data-not-in-order"
    SIGNATURES = "bad-signatures"
    UNSIGNED = "unsigned"
    UNTRUSTED = "untrusted-key"
    WRONG_SIGNATURE = "wrong-signature"
    APPLICATION = "other-application"
    VERSION = "other-version"
    FLOOR = "below-floor"
    PAYLOAD_HASH = "payload-hash"
    DATA_HASH = "data-hash"
    DATA = "bad-data"
    RESULT_HASH = "result-hash"
    PART_HASH = "part-hash"


class PayloadError(ArgosyError):
    """A payload is refused: `code` says why for programs, the message for people."""

    def __init__(self, code: Code, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code


@dataclass(frozen=True, slots=True)
class Header:
    """The lengths, in bytes, of what follows the header; places count from the payload's start."""

    manifest_bytes: int
    signatures_bytes: int

    @property
    def signatures_at(self) -> int:
        """Where the signatures start: all before it is what they sign."""
        return HEADER_BYTES + self.manifest_bytes

    @property
    def data_at(self) -> int:
        """Where the operations' data start."""
        return self.signatures_at + self.signatures_bytes


@dataclass(frozen=True, slots=True)
class Operation:
    """One step: `data_bytes` at `data_offset` (from `Header.data_at`) become `target_bytes` of the part at
    `target_offset`. The hashes are hexadecimal; zstd data is one frame."""

    kind: str
    compression: str
    target_offset: int
    target_bytes: int
    data_offset: int
    data_bytes: int
    data_sha256: str
    target_sha256: str


@dataclass(frozen=True, slots=True)
class Part:
    """One of `PARTS`, and how to make it; `sha256` is that of all of it."""

    name: str
    size_bytes: int
    sha256: str
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class KeyName:
    """A key that signs a payload: its id, and what its owner calls it."""

    id: str
    name: str

    @property
    def development(self) -> bool:
        """Whether it is a key that a first build made, which no one guards."""
        return self.name.startswith(DEVELOPMENT)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a payload brings. A machine that took it refuses versions below `floor` from then on."""

    application: str
    version: str
    channel: str
    kernel: str
    floor: str
    keys: tuple[KeyName, ...]
    parts: tuple[Part, ...]

    @property
    def parsed_version(self) -> Version:
        return parse_version(self.version)

    @property
    def parsed_floor(self) -> Version:
        return parse_version(self.floor)

    @property
    def development(self) -> bool:
        """Whether a development key is among those that sign it."""
        return any(key.development for key in self.keys)

    @property
    def data_bytes(self) -> int:
        """The length of all operations' data."""
        return sum(operation.data_bytes for _, operation in self.operations())

    def part(self, name: str) -> Part:
        """The part of this name, one of `PARTS`."""
        return next(part for part in self.parts if part.name == name)

    def operations(self) -> Iterator[tuple[Part, Operation]]:
        """All operations in the order of their data."""
        for part in self.parts:
            for operation in part.operations:
                yield part, operation


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature, 64 bytes in base64, by the key of this id."""

    key: str
    signature: str


def payload_bytes(header: Header, manifest: Manifest) -> int:
    """How long a payload is, from its header to its end."""
    return header.data_at + manifest.data_bytes


def encode_header(header: Header) -> bytes:
    """The header's `HEADER_BYTES`."""
    return _HEADER.pack(_MAGIC, FORMAT, header.manifest_bytes, header.signatures_bytes)


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest's bytes, without white space."""
    return encode_json(manifest)


def encode_signatures(signatures: tuple[Signature, ...]) -> bytes:
    """The signatures' bytes; their length depends on how many there are, and on nothing else."""
    return encode_json(signatures)


def signature(key: str, raw: bytes) -> Signature:
    """The signature of the key with this id whose 64 bytes are `raw`."""
    return Signature(key, binascii.b2a_base64(raw, newline=False).decode())


def decode_header(data: bytes) -> Header:
    """Read a payload's first `HEADER_BYTES` (more do no harm). Raises `PayloadError`."""
    if not data.startswith(_MAGIC[: len(data)]) or not data:
        raise PayloadError(Code.MAGIC, "this is not an update payload")
    if len(data) < HEADER_BYTES:
        raise PayloadError(Code.TRUNCATED, "the payload ends within its header")
    _, version, manifest_bytes, signatures_bytes = _HEADER.unpack_from(data)
    if version != FORMAT:
        raise PayloadError(
            Code.FORMAT,
            f"the payload has format {version}, known is {FORMAT}",
            hint="update to a version between this one and that one first",
        )
    for what, size, most in (
        ("manifest", manifest_bytes, MAX_MANIFEST_BYTES),
        ("list of signatures", signatures_bytes, MAX_SIGNATURES_BYTES),
    ):
        if not 0 < size <= most:
            raise PayloadError(Code.BOUNDS, f"the payload's {what} has {size} bytes, not 1 to {most}")
    return Header(manifest_bytes, signatures_bytes)


def decode_manifest(data: bytes) -> Manifest:
    """Read a manifest and check its structure. Raises `PayloadError`."""
    try:
        manifest = decode_json(data, Manifest, source="manifest")
        _check_names(manifest)
    except InputError as error:
        raise PayloadError(Code.MANIFEST, f"the payload's manifest is not valid: {error.message}") from error
    check_structure(manifest)
    return manifest


def decode_signatures(data: bytes) -> tuple[Signature, ...]:
    """Read the signatures. Raises `PayloadError`, also for bytes that `encode_signatures` would not make."""
    try:
        signatures = decode_json(data, tuple[Signature, ...], source="signatures")
        exact = encode_signatures(tuple(signature(each.key, raw_signature(each)) for each in signatures))
    except (InputError, binascii.Error, UnicodeEncodeError) as error:
        raise PayloadError(Code.SIGNATURES, "the payload's list of signatures cannot be read") from error
    if exact != data:
        raise PayloadError(Code.SIGNATURES, "the payload's list of signatures is not in its one valid form")
    return signatures


def raw_signature(signature: Signature) -> bytes:
    """A signature's bytes. Raises `binascii.Error` if it is not in base64."""
    return binascii.a2b_base64(signature.signature.encode("ascii"), strict_mode=True)


def check_signatures(
    signed: bytes,
    manifest: Manifest,
    signatures: tuple[Signature, ...],
    trusted: Mapping[str, bytes],
    verify: Callable[[bytes, bytes, bytes], bool],
) -> KeyName:
    """The trusted key that vouches for a payload whose header and manifest are `signed`.

    `trusted` maps key ids to public keys; `verify(public key, message, signature)` says whether one is right
    (`argosy.base.ed25519.verify`). Every key that the manifest names must have signed, and every signature of
    a trusted key must be right. Raises `PayloadError`.
    """
    if not signatures:
        raise PayloadError(Code.UNSIGNED, "the payload is not signed")
    if [each.key for each in signatures] != [key.id for key in manifest.keys]:
        raise PayloadError(Code.SIGNATURES, "the payload is signed by other keys than its manifest names")
    known = [each for each in signatures if each.key in trusted]
    if not known:
        names = ", ".join(f"{key.name} ({key.id})" for key in manifest.keys)
        raise PayloadError(
            Code.UNTRUSTED,
            f"the payload is signed by {names}, which is not trusted here",
            hint=f"trusted are {', '.join(trusted) or 'no keys at all'}",
        )
    for each in known:
        if not verify(trusted[each.key], signed, raw_signature(each)):
            raise PayloadError(
                Code.WRONG_SIGNATURE, f"the signature of key {each.key} does not belong to this payload"
            )
    return next(key for key in manifest.keys if key.id == known[0].key)


def check_wanted(
    manifest: Manifest, *, application: str, floor: Version, version: Version | None = None
) -> None:
    """Check that a payload is for this machine, not below its floor and, if given, of the announced version.

    Raises `PayloadError`.
    """
    if manifest.application != application:
        raise PayloadError(
            Code.APPLICATION, f"the payload is for application {manifest.application}, not {application}"
        )
    if manifest.parsed_version < floor:
        raise PayloadError(
            Code.FLOOR,
            f"version {manifest.version} is below the floor {floor}: it is too old to be run again",
        )
    if version is not None and manifest.parsed_version != version:
        raise PayloadError(
            Code.VERSION, f"the payload brings version {manifest.version}, announced was {version}"
        )


def check_size(header: Header, manifest: Manifest, size_bytes: int) -> None:
    """Check how long a payload is. Raises `PayloadError`."""
    wanted = payload_bytes(header, manifest)
    if size_bytes != wanted:
        code = Code.TRUNCATED if size_bytes < wanted else Code.TOO_LONG
        raise PayloadError(code, f"the payload has {size_bytes} bytes, its manifest describes {wanted}")


def check_structure(manifest: Manifest) -> None:
    """Check parts and operations: order, sizes, no gaps. Raises `PayloadError`."""
    names = tuple(part.name for part in manifest.parts)
    if names != tuple(PARTS):
        raise PayloadError(
            Code.PARTS, f"the payload's parts are {', '.join(names) or 'none'}, not {', '.join(PARTS)}"
        )
    data_at = 0
    for part in manifest.parts:
        if not 0 < part.size_bytes <= PARTS[part.name]:
            raise PayloadError(
                Code.PART_SIZE, f"{part.name} has {part.size_bytes} bytes, not 1 to {PARTS[part.name]}"
            )
        target_at = 0
        for operation in part.operations:
            _check_operation(part, operation, target_at, data_at)
            target_at += operation.target_bytes
            data_at += operation.data_bytes
        if target_at != part.size_bytes:
            raise PayloadError(
                Code.PART_SIZE, f"the operations make {target_at} bytes of {part.name}, not {part.size_bytes}"
            )


def _check_operation(part: Part, operation: Operation, target_at: int, data_at: int) -> None:
    place = f"the operation for byte {operation.target_offset} of {part.name}"
    if operation.kind != REPLACE or operation.compression not in (ZSTD, NONE):
        raise PayloadError(
            Code.OPERATION_KIND,
            f"{place} is {operation.kind!r} with {operation.compression!r}: not known here",
        )
    most = operation.target_bytes
    least = most if operation.compression == NONE else 1
    if not 0 < operation.target_bytes <= MAX_OPERATION_BYTES or not least <= operation.data_bytes <= most:
        raise PayloadError(
            Code.OPERATION_SIZE,
            f"{place} makes {operation.target_bytes} bytes of {operation.data_bytes}, which is out of bounds",
        )
    if operation.target_offset != target_at:
        raise PayloadError(Code.OPERATION_ORDER, f"{place} should be for byte {target_at}")
    if operation.data_offset != data_at:
        raise PayloadError(
            Code.DATA_ORDER, f"{place} has its data at {operation.data_offset}, not at {data_at}"
        )


def _check_names(manifest: Manifest) -> None:
    """Check the values whose types say too little. Raises `InputError`."""
    if parse_version(manifest.version) < parse_version(manifest.floor):
        raise InputError(f"version {manifest.version} is below its own floor {manifest.floor}")
    hashes = [part.sha256 for part in manifest.parts]
    for _, operation in manifest.operations():
        hashes += [operation.data_sha256, operation.target_sha256]
    for pattern, values in (
        (_APPLICATION, [manifest.application]),
        (_WORD, [manifest.channel, manifest.kernel, *(key.name for key in manifest.keys)]),
        (_KEY_ID, [key.id for key in manifest.keys]),
        (_SHA256, hashes),
    ):
        for value in values:
            if not pattern.fullmatch(value):
                raise InputError(f"{value!r} is not of the form {pattern.pattern}")
    ids = {key.id for key in manifest.keys}
    if len(ids) != len(manifest.keys) or len(ids) > _MAX_KEYS:
        raise InputError(f"it names {len(manifest.keys)} keys: one twice, or more than {_MAX_KEYS}")
