"""Whether a payload may be applied here: who signed it, what it is for, how old and how long it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from argosy.formats.payload.codec import (
    decode_header,
    decode_manifest,
    decode_signatures,
    encode_header,
    raw_signature,
)
from argosy.formats.payload.model import (
    HEADER_BYTES,
    Code,
    Header,
    KeyName,
    Manifest,
    PayloadError,
    Signature,
    payload_bytes,
)
from argosy.formats.version import Version

Verify = Callable[[bytes, bytes, bytes], bool]


@dataclass(frozen=True, slots=True)
class Head:
    """All that comes before a payload's data, and the trusted key that vouches for it. `signed` is what was
    signed: header and manifest."""

    header: Header
    manifest: Manifest
    key: KeyName
    signed: bytes


def read_head(
    read: Callable[[int], bytes], size_bytes: int, trusted: Mapping[str, bytes], verify: Verify
) -> Head:
    """Read and check the head of a payload of `size_bytes`; `read` gives its next bytes, fewer at its end.

    See `check_signatures` for the others. Raises `PayloadError`.
    """
    header = decode_header(read(HEADER_BYTES))
    if size_bytes < header.data_at:
        raise PayloadError(Code.TRUNCATED, "the payload ends within its manifest or signatures")
    signed = encode_header(header) + read(header.manifest_bytes)
    signatures = decode_signatures(read(header.signatures_bytes))
    manifest = decode_manifest(signed[HEADER_BYTES:])
    key = check_signatures(signed, manifest, signatures, trusted, verify)
    check_size(header, manifest, size_bytes)
    return Head(header, manifest, key, signed)


def check_signatures(
    signed: bytes,
    manifest: Manifest,
    signatures: tuple[Signature, ...],
    trusted: Mapping[str, bytes],
    verify: Verify,
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
