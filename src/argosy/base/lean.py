"""Keeping OpenSSL out of daemons that never use it: it costs each of them about five MB of memory.

asyncio loads `ssl` and hashlib loads `_hashlib` if they are there, and both do without where they are not:
`None` in `sys.modules` is Python's documented way to say so (docs of the import system, "The module cache").
"""

from __future__ import annotations

import sys

_OPENSSL_MODULES = ("ssl", "_ssl", "_hashlib")


def without_openssl() -> None:
    """This process will have no TLS, and hash with Python's own code. Call it before asyncio is imported."""
    for name in _OPENSSL_MODULES:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def with_openssl() -> None:
    """Take that back, for modules that are imported from now on."""
    for name in _OPENSSL_MODULES:
        if name in sys.modules and sys.modules[name] is None:
            del sys.modules[name]
