"""An update payload's header, manifest and signatures: bytes <-> types."""

from __future__ import annotations

import binascii
import struct

from argosy.base.decode import decode_json, encode_json
from argosy.base.errors import InputError
from argosy.formats.payload.model import (
    FORMAT,
    HEADER_BYTES,
    MAX_MANIFEST_BYTES,
    MAX_SIGNATURES_BYTES,
    Code,
    Header,
    Manifest,
    PayloadError,
    Signature,
)
from argosy.formats.payload.structure import check_names, check_structure

_MAGIC = b"ARGOSYUP"
_HEADER = struct.Struct(">8sIII")


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
        check_names(manifest)
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
