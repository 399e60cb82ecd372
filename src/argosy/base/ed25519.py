"""Ed25519 keys and signatures (RFC 8032), made and checked by the command `openssl`.

Workstations and images have that command anyway; nothing is imported for it, and a call takes milliseconds.
Keys are files in PEM: a private key (PKCS #8, RFC 8410), a public key (SubjectPublicKeyInfo). A private key
never enters this process: only `openssl` reads it.
"""

from __future__ import annotations

import binascii
import hashlib
import os
import tempfile
from pathlib import Path

from argosy.base.errors import InputError
from argosy.base.files import replacing, sync_folder
from argosy.base.run import Argument, CommandError, run

SIGNATURE_BYTES = 64

_ID_DIGITS = 16
_RAW_BYTES = 32
_BEGIN = b"-----BEGIN PUBLIC KEY-----"
_END = b"-----END PUBLIC KEY-----"
# SubjectPublicKeyInfo of every Ed25519 key up to the key's own 32 bytes (RFC 8410, section 10.1).
_DER_HEAD = bytes.fromhex("302a300506032b6570032100")


def create_key(path: Path) -> None:
    """Make a private key that only its owner may read. Raises `InputError` if `path` is there already."""
    if path.exists():
        raise InputError("there is a key already", where=str(path))
    with replacing(path) as temporary:
        # openssl writes into the file that is there, so its mode (0600) stays.
        run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", temporary])
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(path.parent)


def public_key(private: Path) -> bytes:
    """The public half of a private key, in PEM. Raises `InputError` if the file is no Ed25519 key."""
    try:
        pem = run(["openssl", "pkey", "-in", private, "-pubout"]).stdout
    except CommandError as error:
        if error.completed is None:
            raise
        raise InputError("this is not a private key that openssl can read", where=str(private)) from error
    key_id(pem, source=str(private))
    return pem


def key_id(public_pem: bytes, *, source: str = "key") -> str:
    """The short name of a public key: the first 16 hexadecimal digits of its bytes' SHA-256.

    `source` names the key in the `InputError` that is raised if this is no Ed25519 public key.
    """
    return hashlib.sha256(_raw(public_pem, source)).hexdigest()[:_ID_DIGITS]


def sign(private: Path, message: bytes) -> bytes:
    """The signature, 64 bytes, of a message that is not empty; the same for the same key and message."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(message)
        file.flush()
        return run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", private, "-in", file.name]).stdout


def verify(public_pem: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is that of `message` by the key whose public half is `public_pem`.

    Raises `InputError` if that is no Ed25519 public key, `CommandError` if there is no openssl.
    """
    key_id(public_pem)
    if len(signature) != SIGNATURE_BYTES or not message:
        return False
    with tempfile.TemporaryDirectory() as name:
        key, signed, its_signature = (Path(name) / each for each in ("key", "message", "signature"))
        key.write_bytes(public_pem)
        signed.write_bytes(message)
        its_signature.write_bytes(signature)
        files: list[Argument] = ["-inkey", key, "-sigfile", its_signature, "-in", signed]
        return run(["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", *files], check=False).returncode == 0


def _raw(public_pem: bytes, source: str) -> bytes:
    """A public key's own 32 bytes."""
    body = public_pem.strip().removeprefix(_BEGIN).removesuffix(_END)
    try:
        der = binascii.a2b_base64(b"".join(body.split()), strict_mode=True)
    except binascii.Error:
        der = b""
    if not der.startswith(_DER_HEAD) or len(der) != len(_DER_HEAD) + _RAW_BYTES:
        raise InputError("this is not an Ed25519 public key in PEM", where=source)
    return der[len(_DER_HEAD) :]
