"""Update payloads: round trips, and every rule broken once."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from argosy.formats import payload as p
from argosy.formats.payload import Code, Header, KeyName, Manifest, Operation, Part, PayloadError
from argosy.formats.version import Version

ZEROS = "0" * 64
KEYS = (KeyName("a" * 16, "release"), KeyName("b" * 16, "release-2"))


def operation(target: int, data: int, size: int = 10, **values: Any) -> Operation:
    base = Operation(p.REPLACE, p.ZSTD, target, size, data, 4, ZEROS, ZEROS)
    return replace(base, **values)


def sample() -> Manifest:
    """Parts of one operation each, but for /usr, which has two."""
    small = [Part(name, 10, ZEROS, (operation(0, 4 * at),)) for at, name in enumerate(p.PARTS)][:3]
    usr = Part(p.USR, 20, ZEROS, (operation(0, 12), operation(10, 16)))
    return Manifest(
        p.APPLICATION_ID, "4892.1.0", "stable", "6.12.1-cloud-amd64", "4000.0.0", KEYS, (*small, usr)
    )


def with_part(of: str, /, **values: Any) -> Manifest:
    manifest = sample()
    return replace(
        manifest,
        parts=tuple(replace(part, **values) if part.name == of else part for part in manifest.parts),
    )


def with_operation(at: int, **values: Any) -> Manifest:
    """The sample with one of /usr's operations changed."""
    operations = list(sample().part(p.USR).operations)
    operations[at] = replace(operations[at], **values)
    return with_part(p.USR, operations=tuple(operations))


def refused(manifest: Manifest) -> PayloadError:
    with pytest.raises(PayloadError) as caught:
        p.decode_manifest(p.encode_manifest(manifest))
    assert caught.value.message
    return caught.value


def test_the_sample_is_sound() -> None:
    manifest = p.decode_manifest(p.encode_manifest(sample()))
    assert manifest == sample()
    assert manifest.data_bytes == 20
    assert p.payload_bytes(Header(100, 10), manifest) == p.HEADER_BYTES + 100 + 10 + 20
    assert not manifest.development
    assert replace(manifest, keys=(KeyName("c" * 16, "development"), *KEYS)).development


@given(st.integers(1, p.MAX_MANIFEST_BYTES), st.integers(1, p.MAX_SIGNATURES_BYTES), st.binary(max_size=8))
def test_headers_round_trip(manifest: int, signatures: int, rest: bytes) -> None:
    header = Header(manifest, signatures)
    data = p.encode_header(header)
    assert len(data) == p.HEADER_BYTES
    assert p.decode_header(data + rest) == header


@given(
    st.tuples(
        *(st.lists(st.tuples(st.integers(1, 1000), st.booleans()), min_size=1, max_size=4),) * len(p.PARTS)
    ),
    st.tuples(*(st.integers(0, 999_999),) * 3),
)
def test_manifests_round_trip(
    sizes: tuple[list[tuple[int, bool]], ...], version: tuple[int, int, int]
) -> None:
    parts, data = [], 0
    for name, chunks in zip(p.PARTS, sizes, strict=True):
        operations, target = [], 0
        for size, plain in chunks:
            sizes_of = {"data_bytes": size if plain else max(1, size // 2)}
            kind = p.NONE if plain else p.ZSTD
            operations.append(operation(target, data, size, compression=kind, **sizes_of))
            target, data = target + size, data + sizes_of["data_bytes"]
        parts.append(Part(name, target, ZEROS, tuple(operations)))
    manifest = replace(sample(), version=str(Version(*version)), floor="0.0.0", parts=tuple(parts))
    assert p.decode_manifest(p.encode_manifest(manifest)) == manifest
    assert manifest.data_bytes == data


@given(st.lists(st.tuples(st.sampled_from(KEYS), st.binary(min_size=64, max_size=64)), max_size=3))
def test_signatures_round_trip(values: list[tuple[KeyName, bytes]]) -> None:
    signatures = tuple(p.signature(key.id, raw) for key, raw in values)
    data = p.encode_signatures(signatures)
    assert p.decode_signatures(data) == signatures
    assert [p.raw_signature(each) for each in signatures] == [raw for _, raw in values]
    # A maker leaves room for signatures that it does not have yet.
    assert len(data) == len(p.encode_signatures(tuple(p.signature(key.id, bytes(64)) for key, _ in values)))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", Code.MAGIC),
        (b"PK\x03\x04" + bytes(40), Code.MAGIC),
        (b"ARGOSYUP", Code.TRUNCATED),
        (p.encode_header(Header(1, 1))[:-1], Code.TRUNCATED),
        (b"ARGOSYUP" + bytes([0, 0, 0, 2]) + bytes(8), Code.FORMAT),
        (p.encode_header(Header(0, 1)), Code.BOUNDS),
        (p.encode_header(Header(1, 0)), Code.BOUNDS),
        (p.encode_header(Header(p.MAX_MANIFEST_BYTES + 1, 1)), Code.BOUNDS),
        (p.encode_header(Header(1, p.MAX_SIGNATURES_BYTES + 1)), Code.BOUNDS),
    ],
)
def test_headers_that_are_refused(data: bytes, code: Code) -> None:
    with pytest.raises(PayloadError) as caught:
        p.decode_header(data)
    assert caught.value.code is code


