"""At which address a client found us."""

from __future__ import annotations

import re

_HOST = re.compile(r"[A-Za-z0-9.\-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?")


def asked_address(scheme: str, host: str) -> str | None:
    """The URL's beginning, from the Host header; None if that is no host name or address."""
    return f"{scheme}://{host}" if _HOST.fullmatch(host) else None
