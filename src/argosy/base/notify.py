"""Telling systemd how a service is doing: the datagram protocol of sd_notify(3)."""

from __future__ import annotations

import os
import socket


def notify(*fields: str) -> None:
    """Send fields such as `READY=1`, `STATUS=...`, `STOPPING=1`; does nothing outside systemd."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.sendto("\n".join(fields).encode(), address)
