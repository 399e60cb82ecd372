"""What a program needs to start: the interpreter and libraries that a 64-bit little-endian ELF file names.

Structures as in the System V ABI, chapters "Program Header" and "Dynamic Linking".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from argosy.base.errors import ArgosyError

_MAGIC = b"\x7fELF\x02\x01"
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_DYNAMIC = struct.Struct("<QQ")
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB = 1, 5


class ElfError(ArgosyError):
    """Not an ELF file that this module reads."""


@dataclass(frozen=True, slots=True)
class Needs:
    """The interpreter's path ("" if none) and the names of the libraries, in the file's order."""

    interpreter: str
    libraries: tuple[str, ...]


def is_elf(data: bytes) -> bool:
    """Whether `data` begins as an ELF file does."""
    return data.startswith(_MAGIC)


def needs(data: bytes) -> Needs:
    """Read `data`, a whole file. Raises `ElfError` if it is not a sound ELF file."""
    if not is_elf(data):
        raise ElfError("not a 64-bit ELF file")
    try:
        headers = _program_headers(data)
        interpreter = next((_text(data, at) for kind, at, *_ in headers if kind == _PT_INTERP), "")
        return Needs(interpreter, _libraries(data, headers))
    except (struct.error, ValueError) as error:
        raise ElfError(f"a damaged ELF file: {error}") from error


def _program_headers(data: bytes) -> list[tuple[int, int, int, int]]:
    """(type, offset in the file, address, size in the file) of each segment."""
    (offset,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    headers = []
    for index in range(count):
        kind, _, at, address, _, in_file, _, _ = _PROGRAM_HEADER.unpack_from(data, offset + index * size)
        headers.append((kind, at, address, in_file))
    return headers


def _libraries(data: bytes, headers: list[tuple[int, int, int, int]]) -> tuple[str, ...]:
    dynamic = next(((at, size) for kind, at, _, size in headers if kind == _PT_DYNAMIC), None)
    if dynamic is None:
        return ()
    at, size = dynamic
    entries = list(_DYNAMIC.iter_unpack(data[at : at + size - size % _DYNAMIC.size]))
    strings = next((_file_offset(value, headers) for tag, value in entries if tag == _DT_STRTAB), None)
    if strings is None:
        return ()
    return tuple(_text(data, strings + value) for tag, value in entries if tag == _DT_NEEDED)


def _file_offset(address: int, headers: list[tuple[int, int, int, int]]) -> int:
    for kind, at, start, size in headers:
        if kind == _PT_LOAD and start <= address < start + size:
            return address - start + at
    raise ValueError(f"address {address:#x} is in no segment")


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode()
