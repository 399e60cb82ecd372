"""Ed25519 through openssl, against the vectors of RFC 8032 and against itself."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from argosy.base import ed25519
from argosy.base.errors import InputError
from argosy.base.run import CommandError, run

# RFC 8032, section 7.1, test 3 (and 2): secret key, public key, message, signature.
VECTORS = [
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
]
PRIVATE_HEAD = "302e020100300506032b657004220420"  # PKCS #8 of RFC 8410
PUBLIC_HEAD = "302a300506032b6570032100"


def pem(kind: str, der: str) -> bytes:
    body = base64.b64encode(bytes.fromhex(der)).decode()
    return f"-----BEGIN {kind} KEY-----\n{body}\n-----END {kind} KEY-----\n".encode()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    ed25519.create_key(tmp_path / "my.key")
    return tmp_path / "my.key"


@pytest.mark.parametrize(("secret", "public", "message", "signature"), VECTORS)
def test_vectors(tmp_path: Path, secret: str, public: str, message: str, signature: str) -> None:
    private = tmp_path / "vector.key"
    private.write_bytes(pem("PRIVATE", PRIVATE_HEAD + secret))
    assert ed25519.public_key(private) == pem("PUBLIC", PUBLIC_HEAD + public)
    assert ed25519.sign(private, bytes.fromhex(message)).hex() == signature
    assert ed25519.verify(
        pem("PUBLIC", PUBLIC_HEAD + public), bytes.fromhex(message), bytes.fromhex(signature)
    )


def test_a_key_is_private_and_never_replaced(key: Path) -> None:
    assert key.stat().st_mode & 0o777 == 0o600
    before = key.read_bytes()
    with pytest.raises(InputError, match="key already"):
        ed25519.create_key(key)
    assert key.read_bytes() == before
    assert [path.name for path in key.parent.iterdir()] == ["my.key"]


def test_each_bit_of_a_signature_counts(key: Path) -> None:
    public, message = ed25519.public_key(key), b"a message"
    signature = ed25519.sign(key, message)
    assert ed25519.sign(key, message) == signature
    for bit in range(0, 512, 7):
        flipped = bytearray(signature)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not ed25519.verify(public, message, bytes(flipped))
    assert not ed25519.verify(public, b"another", signature)
    assert not ed25519.verify(public, b"", signature)
    assert not ed25519.verify(public, message, signature[:-1])
    assert not ed25519.verify(public, message, signature + b"\0")


def test_another_key_has_another_id_and_verifies_nothing(key: Path, tmp_path: Path) -> None:
    ed25519.create_key(tmp_path / "other.key")
    ours, theirs = ed25519.public_key(key), ed25519.public_key(tmp_path / "other.key")
    assert ed25519.key_id(ours) != ed25519.key_id(theirs)
    assert len(ed25519.key_id(ours)) == 16
    assert not ed25519.verify(theirs, b"m", ed25519.sign(key, b"m"))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"nonsense",
        pem("PUBLIC", PUBLIC_HEAD + "00" * 31),
        pem("PUBLIC", PUBLIC_HEAD + "00" * 33),
        pem("PUBLIC", "302a300506032b6571032100" + "00" * 32),
        pem("PRIVATE", PRIVATE_HEAD + "00" * 32),
    ],
)
def test_what_is_no_public_key(text: bytes) -> None:
    with pytest.raises(InputError, match=r"my\.pem: this is not an Ed25519 public key"):
        ed25519.key_id(text, source="my.pem")


def test_what_is_no_private_key(tmp_path: Path) -> None:
    path = tmp_path / "bad.key"
    path.write_text("nonsense")
    with pytest.raises(InputError, match="not a private key"):
        ed25519.public_key(path)
    run(["openssl", "genpkey", "-algorithm", "x25519", "-out", path])
    with pytest.raises(InputError, match="not an Ed25519"):
        ed25519.public_key(path)
    with pytest.raises(CommandError):
        ed25519.sign(tmp_path / "missing.key", b"m")