def test_a_later_format_says_what_to_do() -> None:
    with pytest.raises(PayloadError, match="has format 2, known is 1") as caught:
        p.decode_header(b"ARGOSYUP" + bytes([0, 0, 0, 2]) + bytes(8))
    assert caught.value.hint


USR = sample().part(p.USR)
BROKEN = [
    (replace(sample(), parts=()), Code.PARTS, "parts are ''"),
    (replace(sample(), parts=sample().parts[1:]), Code.PARTS, "'initrd, boot, usr'"),
    (replace(sample(), parts=sample().parts[::-1]), Code.PARTS, "'usr, boot, initrd, vmlinuz'"),
    (replace(sample(), parts=(*sample().parts, USR)), Code.PARTS, "usr, usr"),
    (with_part(p.USR, name="root"), Code.PARTS, "root"),
    (with_part(p.USR, size_bytes=0), Code.PART_SIZE, "usr has 0 bytes"),
    (with_part(p.BOOT, size_bytes=p.PARTS[p.BOOT] + 1), Code.PART_SIZE, "boot has 65537 bytes"),
    (with_part(p.USR, size_bytes=21), Code.PART_SIZE, "make 20 bytes of usr, not 21"),
    (with_part(p.INITRD, operations=()), Code.PART_SIZE, "make 0 bytes of initrd"),
    (with_operation(0, kind="bsdiff"), Code.OPERATION_KIND, "byte 0 of usr is 'bsdiff'"),
    (with_operation(1, compression="xz"), Code.OPERATION_KIND, "with 'xz'"),
    (with_operation(0, target_bytes=0), Code.OPERATION_SIZE, "makes 0 bytes"),
    (with_operation(0, target_bytes=p.MAX_OPERATION_BYTES + 1), Code.OPERATION_SIZE, "makes 16777217 bytes"),
    (with_operation(0, data_bytes=0), Code.OPERATION_SIZE, "of 0,"),
    (with_operation(0, data_bytes=11), Code.OPERATION_SIZE, "of 11,"),
    (with_operation(0, compression=p.NONE), Code.OPERATION_SIZE, "makes 10 bytes of 4,"),
    (with_operation(1, target_offset=11), Code.OPERATION_ORDER, "byte 11 of usr should be for byte 10"),
    (with_operation(1, target_offset=0), Code.OPERATION_ORDER, "should be for byte 10"),
    (with_operation(0, data_offset=13), Code.DATA_ORDER, "data at 13, not at 12"),
    (with_operation(1, data_offset=0), Code.DATA_ORDER, "data at 0, not at 16"),
    (replace(sample(), version="4892"), Code.MANIFEST, "not a version"),
    (replace(sample(), floor="x"), Code.MANIFEST, "not a version"),
    (replace(sample(), floor="4893.0.0"), Code.MANIFEST, "below its own floor"),
    (replace(sample(), application="argosy"), Code.MANIFEST, "'argosy'"),
    (replace(sample(), channel=""), Code.MANIFEST, "not of the form"),
    (replace(sample(), kernel="a b"), Code.MANIFEST, "'a b'"),
    (replace(sample(), keys=(KeyName("short", "x"),)), Code.MANIFEST, "'short'"),
    (replace(sample(), keys=(KeyName("a" * 16, "\n"),)), Code.MANIFEST, "not of the form"),
    (replace(sample(), keys=KEYS[:1] * 2), Code.MANIFEST, "one twice"),
    (with_part(p.USR, sha256="0" * 63), Code.MANIFEST, "not of the form"),
    (with_operation(0, data_sha256="A" * 64), Code.MANIFEST, "not of the form"),
    (with_operation(0, target_sha256=""), Code.MANIFEST, "not of the form"),
]


