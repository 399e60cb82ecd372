"""The file with the server's token, which only its owner may read."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from argosy.base.errors import InputError
from argosy.base.files import replace_file

_TOKEN_BYTES = 32
_MIN_CHARACTERS = 16


def take_token(path: Path) -> str:
    """The token in `path`; a fresh one is put there if there is no such file.

    Raises `InputError` if others may read it, or if it is too short to be safe.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        replace_file(path, f"{secrets.token_urlsafe(_TOKEN_BYTES)}\n".encode(), mode=0o600)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise InputError("others can read the token", where=str(path), hint=f"chmod 600 {path}")
    return read_token(path)


def read_token(path: Path) -> str:
    """The token in a file. Raises `InputError`."""
    try:
        token = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(f"cannot read the token: {reason}", where=os.fspath(path)) from error
    if len(token) < _MIN_CHARACTERS or not token.isprintable() or " " in token:
        raise InputError(
            f"the token must be one word of at least {_MIN_CHARACTERS} characters",
            where=os.fspath(path),
            hint="`argosy serve` makes a good one when the file is not there",
        )
    return token
