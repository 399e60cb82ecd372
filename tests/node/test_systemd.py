"""The edge to systemd, as far as it can be seen without one; the rest is seen in real machines."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from argosy.node.systemd import SystemBus, SystemdError, paths_of, unit_path


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("hello@1.service", "hello_401_2eservice"),
        ("1a.service", "_31a_2eservice"),
        ("a-b_c.socket", "a_2db_5fc_2esocket"),
        ("ä.service", "_c3_a4_2eservice"),
    ],
)
def test_paths_are_escaped_as_by_sd_bus(name: str, path: str) -> None:
    assert unit_path(name) == f"/org/freedesktop/systemd1/unit/{path}"
    assert paths_of([name]) == {unit_path(name)}


def test_a_bus_that_is_not_there_is_a_plain_error(tmp_path: Path) -> None:
    async def go() -> None:
        bus = SystemBus(address=f"unix:path={tmp_path}/none")
        assert await bus.states([]) == {}
        with pytest.raises(SystemdError, match="cannot connect to the system bus"):
            await bus.states(["a.service"])
        await bus.close()

    asyncio.run(go())
