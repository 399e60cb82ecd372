"""An operation's data and its result: nothing is unpacked whose hash the signed manifest does not name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from argosy.formats.payload.model import NONE, ZSTD_WINDOW_BYTES, Code, Operation, Part, PayloadError

# Small enough to stay in a processor's cache on its way from zstd to the disk.
_PIECE_BYTES = 256 << 10


def unpack(part: Part, operation: Operation, data: bytes | bytearray) -> Iterator[bytes]:
    """The result of an operation of `part`, in pieces; `data` are all its `data_bytes`.

    At most zstd's window and a piece are in memory beside `data`. The data's hash is checked before the first
    piece, the result's length with the last one; the result's hash is left to the caller, who may read back
    what was written (`check_result`). Raises `PayloadError`.
    """
    if len(data) != operation.data_bytes or hashlib.sha256(data).hexdigest() != operation.data_sha256:
        raise PayloadError(Code.DATA_HASH, f"the data of {_place(part, operation)} are damaged")
    if operation.compression == NONE:
        for at in range(0, len(data), _PIECE_BYTES):
            yield bytes(data[at : at + _PIECE_BYTES])
        return
    made = 0
    for piece in _decompressed(part, operation, data):
        made += len(piece)
        if made > operation.target_bytes:
            break
        yield piece
    if made != operation.target_bytes:
        raise PayloadError(
            Code.DATA, f"the data of {_place(part, operation)} do not make {operation.target_bytes} bytes"
        )


def check_result(part: Part, operation: Operation, sha256: str) -> None:
    """Check the hash (hexadecimal) of an operation's result. Raises `PayloadError`."""
    if sha256 != operation.target_sha256:
        raise PayloadError(
            Code.RESULT_HASH, f"the result of {_place(part, operation)} is not what it should be"
        )


def check_part(part: Part, sha256: str) -> None:
    """Check the hash (hexadecimal) of a whole part. Raises `PayloadError`."""
    if sha256 != part.sha256:
        raise PayloadError(Code.PART_HASH, f"{part.name} is not what it should be")


def _decompressed(part: Part, operation: Operation, data: bytes | bytearray) -> Iterator[bytes]:
    import zstandard  # a second of a slow machine's time, which only an update needs

    unpacker = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
    try:
        yield from unpacker.read_to_iter(data, write_size=_PIECE_BYTES)
    except zstandard.ZstdError as error:
        raise PayloadError(
            Code.DATA, f"the data of {_place(part, operation)} cannot be unpacked: {error}"
        ) from error


def _place(part: Part, operation: Operation) -> str:
    return f"{part.name} at byte {operation.target_offset}"
