"""Payloads on disk: one file each, named for the SHA-256 of its content, so what is there is whole."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from argosy.base.errors import InputError
from argosy.base.files import sync_folder
from argosy.server.update.model import FullError

_PIECE_BYTES = 1 << 20
_INCOMING = "incoming"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A file that has arrived and is not kept yet. `sha256` is hexadecimal, `sha1` base64."""

    path: Path
    size_bytes: int
    sha256: str
    sha1: str


class PackageFolder:
    """The folder; made if missing. What an interrupted upload left there is removed."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        shutil.rmtree(folder / _INCOMING, ignore_errors=True)
        (folder / _INCOMING).mkdir(parents=True)

    def path(self, sha256: str) -> Path:
        """Where the payload with this hash is, if it is there."""
        return self._folder / sha256

    @contextlib.asynccontextmanager
    async def receive(self, chunks: AsyncIterator[bytes], length: int | None) -> AsyncIterator[Incoming]:
        """Take in a file; it is gone at the end of the block unless it was kept.

        `length` is how long it will be, if that is known. Raises `InputError` if it is another, or too large,
        and `FullError` if the disk is full.
        """
        if length is not None and length > self._limit_bytes:
            raise InputError(f"the payload has {length} bytes, more than {self._limit_bytes}")
        descriptor, name = tempfile.mkstemp(dir=self._folder / _INCOMING)
        try:
            with os.fdopen(descriptor, "wb") as file:
                if length:
                    with _room_wanted():
                        os.posix_fallocate(file.fileno(), 0, length)
                incoming = await _Arrival(Path(name), file, self._limit_bytes).take(chunks)
            if length is not None and incoming.size_bytes != length:
                raise InputError(f"the upload ended after {incoming.size_bytes} of {length} bytes")
            yield incoming
        finally:
            Path(name).unlink(missing_ok=True)

    def keep(self, incoming: Incoming) -> None:
        """Put it in its place, durably. The same content may be there already."""
        incoming.path.chmod(0o644)
        incoming.path.replace(self.path(incoming.sha256))
        sync_folder(self._folder)


class _Arrival:
    def __init__(self, path: Path, file: BinaryIO, limit_bytes: int) -> None:
        self._path = path
        self._file = file
        self._limit_bytes = limit_bytes
        self._size = 0
        self._sha256 = hashlib.sha256()
        self._sha1 = hashlib.sha1(
            usedforsecurity=False
        )  # Omaha's first hash; the second is the one that counts

    async def take(self, chunks: AsyncIterator[bytes]) -> Incoming:
        buffer = bytearray()
        async for chunk in chunks:
            buffer += chunk
            if self._size + len(buffer) > self._limit_bytes:
                raise InputError(f"the payload has more than {self._limit_bytes} bytes")
            if len(buffer) >= _PIECE_BYTES:
                await asyncio.to_thread(self._write, bytes(buffer))
                buffer.clear()
        await asyncio.to_thread(self._write, bytes(buffer))
        await asyncio.to_thread(self._finish)
        sha1 = base64.b64encode(self._sha1.digest()).decode()
        return Incoming(self._path, self._size, self._sha256.hexdigest(), sha1)

    def _write(self, piece: bytes) -> None:
        with _room_wanted():
            self._file.write(piece)
        self._size += len(piece)
        self._sha256.update(piece)
        self._sha1.update(piece)

    def _finish(self) -> None:
        with _room_wanted():
            self._file.flush()
            self._file.truncate(self._size)
            os.fsync(self._file.fileno())


@contextlib.contextmanager
def _room_wanted() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise FullError("the server's disk is full", hint="remove old payloads, or make room") from error
        raise
