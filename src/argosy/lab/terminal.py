"""Our terminal joined to a socket: an interactive console."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import sys
import termios
import tty
from collections.abc import Iterator
from pathlib import Path

from argosy.base.errors import ArgosyError

ESCAPE = b"\x1d"  # Ctrl-], as in telnet and virsh
_CHUNK_BYTES = 4096


def attach(path: Path) -> int:
    """Copy between our terminal and the unix socket `path` until Ctrl-], end of input, or the other's end.

    Returns the exit code 0.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        try:
            channel.connect(str(path))
        except OSError as error:
            raise ArgosyError("the console does not answer", hint="is the machine on? see status") from error
        with _raw(sys.stdin.fileno()):
            _copy(channel, sys.stdin.fileno(), sys.stdout.fileno())
    return 0


def _copy(channel: socket.socket, keyboard: int, screen: int) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(channel, selectors.EVENT_READ)
        selector.register(keyboard, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is channel:
                    data = channel.recv(_CHUNK_BYTES)
                    if not data:
                        return
                    _write_all(screen, data)
                else:
                    data = os.read(keyboard, _CHUNK_BYTES)
                    typed, escape, _ = data.partition(ESCAPE)
                    channel.sendall(typed)
                    if escape or not data:
                        return


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


@contextlib.contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    """Every key goes to the other side, Ctrl-C included. Input that is not a terminal is left as it is."""
    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
