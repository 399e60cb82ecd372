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

from argosy.formats.payload.codec import (
    decode_header,
    decode_manifest,
    decode_signatures,
    encode_header,
    encode_manifest,
    encode_signatures,
    raw_signature,
    signature,
)
from argosy.formats.payload.data import check_part, check_result, unpack
from argosy.formats.payload.model import (
    APPLICATION_ID,
    BOOT,
    DEVELOPMENT,
    FORMAT,
    HEADER_BYTES,
    INITRD,
    MAX_MANIFEST_BYTES,
    MAX_OPERATION_BYTES,
    MAX_SIGNATURES_BYTES,
    NONE,
    PARTS,
    REPLACE,
    USR,
    VMLINUZ,
    ZSTD,
    ZSTD_WINDOW_BYTES,
    Code,
    Header,
    KeyName,
    Manifest,
    Operation,
    Part,
    PayloadError,
    Signature,
    payload_bytes,
)
from argosy.formats.payload.structure import check_structure
from argosy.formats.payload.trust import Head, check_signatures, check_size, check_wanted, read_head

__all__ = [
    "APPLICATION_ID",
    "BOOT",
    "DEVELOPMENT",
    "FORMAT",
    "HEADER_BYTES",
    "INITRD",
    "MAX_MANIFEST_BYTES",
    "MAX_OPERATION_BYTES",
    "MAX_SIGNATURES_BYTES",
    "NONE",
    "PARTS",
    "REPLACE",
    "USR",
    "VMLINUZ",
    "ZSTD",
    "ZSTD_WINDOW_BYTES",
    "Code",
    "Head",
    "Header",
    "KeyName",
    "Manifest",
    "Operation",
    "Part",
    "PayloadError",
    "Signature",
    "check_part",
    "check_result",
    "check_signatures",
    "check_size",
    "check_structure",
    "check_wanted",
    "decode_header",
    "decode_manifest",
    "decode_signatures",
    "encode_header",
    "encode_manifest",
    "encode_signatures",
    "payload_bytes",
    "raw_signature",
    "read_head",
    "signature",
    "unpack",
]
