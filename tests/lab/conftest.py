"""A cluster's folder without a cluster in it."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.lab import ports, process
from argosy.lab.model import Cluster, DriverName, Firmware, Machine, Site
from argosy.lab.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Sockets get a folder of their own: pytest's are too long for them where tests run side by side."""
    with tempfile.TemporaryDirectory(prefix="argosy-") as runtime:
        yield Store(tmp_path / "clusters", Path(runtime))


@pytest.fixture
def site(store: Store) -> Iterator[Site]:
    """A saved cluster of two machines, with a runtime folder; whatever it starts is ended."""
    chosen = ports.choose(2, start=ports.SSH_FROM + 500, taken=())
    served = ports.choose(2, start=ports.SERVICE_FROM + 500, taken=())
    machines = tuple(
        Machine(i + 1, f"core-{i + 1:02d}", f"172.17.8.{101 + i}", chosen[i], served[i]) for i in range(2)
    )
    cluster = Cluster(
        id=secrets.token_hex(4),
        name="test",
        driver=DriverName.QEMU,
        release="1.0.0",
        release_folder="/nonexistent",
        firmware=Firmware.BIOS,
        memory_mib=128,
        cpus=1,
        server_port=ports.SERVER_FROM + 500,
        machines=machines,
    )
    site = store.save(cluster)
    store.make_runtime(site)
    for machine in machines:
        site.credentials(machine).mkdir(parents=True)
    yield site
    process.end(process.find(site.cluster.id), grace_s=0)
