"""Which release this machine runs."""

from __future__ import annotations

import re
from pathlib import Path

OS_RELEASE = Path("/usr/lib/os-release")


def release_version(path: Path = OS_RELEASE) -> str:
    """VERSION_ID of os-release(5), for example `4891.0.0`; `unknown` where there is none."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return "unknown"
    match = re.search(r"^VERSION_ID=\"?([^\"\n]+)\"?$", text, re.MULTILINE)
    return match[1] if match else "unknown"
