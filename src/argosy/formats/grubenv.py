"""GRUB's environment block: 1,024 bytes that GRUB changes in place (its manual, "Environment block").

A header line, lines `name=value` or `# comment`, and `#` up to the end. GRUB escapes backslashes and line
breaks in values with a backslash.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from argosy.base.errors import ArgosyError

BLOCK_BYTES = 1024

_HEADER = b"# GRUB Environment Block\n"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class GrubEnvError(ArgosyError):
    """Not an environment block, or more than fits into one."""


def encode(variables: Mapping[str, str]) -> bytes:
    """The block that holds `variables`, in their order. Raises `GrubEnvError` if they do not fit."""
    lines = bytearray(_HEADER)
    for name, value in variables.items():
        if not _NAME.fullmatch(name):
            raise GrubEnvError(f"{name!r} is not a variable's name")
        escaped = value.replace("\\", "\\\\").replace("\n", "\\\n")
        lines += f"{name}={escaped}\n".encode()
    if len(lines) > BLOCK_BYTES:
        raise GrubEnvError(f"{len(lines)} bytes of variables, {BLOCK_BYTES} fit")
    return bytes(lines.ljust(BLOCK_BYTES, b"#"))


def decode(block: bytes) -> dict[str, str]:
    """The variables of a block. Raises `GrubEnvError` unless it is one, whole."""
    if len(block) != BLOCK_BYTES or not block.startswith(_HEADER):
        raise GrubEnvError("not a GRUB environment block")
    try:
        text = block[len(_HEADER) :].decode()
    except UnicodeDecodeError as error:
        raise GrubEnvError(f"the environment block is not text: {error}") from error
    variables = {}
    for line in _lines(text):
        name, equals, value = line.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise GrubEnvError(f"the environment block has a broken line {line!r}")
        variables[name] = value
    return variables


def _lines(text: str) -> list[str]:
    """The unescaped lines before the padding, without comments."""
    lines, line, position = [], "", 0
    while position < len(text):
        character = text[position]
        if character == "#" and not line:
            # A comment ends with its line, the padding with the block.
            end = text.find("\n", position)
            position = len(text) if end < 0 else end
        elif character == "\\":
            position += 1
            line += text[position : position + 1]
        elif character == "\n":
            lines.append(line)
            line = ""
        else:
            line += character
        position += 1
    if line:
        raise GrubEnvError(f"the environment block has a broken line {line!r}")
    return lines
