"""A process without OpenSSL hashes the same, has an event loop, and has indeed not loaded it."""

from __future__ import annotations

import hashlib
import subprocess
import sys

PROGRAM = """
from argosy.base.lean import without_openssl
without_openssl()
import asyncio, hashlib
asyncio.run(asyncio.sleep(0))
print(hashlib.sha1(b"x", usedforsecurity=False).hexdigest(), hashlib.sha256(b"x").hexdigest())
print("libcrypto" in open("/proc/self/maps").read())
"""


def test_without_openssl() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    digests, loaded = done.stdout.splitlines()
    assert digests == f"{hashlib.sha1(b'x').hexdigest()} {hashlib.sha256(b'x').hexdigest()}"
    assert loaded == "False"