@pytest.mark.parametrize(("manifest", "code", "sentence"), BROKEN, ids=lambda value: str(value)[:40])
def test_each_rule_has_its_code_and_its_sentence(manifest: Manifest, code: Code, sentence: str) -> None:
    error = refused(manifest)
    assert (error.code, sentence in error.message) == (code, True), error.message


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"\xff", b'{"version": 1}', p.encode_manifest(sample())[:-1]]
)
def test_what_is_no_manifest(data: bytes) -> None:
    with pytest.raises(PayloadError) as caught:
        p.decode_manifest(data)
    assert caught.value.code is Code.MANIFEST


def test_a_message_shows_little_of_what_a_stranger_wrote() -> None:
    error = refused(replace(sample(), kernel="\x1b[31m" * 10_000))
    assert "\x1b" not in error.message and len(error.message) < 500


def test_signatures_have_one_form() -> None:
    data = p.encode_signatures((p.signature("a" * 16, b"\xff" * 64),))
    assert data.endswith(b'w=="}]')
    for other in (
        data.replace(b'w=="', b'x=="'),  # the same bytes to a lenient decoder of base64
        data.replace(b"[", b"[ "),
        data.replace(b'"key"', b'"kex"'),
        data.replace(b"=", b""),
        b"[",
    ):
        with pytest.raises(PayloadError) as caught:
            p.decode_signatures(other)
        assert caught.value.code is Code.SIGNATURES


def fake_verify(public: bytes, message: bytes, raw: bytes) -> bool:
    """A stand-in for Ed25519, whose real one is tested with base and image."""
    return hashlib.sha512(public + message).digest() == raw


def signatures_of(signed: bytes, *keys: KeyName) -> tuple[p.Signature, ...]:
    return tuple(p.signature(key.id, hashlib.sha512(key.id.encode() + signed).digest()) for key in keys)


TRUST = {key.id: key.id.encode() for key in KEYS}
SIGNED = b"header and manifest"


def test_one_trusted_key_is_enough_while_keys_rotate() -> None:
    both = signatures_of(SIGNED, *KEYS)
    assert p.check_signatures(SIGNED, sample(), both, TRUST, fake_verify) == KEYS[0]
    for key in KEYS:
        trusted = {key.id: TRUST[key.id]}
        assert p.check_signatures(SIGNED, sample(), both, trusted, fake_verify) == key


@pytest.mark.parametrize(
    ("signatures", "trusted", "code"),
    [
        ((), TRUST, Code.UNSIGNED),
        (signatures_of(SIGNED, *KEYS), {}, Code.UNTRUSTED),
        (signatures_of(SIGNED, *KEYS), {"c" * 16: b"x"}, Code.UNTRUSTED),
        (signatures_of(SIGNED, *KEYS[:1]), TRUST, Code.SIGNATURES),
        (signatures_of(SIGNED, *KEYS[::-1]), TRUST, Code.SIGNATURES),
        (signatures_of(b"another payload", *KEYS), TRUST, Code.WRONG_SIGNATURE),
        ((*signatures_of(SIGNED, KEYS[0]), *signatures_of(b"x", KEYS[1])), TRUST, Code.WRONG_SIGNATURE),
    ],
)
def test_signatures_that_are_refused(
    signatures: tuple[p.Signature, ...], trusted: dict[str, bytes], code: Code
) -> None:
    with pytest.raises(PayloadError) as caught:
        p.check_signatures(SIGNED, sample(), signatures, trusted, fake_verify)
    assert caught.value.code is code


