"""The page for users lists every code with its number."""

from __future__ import annotations

import re
from pathlib import Path

from argosy.formats import payload as p
from argosy.node.update.problems import (
    Code,
    kernel_hash_problem,
    payload_problem,
    problem,
    usr_hash_problem,
)

PAGE = Path(__file__).parents[3] / "docs/howto/update-a-machine.md"


def test_every_code_is_in_the_table_with_its_number() -> None:
    listed = dict(re.findall(r"^\| `([a-z-]+)` \| ([0-9 ,a-z+]+) \|", PAGE.read_text(), re.MULTILINE))
    numbers = {str(code): str(int(problem(code, "x").number)) for code in Code}
    numbers |= {str(code): str(int(payload_problem(p.PayloadError(code, "x")).number)) for code in p.Code}
    numbers[Code.HTTP_STATUS] = "2000 + status"
    files = kernel_hash_problem("x").number
    numbers[p.Code.PART_HASH] = f"{int(usr_hash_problem().number)}, {int(files)}"
    assert listed == numbers
