"""QEMU's monitor: a small client of the QMP protocol (JSON lines over a unix socket)."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import msgspec

from argosy.base.errors import ArgosyError

_TIMEOUT_S = 10.0


class ControlError(ArgosyError):
    """The monitor does not answer, or refused a command."""


def execute(path: Path, command: str) -> dict[str, Any]:
    """Run one command without arguments and return its answer.

    QEMU serves one client at a time, so a connection lasts for one command.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            channel.settimeout(_TIMEOUT_S)
            channel.connect(str(path))
            with channel.makefile("rwb") as lines:
                _read_until(lines, "QMP")
                for word in ("qmp_capabilities", command):
                    lines.write(msgspec.json.encode({"execute": word}) + b"\n")
                    lines.flush()
                    answer = _read_until(lines, "return")
                return answer
    except OSError as error:
        raise ControlError(f"QEMU does not answer on {path}: {error}") from error


def _read_until(lines: Any, key: str) -> dict[str, Any]:
    """The value of `key` in the next message that has it; events in between are of no interest."""
    for line in lines:
        message: dict[str, Any] = msgspec.json.decode(line)
        if "error" in message:
            raise ControlError(f"QEMU refused: {message['error'].get('desc')}")
        if key in message:
            value = message[key]
            return value if isinstance(value, dict) else {}
    raise ConnectionError("the connection was closed")