def test_what_a_machine_does_not_want() -> None:
    manifest, wanted = sample(), {"application": p.APPLICATION_ID, "floor": Version(4892, 1)}
    p.check_wanted(manifest, application=p.APPLICATION_ID, floor=Version(4892, 1), version=Version(4892, 1))
    for code, changes in (
        (Code.APPLICATION, {"application": "{00000000-0000-0000-0000-000000000000}"}),
        (Code.FLOOR, {"floor": Version(4892, 1, 1)}),
        (Code.VERSION, {"version": Version(4893)}),
    ):
        values: dict[str, Any] = {**wanted, **changes}
        with pytest.raises(PayloadError) as caught:
            p.check_wanted(manifest, **values)
        assert caught.value.code is code


def test_the_length_counts() -> None:
    header = Header(100, 10)
    right = p.payload_bytes(header, sample())
    p.check_size(header, sample(), right)
    for size, code in ((right - 1, Code.TRUNCATED), (right + 1, Code.TOO_LONG)):
        with pytest.raises(PayloadError) as caught:
            p.check_size(header, sample(), size)
        assert caught.value.code is code


def made(content: bytes, data: bytes, **values: Any) -> Operation:
    return operation(
        0,
        0,
        len(content),
        data_bytes=len(data),
        data_sha256=hashlib.sha256(data).hexdigest(),
        target_sha256=hashlib.sha256(content).hexdigest(),
        **values,
    )


@given(st.binary(min_size=1, max_size=2000), st.integers(1, 600))
def test_unpacking_gives_the_content(seed: bytes, times: int) -> None:
    content = seed * times
    packed = zstandard.ZstdCompressor().compress(content)
    for each, data in (
        (made(content, packed), packed),
        (made(content, content, compression=p.NONE), content),
    ):
        pieces = list(p.unpack(USR, each, data))
        assert b"".join(pieces) == content
        p.check_result(USR, each, hashlib.sha256(content).hexdigest())


def test_data_that_are_refused() -> None:
    content = b"content" * 1000
    pack = zstandard.ZstdCompressor().compress
    wide = zstandard.ZstdCompressionParameters.from_level(1, window_log=24, write_content_size=False)
    far = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    for data, code, told in (
        (pack(content)[:-1], Code.DATA, None),
        (pack(content + b"more"), Code.DATA, None),
        (pack(content[:-1]), Code.DATA, None),
        (b"junk", Code.DATA, None),
        (far.compress(content) + far.flush(), Code.DATA, None),
        (pack(content), Code.DATA_HASH, pack(content)[:-1] + b"x"),
        (pack(content), Code.DATA_HASH, pack(content) + b"x"),
        (pack(content), Code.DATA_HASH, b""),
    ):
        with pytest.raises(PayloadError) as caught:
            list(p.unpack(USR, made(content, data), data if told is None else told))
        assert caught.value.code is code


def test_a_bomb_is_stopped_at_the_operation_s_end() -> None:
    packer = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    bomb = packer.compress(bytes(64 << 20)) + packer.flush()
    taken = 0
    with pytest.raises(PayloadError) as caught:
        for piece in p.unpack(USR, made(b"x" * 1000_000, bomb), bomb):
            taken += len(piece)
    assert caught.value.code is Code.DATA
    assert 0 < taken <= 1_000_000


def test_results_that_are_refused() -> None:
    with pytest.raises(PayloadError, match="usr at byte 0") as caught:
        p.check_result(USR, operation(0, 0), "1" * 64)
    assert caught.value.code is Code.RESULT_HASH
    with pytest.raises(PayloadError, match="usr") as caught:
        p.check_part(USR, "1" * 64)
    assert caught.value.code is Code.PART_HASH
