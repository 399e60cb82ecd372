"""The rules that a manifest keeps whatever it brings: forms, order, sizes, no gaps."""

from __future__ import annotations

import re

from argosy.base.errors import InputError
from argosy.formats.payload.model import (
    MAX_OPERATION_BYTES,
    NONE,
    PARTS,
    REPLACE,
    ZSTD,
    Code,
    Manifest,
    Operation,
    Part,
    PayloadError,
)
from argosy.formats.version import parse_version

_SHA256 = re.compile(r"[0-9a-f]{64}")
_KEY_ID = re.compile(r"[0-9a-f]{16}")
_APPLICATION = re.compile(r"\{[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}")
_MAX_KEYS = 8
_SHOWN_CHARACTERS = 80


def check_structure(manifest: Manifest) -> None:
    """Check parts and operations: order, sizes, no gaps. Raises `PayloadError`."""
    names = tuple(part.name for part in manifest.parts)
    if names != tuple(PARTS):
        raise PayloadError(
            Code.PARTS, f"the payload's parts are {_shown(', '.join(names))}, not {', '.join(PARTS)!r}"
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
            f"{place} is {_shown(operation.kind)} with {_shown(operation.compression)}: not known here",
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


def check_names(manifest: Manifest) -> None:
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
                raise InputError(f"{_shown(value)} is not of the form {pattern.pattern}")
    ids = {key.id for key in manifest.keys}
    if len(ids) != len(manifest.keys) or len(ids) > _MAX_KEYS:
        raise InputError(f"it names {len(manifest.keys)} keys: one twice, or more than {_MAX_KEYS}")


def _shown(text: str) -> str:
    """A text of someone unknown as it may stand in a message: short, and without control characters."""
    return repr(text[:_SHOWN_CHARACTERS])
