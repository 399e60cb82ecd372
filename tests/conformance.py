"""What the original tools answered on thousands of inputs: an optional folder beside the checkout.

A clone has none; then the tests that compare with it are skipped, and say so.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import zstandard

FOLDER = Path(__file__).resolve().parents[2] / "shared/conformance"


def cases(name: str) -> list[dict[str, Any]]:
    """All recorded cases of one tool; skips the test where there are none."""
    path = FOLDER / f"{name}.jsonl.zst"
    if not path.exists():
        pytest.skip(f"{path.name} is not beside this checkout")
    with zstandard.open(path, "rt", encoding="utf-8", newline="\n") as lines:
        return [json.loads(line) for line in lines]
