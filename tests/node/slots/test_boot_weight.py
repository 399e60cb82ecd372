"""What a boot waits for imports little: an emulated machine pays a second for it."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {
    "argparse",
    "asyncio",
    "dbus_fast",
    "http.client",
    "json.tool",
    "logging",
    "msgspec",
    "ssl",
    "urllib.request",
}


def test_reconciling_imports_nothing_heavy() -> None:
    program = "import sys, argosy.node.slots.cli; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-I", "-c", program], check=True, capture_output=True, text=True)
    assert "argosy.node.slots.machine" in loaded.stdout.split()
    assert HEAVY & set(loaded.stdout.split()) == set()
