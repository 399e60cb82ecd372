"""The types of an update payload."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from argosy.base.errors import ArgosyError
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
# Magic (8 bytes), format, and the lengths of manifest and signatures.
HEADER_BYTES = 8 + 3 * 4
# The parts in their order, and the most that each may have: what an EFI system partition of 128 MiB and a
# slot of CoreOS's layout can hold.
PARTS = {VMLINUZ: 64 << 20, INITRD: 64 << 20, BOOT: 64 << 10, USR: 1 << 30}


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
